//! `cargo xtask bench`: what a delivery costs, measured beside others on the same machine in the same run.
//!
//! The server under test runs on one core and the load on another, so that what is counted is the server's alone. CPU
//! per operation is the figure that holds on a noisy machine; times are shown for orientation. What is measured lives
//! below: the load and its scenarios, the servers, the figures, and how they are written down.

mod comparison;
mod cores;
mod figures;
mod floor;
mod growth;
mod http2;
mod instructions;
mod load;
mod machine;
mod meter;
mod million;
mod peer;
mod progress;
mod report;
mod scenario;
mod url;
mod wire;

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};

use self::comparison::Comparison;
use self::floor::Floor;
use self::url::Url;
use crate::server::Binary;
use crate::workspace::{cargo, run, target};

/// The command's arguments.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Bench {
    #[command(subcommand)]
    course: Option<Course>,
    #[command(flatten)]
    comparison: Comparison,
}

#[derive(Subcommand)]
enum Course {
    /// The same load on any server, by templates of its addresses
    Url(Url),
    /// The floor that servers are compared with
    #[command(hide = true)]
    Floor(Floor),
    /// Write down an earlier run again, from its JSON
    Report(report::Report),
    /// Count instructions and allocations of the hot paths, here and at the merge base
    Instructions(instructions::Instructions),
    /// Let a million wait over HTTP/2, and reach them all with one publish
    Million(million::Million),
    /// The same work beside ever more of what should not matter to it
    Growth(growth::Growth),
}

impl Bench {
    /// The command as `ci` runs it, with a server that is built already.
    pub(crate) fn quick(binary: Binary) -> Self {
        Self { course: None, comparison: Comparison::quick(binary) }
    }

    pub(crate) fn run(&self) -> Result<()> {
        if cfg!(debug_assertions) && self.measures() {
            return run_optimized();
        }
        match &self.course {
            Some(Course::Url(url)) => url.run(),
            Some(Course::Floor(floor)) => floor.run(),
            Some(Course::Report(report)) => report.run(),
            Some(Course::Instructions(instructions)) => instructions.run(),
            Some(Course::Million(million)) => million.run(),
            Some(Course::Growth(growth)) => growth.run(),
            None => self.comparison.run(),
        }
    }

    /// Whether its figures are meant.
    fn measures(&self) -> bool {
        match &self.course {
            Some(Course::Url(_) | Course::Million(_)) => true,
            Some(Course::Growth(growth)) => !growth.quick,
            Some(Course::Floor(_) | Course::Report(_) | Course::Instructions(_)) => false,
            None => !self.comparison.quick,
        }
    }
}

/// Builds this command in release and becomes it: a load that is slow measures itself.
fn run_optimized() -> Result<()> {
    run(&mut cargo(["build", "--release", "--package", "xtask"]))?;
    let mut command = Command::new(target().join("release/xtask"));
    Err(command.args(std::env::args_os().skip(1)).exec()).context("cannot start the release build of xtask")
}
