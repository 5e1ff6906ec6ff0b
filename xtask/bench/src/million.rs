//! `cargo xtask bench million`: a million waiters in one process, and one publish that reaches them all.
//!
//! Starts a server, lets waiters come over HTTP/2, publishes, and shows memory and processor time beside the targets.
//! In contrast to the fan-out of the comparison the waiters ask again only when all were answered, so that what a
//! delivery costs is told apart from what the next question costs.

mod peak;
mod report;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result};
use clap::Args;

use self::peak::Peak;
use self::report::{Delivery, Report};
use super::cores::Cores;
use super::figures::{Round, Row};
use super::http2::{Again, Crowd, SETTLE, Shape};
use super::load::Waits;
use super::machine;
use super::meter::{Cpu, resident};
use super::namespace;
use super::progress::Progress;
use super::report::put_in_readme;
use super::scenario::grouped;
use xtask::server::{Binary, Keyboard, Server};

/// The command's arguments.
#[derive(Args)]
pub(super) struct Million {
    /// How many wait
    #[arg(long, default_value_t = 1_000_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    waiters: u32,
    /// On how many connections
    #[arg(long, default_value_t = 500, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=15_000))]
    connections: u16,
    /// How many messages are published, one after another
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    publishes: u32,
    /// Worker threads of the server; one runs alone on a core, more on all
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    workers: u8,
    /// Use this server instead of building one
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// Write the figures as a row of the comparison
    #[arg(long, value_name = "PATH")]
    json: Option<PathBuf>,
    /// Replace the figures in the README
    #[arg(long)]
    readme: bool,
}

impl Million {
    pub(super) fn run(&self) -> Result<()> {
        let binary = Binary::given_or_built(self.binary.as_deref())?;
        namespace::enter()?;
        let shape = Shape { waiters: self.waiters as usize, connections: usize::from(self.connections) };
        let mut arguments = vec!["--workers".to_owned(), self.workers.to_string()];
        arguments.extend(shape.arguments());
        let flags: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let start = || Server::start(&binary, &flags, Keyboard::Shared);
        // Before this thread is bound to one core of it.
        let machine = machine::describe()?;
        let cores = Cores::find()?;
        let server = if self.workers == 1 { cores.start_apart(start) } else { cores.start_on_both(start) }?;
        let mut report = Report { waiters: u64::from(self.waiters), ..Report::default() };
        let rounds = self.measure(&server, shape, &mut report)?;
        println!("{}", report.table());
        if let Some(path) = &self.json {
            let row = Row {
                id: "million".to_owned(),
                scenario: format!(
                    "long poll over HTTP/2, fan-out to {} on {}",
                    self.waiters, self.connections
                ),
                operation: "delivery".to_owned(),
                server: "poll".to_owned(),
                settings: format!("--store memory: {}", arguments.join(" ")),
                rounds,
                void: None,
            };
            let text = serde_json::to_string_pretty(&row)?;
            std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        if self.readme {
            let (date, commit) = (machine::today(), machine::commit());
            let section = format!(
                "{} long polls waiting over HTTP/2 on {} connections in one process, {} messages to all of them, on \
                 {date}, commit `{commit}`, {machine}; `{}`:\n\n{}",
                grouped(self.waiters),
                self.connections,
                self.publishes,
                arguments.join(" "),
                report.markdown()
            );
            put_in_readme("million", &section)?;
        }
        report.verdict()
    }

    fn measure(&self, server: &Server, shape: Shape, report: &mut Report) -> Result<Vec<Round>> {
        let processes = &[server.id()];
        report.empty = resident(processes)?;
        let opening = Cpu::of(processes)?;
        let waits = if self.workers == 1 { Waits::Awake } else { Waits::Asleep };
        let mut crowd = Crowd::gather(server.address(), shape, Again::WhenTold, waits)?;
        crowd.ask();
        self.park(&mut crowd, "waiters come")?;
        report.opening = Cpu::of(processes)?.since(opening).total;
        crowd.rest(SETTLE)?;
        report.idle = resident(processes)?;
        let mut rounds = Vec::new();
        for number in 1..=self.publishes {
            if number > 1 {
                crowd.ask();
                self.park(&mut crowd, "waiters come back")?;
                crowd.rest(SETTLE)?;
            }
            let (delivery, round) = self.publish(&mut crowd, processes, number)?;
            report.load += round.load;
            report.deliveries.push(delivery);
            rounds.push(round);
        }
        let tally = &crowd.tally;
        (report.lost, report.doubled, report.ran_out) = (tally.lost, tally.doubled, tally.ran_out);
        Ok(rounds)
    }

    fn park(&self, crowd: &mut Crowd, step: &str) -> Result<()> {
        let mut progress = Progress::begin(step, u64::from(self.waiters))?;
        crowd.park(|waiting| progress.show(waiting))?;
        progress.end();
        Ok(())
    }

    fn publish(&self, crowd: &mut Crowd, processes: &[u32], number: u32) -> Result<(Delivery, Round)> {
        let waiters = u64::from(self.waiters);
        let mut progress = Progress::begin(format!("message {number} reaches"), waiters)?;
        let before = crowd.tally.delivered;
        crowd.tally.latency.reset();
        let idle = resident(processes)?;
        let mut peak = Peak::watch(processes)?;
        let (busy, cpu, wall) = (crowd.busy(), Cpu::of(processes)?, Instant::now());
        crowd.publish(|tally| {
            progress.show(tally.delivered - before);
            peak.look()
        })?;
        let wall = u64::try_from(wall.elapsed().as_nanos())?;
        // Answered when the server has nothing left to do for those who have theirs.
        crowd.waiting()?;
        let (cpu, busy) = (Cpu::of(processes)?.since(cpu), crowd.busy().saturating_sub(busy));
        progress.end();
        let delivery = Delivery { idle, peak: peak.most()?, cpu: cpu.total, user: cpu.user, wall };
        let round = Round {
            operations: crowd.tally.delivered - before,
            cpu: cpu.total,
            user: cpu.user,
            load: u64::try_from(busy.as_nanos())?,
            wall,
            latency: Some(crowd.tally.latency()),
            resident: None,
        };
        Ok((delivery, round))
    }
}
