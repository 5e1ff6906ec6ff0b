//! `cargo xtask bench`: what a delivery costs a server, beside other servers on the same machine in the same run.
//!
//! The server runs on one core and the load on another, so that what is counted is the server's alone. CPU per operation
//! is what holds on a noisy machine; durations are for orientation.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool speaks on its own streams"
)]

mod certificate;
mod cluster;
mod comparison;
mod cores;
mod counts;
mod endpoints;
mod http2;
mod load;
mod machine;
mod marker;
mod meter;
mod million;
mod namespace;
mod numbers;
mod peers;
mod report;
mod results;
mod rounds;
mod scenario;
mod target;
mod workload;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What a delivery costs, beside other servers in the same run.
#[derive(Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench", args_conflicts_with_subcommands = true)]
struct Bench {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    comparison: comparison::Comparison,
}

#[derive(Subcommand)]
enum Command {
    /// Report an earlier run again, from its JSON
    Report(report::Report),
    /// Let a million wait over HTTP/2, and reach them all with one publish
    Million(million::Million),
    /// Servers that share one Redis: what it costs Redis, and a hundred thousand who wait on six of them
    Cluster(cluster::Cluster),
    /// A part of the crowd that waits on one server
    #[command(hide = true)]
    Crowd(cluster::crowd::Crowd),
    /// Publishing to disk and reading it, beside Electric's Durable Streams server
    Durable(comparison::Comparison),
    /// The same work beside more and more of what should not matter to it
    Growth(comparison::Comparison),
}

fn main() -> ExitCode {
    let bench = Bench::parse();
    let result = match &bench.command {
        Some(Command::Report(report)) => report.run(),
        Some(Command::Million(million)) => million.run(),
        Some(Command::Cluster(cluster)) => cluster.run(),
        Some(Command::Crowd(crowd)) => crowd.run(),
        Some(Command::Durable(comparison)) => comparison.run_durable(),
        Some(Command::Growth(comparison)) => comparison.run_growth(),
        None => bench.comparison.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
