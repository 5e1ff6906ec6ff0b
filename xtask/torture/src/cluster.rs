//! `cargo xtask torture cluster`: three nodes over a real Redis, Sentinel trio or Redis Cluster, with nginx in front, and
//! everything that goes wrong between them.
//!
//! Publishers publish on each node in turn; readers of every pattern and dialect read on each node, through nginx, and
//! now here and now there. All must be given one same order, with nothing lost or doubled, unless Redis itself lost it,
//! and then all are told. What a node has acknowledged is read at once on another. A node must say within seconds that it
//! is cut off, tell its streams so, and be ready again by itself.

mod fault;
mod liar;
mod nginx;
mod node;
mod process;
mod redis;
mod relay;
mod round;
mod six;
mod story;
mod strike;
mod system;
mod trio;
mod verdict;
mod watch;
mod witness;

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Args, ValueEnum as _};
use tokio::signal::unix::{SignalKind, signal};

use self::fault::Fault;
use self::liar::Lie;
use self::round::{FAULTY, PUBLISHERS, READERS, Report};
use self::strike::Length;
use self::system::System;
use crate::fixture::{Fixture, block_on, name};
use crate::tally::Tally;
use xtask::columns::align;

/// Between the seeds of two rounds; the first round has the seed as it was given.
const NEXT: u64 = 0x9e37_79b9_7f4a_7c15;

/// The faults of a short run: one of each sort. All of them take twice as long.
const SHORT: [Fault; 7] = [
    Fault::Planted,
    Fault::PubsubKilled,
    Fault::Overrun,
    Fault::Restart,
    Fault::NodeKilled,
    Fault::CutBoth,
    Fault::FailoverKill,
];

/// The course's arguments.
#[derive(Args)]
pub(super) struct Cluster {
    /// How often each fault is inflicted
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    rounds: u64,
    /// Only this fault; may be given several times
    #[arg(long, value_name = "NAME")]
    only: Vec<Fault>,
    /// Faults that last no longer than a node may take to notice, and fewer of them
    #[arg(long)]
    quick: bool,
    #[command(flatten)]
    fixture: Fixture,
}

/// All rounds of one fault.
struct Record {
    fault: Fault,
    rounds: u64,
    publishers: Tally,
    readers: Tally,
    fresh: u64,
    noticed: Vec<Duration>,
    recovered: Duration,
    failures: Vec<String>,
}

impl Cluster {
    pub(super) fn short(fixture: Fixture) -> Self {
        Self { rounds: 1, only: SHORT.to_vec(), quick: true, fixture }
    }

