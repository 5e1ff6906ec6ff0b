//! `cargo xtask test`: every test of the workspace, doc tests and model checks included.
//!
//! Installs what the tests call first, unless told not to. Leaves linting to `ci` and long runs to `torture` and `fuzz`.

use std::process::Command;

use anyhow::Result;
use clap::Args;

use crate::js::{self, Extent};
use crate::openapi;
use crate::page;
use crate::proxies;
use crate::sse;
use crate::streams;
use xtask::server::Binary;
use xtask::steps::Skip;
use xtask::tools::{self, Install, TOOLS};
use xtask::workspace::{cargo, run, target};

/// The command's arguments.
#[derive(Args, Default)]
pub(crate) struct Test {
    /// Leave out the model checks, which are built apart
    #[arg(long)]
    quick: bool,
    /// Install nothing: if a program is missing, say what to type and fail
    #[arg(long)]
    no_install: bool,
    /// More arguments for `cargo test`, such as a test's name; the model checks are left out then
    #[arg(last = true)]
    arguments: Vec<String>,
}

impl Test {
    pub(crate) fn run(&self) -> Result<()> {
        let install = if self.no_install { Install::Never } else { Install::Allowed };
        tools::ensure_these(TOOLS, "the tests", install)?;
        run(cargo(["test", "--locked", "--workspace", "--all-features"]).args(&self.arguments))?;
        if self.quick || !self.arguments.is_empty() {
            return Ok(());
        }
        told("the OpenAPI document", run_openapi(install))?;
        told("clients of other projects", run_sse(install))?;
        told("the suite of Durable Streams", run_streams(install))?;
        told("the JavaScript client", js::test(Extent::Short, install))?;
        told("proxies", run_proxies(install))?;
        told("the live page", page::test(install))?;
        run_models()
    }
}

/// What cannot run here says so and is no failure. These tests use the server that the others have built.
fn told(what: &str, tested: Result<()>) -> Result<()> {
    match tested {
        Err(error) if error.is::<Skip>() => {
            eprintln!("skipped: {what}: {error}");
            Ok(())
        }
        tested => tested,
    }
}

/// Other projects' clients for server-sent events.
fn run_sse(install: Install) -> Result<()> {
    sse::check(&Binary::of_the_tests()?, install)
}

/// The conformance suite of Durable Streams.
fn run_streams(install: Install) -> Result<()> {
    streams::check(&Binary::of_the_tests()?, "memory:", install)
}

/// The proxies that other tests use as well.
fn run_proxies(install: Install) -> Result<()> {
    proxies::check(&Binary::of_the_tests()?, proxies::Extent::Short, install)
}

/// The OpenAPI document, and a server by it.
fn run_openapi(install: Install) -> Result<()> {
    openapi::check(&Binary::of_the_tests()?, openapi::FEW, install)
}

fn run_models() -> Result<()> {
    run(&mut models(&[]))
}

/// The model checks need every primitive of the core swapped for loom's, so they have a build of their own.
pub(crate) fn models(options: &[&str]) -> Command {
    let mut command = cargo(["test", "--locked", "--package", "poll-core", "--test", "loom", "--target-dir"]);
    command
        .arg(target().join("loom"))
        .args(options)
        .env("RUSTFLAGS", "--cfg loom")
        // Two forced switches a run find nearly every ordering bug there is, in a thousandth of the time of all.
        .env("LOOM_MAX_PREEMPTIONS", "2")
        // Nobody debugs this build, and half of its time would go into that.
        .env("CARGO_PROFILE_DEV_DEBUG", "false")
        // A model's thread has a stack of 32 KiB, which frames without any optimisation overflow.
        .env("CARGO_PROFILE_DEV_OPT_LEVEL", "1");
    command
}
