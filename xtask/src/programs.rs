//! `cargo xtask bench`, `cargo xtask torture` and `cargo xtask simulate`: programs of their own, so that the other commands need not build them.

use std::ffi::OsString;
use std::process::Command;

use anyhow::Result;
use clap::Args;
use xtask::workspace::{cargo, root, run, target};

/// Arguments that are the program's to read, `--help` included.
#[derive(Args)]
pub(crate) struct Arguments {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) words: Vec<OsString>,
}

/// Runs the bench. A load that was built without optimization would measure itself, so only `--quick` runs, whose
/// figures are not meant, use the development profile.
pub(crate) fn bench(arguments: &[OsString]) -> Result<()> {
    let profile = if arguments.iter().any(|word| word == "--quick") { "dev" } else { "release" };
    program("xtask-bench", profile, arguments)
}

/// Runs the torture.
pub(crate) fn torture(arguments: &[OsString]) -> Result<()> {
    program("xtask-torture", "dev", arguments)
}

/// Runs the simulation.
pub(crate) fn simulate(arguments: &[OsString]) -> Result<()> {
    run(simulation("run").arg("--").args(arguments))
}

/// Builds or runs the simulation. The runtime takes a seed only if it is built for it, and the server has bugs to plant only
/// if it is, so it has a build of its own.
pub(crate) fn simulation(verb: &str) -> Command {
    let words =
        [verb, "--locked", "--quiet", "--package", "xtask-simulate", "--profile", "simulate", "--target-dir"];
    let mut command = cargo(words);
    command.arg(target().join("simulate")).env("RUSTFLAGS", "--cfg tokio_unstable --cfg poll_planted");
    command
}

/// Runs one of these programs as the tests' build makes it: with the features of the whole workspace, so that no library is
/// built twice.
pub(crate) fn beside_the_tests(package: &str, arguments: &[OsString]) -> Result<()> {
    run(&mut cargo(["build", "--locked", "--quiet", "--workspace", "--all-features", "--bin", package]))?;
    run(Command::new(target().join("debug").join(package)).current_dir(root()).args(arguments))
}

fn program(package: &str, profile: &str, arguments: &[OsString]) -> Result<()> {
    run(cargo(["run", "--locked", "--quiet", "--package", package, "--profile", profile, "--"])
        .args(arguments))
}
