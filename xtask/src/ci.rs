//! `cargo xtask ci`: all that a change must pass, in the order in which it fails soonest.
//!
//! Continuous integration calls this and nothing else, so that what it does can be run by hand. One profile, so that
//! no crate is built twice for want of a plan; the model checks are the one build apart.

use std::ffi::OsString;

use anyhow::Result;
use clap::Args;

use crate::programs;
use crate::test::Test;
use crate::tidy::Tidy;
use xtask::server::Binary;
use xtask::steps::Steps;
use xtask::tools;
use xtask::workspace::{cargo, run};

/// The command's arguments: none.
#[derive(Args)]
pub(crate) struct Ci {}

impl Ci {
    #[expect(clippy::unused_self, reason = "every command has the same shape")]
    pub(crate) fn run(&self) -> Result<()> {
        let mut steps = Steps::default();
        let result = all(&mut steps);
        eprintln!("\n{}", steps.summary());
        result
    }
}

fn all(steps: &mut Steps) -> Result<()> {
    steps.step("tools", || {
        tools::ensure_component("fmt", "rustfmt")?;
        tools::ensure_component("clippy", "clippy")?;
        tools::ensure_installed()
    })?;
    steps.step("fmt", || run(&mut cargo(["fmt", "--all", "--check"])))?;
    steps.step("clippy", || {
        run(&mut cargo(["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"]))
    })?;
    steps.step("test", || Test::default().run())?;
    steps.step("doc", || {
        run(cargo(["doc", "--workspace", "--no-deps", "--all-features"]).env("RUSTDOCFLAGS", "-D warnings"))
    })?;
    // The tests have just built the server; another build of it would only differ in its features' order.
    steps.step("tidy", || Tidy::with(Binary::of_the_tests()?).run())?;
    steps.step("torture", || programs::torture(&short(["--short", "--server"])?))?;
    // Not for its figures: that every scenario goes through and nothing is lost.
    steps.step("bench", || programs::bench(&short(["--quick", "--binary"])?))
}

/// These arguments, and the path of the server that the tests have built.
fn short(arguments: [&str; 2]) -> Result<Vec<OsString>> {
    let server = Binary::of_the_tests()?;
    Ok(arguments.into_iter().map(OsString::from).chain([server.path().into()]).collect())
}
