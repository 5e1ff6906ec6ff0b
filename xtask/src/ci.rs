//! `cargo xtask ci`: all that a change must pass, in the order in which it fails soonest.
//!
//! Continuous integration calls this and nothing else, so that what it does can be run by hand. Everything has one
//! profile, so that no crate is built twice; only the model checks, the fuzz targets and the simulation are built apart,
//! and those builds run while the tests wait.

use std::ffi::OsString;

use anyhow::Result;
use clap::Args;

use crate::ahead::Ahead;
use crate::test::{self, Test};
use crate::tidy::Tidy;
use crate::{features, fuzz, fuzz::Fuzz, programs, release};
use xtask::server::Binary;
use xtask::steps::Steps;
use xtask::tools::{self, Install, TOOLS};
use xtask::workspace::{cargo, run};

/// Seconds for each fuzz target: enough to show that it runs.
const FUZZ_SECONDS: u64 = 3;

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
        tools::ensure_these(TOOLS, "the tests", Install::Allowed)
    })?;
    steps.step("fmt", || run(&mut cargo(["fmt", "--all", "--check"])))?;
    let clippy =
        ["clippy", "--locked", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];
    steps.step("clippy", || run(&mut cargo(clippy)))?;
    steps.step("features", features::check_none_and_all)?;
    let others =
        fuzz::builds()?.into_iter().chain([test::models(&["--no-run"]), programs::simulation("build")]);
    let _ahead = Ahead::begin(others);
    steps.step("test", || Test::default().run())?;
    let doc = ["doc", "--locked", "--workspace", "--no-deps", "--all-features"];
    steps.step("doc", || run(cargo(doc).env("RUSTDOCFLAGS", "-D warnings")))?;
    // The tests have just built the server; another build of it would only differ in its features' order.
    steps.step("tidy", || Tidy::with(Binary::of_the_tests()?).run())?;
    steps.step("publish", release::publish)?;
    steps.step("deny", || release::deny(&["bans", "licenses", "sources"]))?;
    steps.step("fuzz", || Fuzz { seconds: FUZZ_SECONDS, target: None }.run())?;
    steps
        .step("torture", || programs::beside_the_tests("xtask-torture", &short(&["--short", "--server"])?))?;
    steps.step("simulate", || programs::simulate(&["--seeds", "1000"].map(OsString::from)))?;
    // What the simulation must find.
    steps.step("planted", || programs::simulate(&["--planted"].map(OsString::from)))?;
    // Not for its figures: that every scenario goes through and nothing is lost.
    steps.step("bench", || programs::beside_the_tests("xtask-bench", &short(&["--quick", "--binary"])?))
}

/// These arguments, and the path of the server that the tests have built.
fn short(arguments: &[&str]) -> Result<Vec<OsString>> {
    let server = Binary::of_the_tests()?;
    Ok(arguments.iter().map(OsString::from).chain([server.path().into()]).collect())
}
