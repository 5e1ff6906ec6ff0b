//! `cargo xtask simulate`: a whole server in one process on one seed, with all that can go wrong around it.
//!
//! The server is the real one, from its connections to its journal. Its threads are tasks of one runtime whose time is
//! virtual (`platform.rs`, `thread.rs`); its disk (`disk.rs`) and its network (`network.rs`) are in memory, and its clock
//! and randomness are the seed's. The clients and the judge are the torture's. So a seed gives the same run every time, and a
//! failure is played again by its seed alone.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool speaks on its own streams"
)]

mod abort;
mod disk;
mod fault;
mod hunt;
mod network;
mod outcome;
mod planted;
mod platform;
mod random;
mod run;
mod server;
mod thread;
mod trace;
mod verdict;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use poll_core::planted::Bug;

use self::outcome::Counts;
use self::run::{Verbosity, fix_hashes, run};

/// One seed in so many is run twice, and must give the same both times.
const TWICE: u64 = 16;

/// Simulate the whole: a server, its disk, its network, its clock and its clients
#[derive(Parser)]
#[command(name = "cargo xtask simulate", bin_name = "cargo xtask simulate")]
struct Simulate {
    /// How many seeds
    #[arg(long, default_value_t = 100, value_name = "N")]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 1, value_name = "S")]
    first: u64,
    /// Only this seed, and print what happened
    #[arg(long, value_name = "S", conflicts_with_all = ["seeds", "first"])]
    seed: Option<u64>,
    /// Go on after a failure
    #[arg(long)]
    all: bool,
    /// With a bug planted into the server, such as `checksum`
    #[arg(long, value_name = "BUG", value_parser = planted::named)]
    plant: Option<Bug>,
    /// Plant each bug, and fail unless it is found
    #[arg(long, conflicts_with_all = ["seeds", "first", "seed", "all", "plant"])]
    planted: bool,
}

impl Simulate {
    fn run(&self) -> Result<()> {
        fix_hashes();
        abort::watch();
        if self.planted {
            return hunt::find_all();
        }
        if let Some(seed) = self.seed {
            return one(seed, self.plant);
        }
        let (mut sum, mut failed, began) = (Counts::default(), Vec::new(), Instant::now());
        for seed in self.first..self.first + self.seeds {
            match checked(seed, self.plant) {
                Ok(counts) => sum.add(counts),
                Err(error) => {
                    eprintln!("seed {seed}: {error:#}\nplay it again: cargo xtask simulate --seed {seed}");
                    failed.push(seed);
                    ensure!(self.all, "seed {seed} failed");
                }
            }
        }
        let Counts { operations, faults, harmed, refused } = sum;
        println!(
            "{} seeds, {operations} operations, {faults} faults, {harmed} with a harmed disk, {refused} stores refused, \
             {:.1?}",
            self.seeds,
            began.elapsed()
        );
        ensure!(failed.is_empty(), "{} seeds failed: {failed:?}", failed.len());
        Ok(())
    }
}

/// Runs a seed, and some of them twice.
fn checked(seed: u64, bug: Option<Bug>) -> Result<Counts> {
    let outcome = run(seed, Verbosity::Quiet, bug)?;
    let counts = outcome.result?;
    if seed.is_multiple_of(TWICE) {
        let again = run(seed, Verbosity::Quiet, bug)?;
        ensure!(again.hash == outcome.hash, "it is not the same every time");
    }
    Ok(counts)
}

/// Runs a seed twice, and prints its transcript.
fn one(seed: u64, bug: Option<Bug>) -> Result<()> {
    let (first, again) = (run(seed, Verbosity::Transcript, bug)?, run(seed, Verbosity::Transcript, bug)?);
    first.transcript.lines.iter().for_each(|line| println!("{line}"));
    let (events, others) = (&first.transcript.events, &again.transcript.events);
    if let Some(at) = (0..events.len()).find(|&at| others.get(at) != Some(&events[at])) {
        let near = at.saturating_sub(8)..at + 4;
        eprintln!("{:#?}\nand then\n{:#?}", events.get(near.clone()), others.get(near));
    }
    let counts = first.result.with_context(|| format!("seed {seed}"))?;
    ensure!(first.hash == again.hash, "it is not the same every time");
    println!("{counts:?}, trace {:016x}", first.hash);
    Ok(())
}

fn main() -> ExitCode {
    match Simulate::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