    pub(super) fn run(&self) -> Result<()> {
        block_on(async {
            let (mut terminated, mut interrupted) =
                (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
            tokio::select! {
                done = self.all() => done,
                _ = terminated.recv() => bail!("terminated"),
                _ = interrupted.recv() => bail!("interrupted"),
            }
        })
    }

    async fn all(&self) -> Result<()> {
        let seed = self.fixture.seed();
        println!("torture cluster: {} rounds of each fault, --seed {seed}", self.rounds);
        let all = Fault::value_variants().iter().copied().filter(|fault| *fault != Fault::Control);
        let faults = match (&self.only[..], self.quick) {
            ([], true) => Fault::QUICK.to_vec(),
            ([], false) => all.collect(),
            (only, _) => only.to_vec(),
        };
        let mut records = Vec::new();
        for fault in faults {
            let record = self.inflict(fault, seed).await?;
            if fault != Fault::Planted {
                println!("{}\n{}\n", record.publishers, record.readers);
            }
            records.push(record);
        }
        println!("{}", table(&records));
        let failures: Vec<&String> = records.iter().flat_map(|record| &record.failures).collect();
        match failures.first() {
            None => Ok(()),
            Some(first) => bail!("{} rounds failed, the first: {first}", failures.len()),
        }
    }

    /// All rounds of one fault, on one system as long as none fails.
    async fn inflict(&self, fault: Fault, seed: u64) -> Result<Record> {
        let binary = self
            .fixture
            .plain_binary("its faults lie between the servers and Redis, behind any client's connection")?;
        let mut record = Record::new(fault);
        let mut running: Option<System> = None;
        for number in 0..self.rounds {
            let seed = seed.wrapping_add(NEXT.wrapping_mul(number));
            let mut system = match running.take() {
                Some(system) => system,
                None => System::start(&binary, fault.topology(), fault.durability(), fault.clocks())
                    .await
                    .with_context(|| format!("no system for {fault:?}"))?,
            };
            let length = if self.quick { Length::Quick } else { Length::Full };
            let played = match fault {
                Fault::Planted => plant(&mut system, number, seed, &mut record).await,
                _ => round::play(&mut system, fault, number, seed, length)
                    .await
                    .and_then(|report| record.add(report)),
            };
            match played {
                Ok(()) => running = Some(system),
                Err(error) => {
                    let replay = format!("--only {} --rounds 1 --seed {seed}", name(&fault));
                    let failure = format!("{replay}: {error:#}");
                    println!("FAILED {failure}\n{}", system.last_words());
                    record.failures.push(failure);
                }
            }
        }
        match running {
            Some(system) => system.drain().await.context("after the last round")?,
            None => println!("no system is left to drain"),
        }
        Ok(record)
    }
}

/// A round with each lie, which must be found.
async fn plant(system: &mut System, number: u64, seed: u64, record: &mut Record) -> Result<()> {
    for (which, (lie, found)) in (0..).zip(Lie::ALL) {
        system.plant(lie).await?;
        let number = Lie::ALL.len() as u64 * number + which;
        let report = round::play(system, Fault::Planted, number, seed, Length::Quick).await?;
        ensure!(report.finds(found), "{lie:?} was not found:\n{}\n{}", report.publishers, report.readers);
        record.rounds += 1;
    }
    Ok(())
}

impl Record {
    fn new(fault: Fault) -> Self {
        Self {
            fault,
            rounds: 0,
            publishers: Tally::new("published by", PUBLISHERS, FAULTY[0]),
            readers: Tally::new("read by", READERS, FAULTY[1]),
            fresh: 0,
            noticed: Vec::new(),
            recovered: Duration::ZERO,
            failures: Vec::new(),
        }
    }

    /// Takes a round over; fails if anything went wrong in it.
    fn add(&mut self, report: Report) -> Result<()> {
        let Report { publishers, readers, fresh, noticed, recovered } = report;
        let verdict = publishers.verdict("acknowledged").and_then(|()| readers.verdict("given"));
        self.rounds += 1;
        self.fresh += fresh;
        self.noticed.extend(noticed);
        self.recovered = self.recovered.max(recovered);
        self.publishers.join(publishers);
        self.readers.join(readers);
        verdict
    }
}

/// One row a fault.
fn table(records: &[Record]) -> String {
    let heading = [
        "fault",
        "rounds",
        "failed",
        "acknowledged",
        "given",
        "resets",
        "taken",
        "fresh reads",
        "unready after ms",
        "ready again after ms",
    ];
    let mut rows = vec![heading.map(str::to_owned)];
    let millis =
        |time: Option<&Duration>| time.map_or_else(|| "-".to_owned(), |time| time.as_millis().to_string());
    rows.extend(records.iter().map(|record| {
        [
            name(&record.fault),
            record.rounds.to_string(),
            record.failures.len().to_string(),
            record.publishers.sum("acknowledged").to_string(),
            record.readers.sum("given").to_string(),
            record.readers.sum("resets").to_string(),
            record.publishers.sum("taken").to_string(),
            record.fresh.to_string(),
            millis(record.noticed.iter().max()),
            millis(Some(&record.recovered)),
        ]
    }));
    align(&rows)
}
