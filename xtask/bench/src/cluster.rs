//! `cargo xtask bench cluster`: servers that share one Redis.
//!
//! Two things that no comparison of single servers shows. What a publish costs Redis itself, beside the same command
//! sent to it by a client that does nothing else. And one publish that reaches a hundred thousand clients, which wait
//! over HTTP/1.1 on six servers of this machine.

pub(crate) mod crowd;
mod hundred_thousand;
mod line;
mod redis_cpu;
mod replay;
mod servers;
mod tap;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;
use xtask::server::Binary;

use self::line::table;
use crate::peers::redis;
use crate::report::put_between_marks;
use crate::results::Subject;
use crate::target::Size;
use crate::{machine, namespace};

/// Ratios of single rounds differ by some percent.
const ROUNDS: u32 = 9;
/// Where the figures are written, between marks of these names.
const DOCUMENTS: [&str; 2] = ["docs/benchmarks.md", "docs/scaling.md"];
const MARK: &str = "cluster";

#[derive(Args)]
pub(crate) struct Cluster {
    /// How many wait in all
    #[arg(long, default_value_t = 100_000, value_name = "N", value_parser = clap::value_parser!(u32).range(6..))]
    waiters: u32,
    /// Rounds of what is compared
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: Option<u32>,
    /// A little of everything, to see that it works; the figures mean nothing
    #[arg(long, conflicts_with = "docs")]
    quick: bool,
    /// Use this server instead of building one
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// Replace the figures in docs/benchmarks.md and docs/scaling.md
    #[arg(long)]
    docs: bool,
}

impl Cluster {
    pub(crate) fn run(&self) -> Result<()> {
        let binary = Binary::given_or_built(self.binary.as_deref())?;
        redis::ensure()?;
        namespace::enter()?;
        machine::raise_file_limit()?;
        let size = if self.quick { Size::Quick } else { Size::Full };
        let run = machine::new_run(Subject::Deliveries)?;
        let rounds = self.rounds.unwrap_or(size.of(ROUNDS, 1));
        // First, while its processes may still run on all cores.
        let crowd = hundred_thousand::measure(&binary, size.of(self.waiters, 120))?;
        let mut lines = redis_cpu::measure(&binary, rounds, size)?;
        lines.extend(crowd);
        let text = format!(
            "Measured on {}, commit `{}`, {}; medians of {rounds} rounds, with their range in brackets:\n\n{}",
            run.date,
            run.commit,
            run.machine,
            table(&lines)
        );
        println!("{text}");
        if self.docs {
            DOCUMENTS.iter().try_for_each(|document| put_between_marks(document, MARK, &text))?;
        }
        let missed: Vec<&str> =
            lines.iter().filter(|line| !line.holds()).map(|line| line.name.as_str()).collect();
        ensure!(self.quick || missed.is_empty(), "missed: {}", missed.join(", "));
        Ok(())
    }
}
