//! `cargo xtask bench growth`: the same work beside ever more of what should not matter to it.
//!
//! In each family one thing grows (channels, waiters elsewhere, retained messages, waiters) and the processor time of
//! one operation should stay what it was; it is shown relative to the smallest size. Sizes take turns, round by round,
//! each on a fresh server. Ours alone: how others grow is not asked.

mod beside;
mod step;
mod table;
mod tail;

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;

use self::step::{Family, Step};
use super::comparison::line_of;
use super::cores::Cores;
use super::figures::{Round, Row, Run};
use super::load::Waits;
use super::machine;
use super::namespace;
use super::peer::{Given, Kind, Peer};
use super::report::Outputs;
use super::scenario::Size;

/// The course's arguments.
#[derive(Args)]
pub(super) struct Growth {
    /// Only these families (repeatable)
    #[arg(long, value_name = "FAMILY", value_enum)]
    only: Vec<Family>,
    /// Rounds of each size
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Small sizes, to see that it works; the figures mean nothing
    #[arg(long)]
    pub(super) quick: bool,
    /// Measure this poll-server instead of building one
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// Keep every round as JSON, which `bench report` reads
    #[arg(long, value_name = "PATH")]
    json: Option<PathBuf>,
}

impl Growth {
    pub(super) fn run(&self) -> Result<()> {
        let given = Given { built: None, binary: self.binary.clone(), golongpoll: None };
        let peer = Kind::Poll.prepare(&given)?.context("our own server can be run anywhere")?;
        namespace::enter()?;
        let cores = Cores::find()?;
        machine::raise_file_limit()?;
        let size = if self.quick { Size::Quick } else { Size::Full };
        let families =
            Family::all().iter().filter(|family| self.only.is_empty() || self.only.contains(family));
        let mut run = Run {
            date: machine::today(),
            commit: machine::commit(),
            machine: machine::describe()?,
            rows: Vec::new(),
        };
        let outputs = Outputs { json: self.json.clone(), ..Outputs::default() };
        for family in families {
            let rows = self.measure(&family.steps(size), &peer, &cores)?;
            println!("{}", table::render(*family, &rows));
            run.rows.extend(rows);
            // After each family, so that an interrupted run is not lost.
            outputs.keep(&run)?;
        }
        let void = run.rows.iter().filter(|row| row.void.is_some()).count();
        ensure!(void == 0, "of {} rows {void} are void", run.rows.len());
        Ok(())
    }

    fn measure(&self, steps: &[Step], peer: &Peer, cores: &Cores) -> Result<Vec<Row>> {
        let mut rows: Vec<Row> = steps.iter().map(|step| step.row(peer.name())).collect();
        for round in 1..=self.rounds {
            for (step, row) in steps.iter().zip(&mut rows) {
                if row.void.is_some() {
                    continue;
                }
                eprintln!("round {round}/{}: {}", self.rounds, step.words);
                match one(step, peer, cores) {
                    Ok(figures) => {
                        row.rounds.push(figures.clone());
                        eprintln!("  {}", line_of(&Row { rounds: vec![figures], ..row.clone() }));
                    }
                    Err(error) => {
                        let reason = machine::without_paths(&format!("{error:#}"));
                        eprintln!("  VOID: {reason}");
                        row.void = Some(reason);
                    }
                }
            }
        }
        if rows.iter().all(|row| row.void.is_some()) {
            bail!("every size is void, the first because {}", rows[0].void.as_deref().unwrap_or_default());
        }
        Ok(rows)
    }
}

/// One round on a fresh server with a core of its own.
fn one(step: &Step, peer: &Peer, cores: &Cores) -> Result<Round> {
    let mut running = cores.start_apart(|| peer.start(step.needs))?;
    running.target.waits = Waits::Awake;
    step.work.run(&running.target)
}
