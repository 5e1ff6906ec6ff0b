//! `cargo xtask bench`: what a delivery costs, measured beside others on the same machine in the same run.
//!
//! The server under test runs on one core and the load on another, so that what is counted is the server's alone. CPU
//! per operation is the figure that holds on a noisy machine; times are shown for orientation. What is measured lives
//! below: the load and its scenarios, the servers, the figures, and how they are written down.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool speaks on its own streams"
)]

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
mod namespace;
mod peer;
mod progress;
mod report;
mod scenario;
mod url;
mod versus;
mod wire;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use self::comparison::Comparison;
use self::floor::Floor;
use self::url::Url;

/// What a delivery costs, beside other servers in the same run.
#[derive(Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench", args_conflicts_with_subcommands = true)]
struct Bench {
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
    fn run(&self) -> Result<()> {
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
}

fn main() -> ExitCode {
    match Bench::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
