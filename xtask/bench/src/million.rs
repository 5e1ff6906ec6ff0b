//! `cargo xtask bench million`: a million waiters in one process, and messages that reach them all.
//!
//! Unlike in the comparison, waiters ask again only once all are answered, so that a delivery's cost is told apart from
//! that of the next request.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;

use crate::cores::{Cores, Share};
use crate::endpoints::Mode;
use crate::http2::{Again, Http2Load};
use crate::meter::{Cpu, peak, reset_peak, resident};
use crate::numbers::{figure, whole};
use crate::peer::Peer;
use crate::progress::Progress;
use crate::report::{markdown_table, put_between_marks};
use crate::results::{Figure, Round};
use crate::target::{Needs, Room, Shape, Target};
use crate::workload::http2::SETTLE;
use crate::workload::stopwatch::Stopwatch;
use crate::{machine, namespace};

/// Bounds. Memory in all is bounded for a million or more only.
const RESIDENT: f64 = 1.6e9;
const RESIDENT_EACH: f64 = 1_500.0;
const PEAK: f64 = 1.5;
const MICROSECONDS: f64 = 4.0;
const MILLION: u32 = 1_000_000;

#[derive(Args)]
pub(crate) struct Million {
    /// How many wait
    #[arg(long, default_value_t = MILLION, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    waiters: u32,
    /// On how many connections
    #[arg(long, default_value_t = 500, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=15_000))]
    connections: u32,
    /// How many messages are published, one after another
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    publishes: u32,
    /// Worker threads of the server; one has a core of its own, more share both
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    workers: u8,
    /// Use this server instead of building one
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// Replace the figures in docs/benchmarks.md
    #[arg(long)]
    docs: bool,
}

/// One line of the table.
struct Line {
    name: String,
    measured: String,
    /// The bound, and whether it is kept.
    bound: Option<(String, bool)>,
}

impl Million {
    pub(crate) fn run(&self) -> Result<()> {
        let peer = Peer::ours("poll", self.binary.as_deref())?;
        namespace::enter()?;
        machine::raise_file_limit()?;
        let shape = Shape { waiters: self.waiters, connections: self.connections };
        let share = if self.workers == 1 { Share::Apart } else { Share::Both };
        let needs = Needs { workers: self.workers, share, room: Room::Streams(shape), ..Needs::PLAIN };
        let settings = peer.settings(Mode::Http2, needs).unwrap_or_default();
        let run = machine::new_run()?;
        let running = Cores::find()?.start(share, || peer.start(needs))?;
        let lines = self.measure(&running.target, shape)?;
        let table = table(&lines);
        println!("{table}");
        if self.docs {
            let text = format!(
                "{} long polls over HTTP/2 on {} connections to one process, and {} messages to all of them. Measured on \
                 {}, commit `{}`, {}; `{settings}`:\n\n{table}",
                whole(self.waiters),
                self.connections,
                self.publishes,
                run.date,
                run.commit,
                run.machine,
            );
            put_between_marks("docs/benchmarks.md", "million", &text)?;
        }
        verdict(&lines)
    }

    fn measure(&self, target: &Target, shape: Shape) -> Result<Vec<Line>> {
        let processes = &*target.processes;
        let waiters = u64::from(self.waiters);
        let each = |of_all: u64| float(of_all) / float(waiters);
        let (empty, before) = (resident(processes)?, Cpu::of(processes)?);
        let load = Http2Load::connect(target.endpoints.address, shape, Again::WhenTold, target.waits)?;
        ask(&load, waiters)?;
        let opening = Cpu::of(processes)?.since(before).total;
        load.rest(SETTLE)?;
        let idle = resident(processes)?;
        let gigabytes = |bytes: f64| format!("{:.3} GB", bytes / 1e9);
        let micros = |micros: f64| format!("{} µs", figure(micros));
        let in_all = if self.waiters < MILLION { f64::INFINITY } else { RESIDENT };
        let bytes_each = each(idle.saturating_sub(empty));
        let mut lines = vec![
            Line::told("waiters", whole(self.waiters)),
            Line::bounded("resident memory in all", float(idle), in_all, gigabytes),
            Line::bounded("resident memory per waiter", bytes_each, RESIDENT_EACH, |bytes| {
                format!("{bytes:.0} B")
            }),
            Line::told("server CPU of a first poll", micros(each(opening) / 1e3)),
            Line::told("lost, repeated or out of order", "0".to_owned()),
        ];
        for number in 1..=self.publishes {
            if number > 1 {
                ask(&load, waiters)?;
                load.rest(SETTLE)?;
            }
            let idle = resident(processes)?;
            reset_peak(processes)?;
            let round = publish(&load, processes, waiters)?;
            let most = peak(processes)?;
            let named = |what: &str| format!("message {number}: {what}");
            let of = |one: Figure| one.of_round(&round).unwrap_or_default();
            lines.extend([
                Line::bounded(named("server CPU per delivery"), of(Figure::Cpu), MICROSECONDS, micros),
                Line::told(named("of it in user space"), micros(of(Figure::User))),
                Line::bounded(named("peak memory to idle"), float(most) / float(idle), PEAK, figure),
                Line::told(named("peak memory"), gigabytes(float(most))),
                Line::told(named("until the last had it"), format!("{:.2} s", float(round.wall) / 1e9)),
            ]);
        }
        Ok(lines)
    }
}

fn ask(load: &Http2Load, waiters: u64) -> Result<()> {
    let mut progress = Progress::begin("waiters ask", waiters);
    load.ask(|waiting| progress.show(waiting))
}

fn publish(load: &Http2Load, processes: &[u32], waiters: u64) -> Result<Round> {
    let mut progress = Progress::begin("the message arrives", waiters);
    let watch = Stopwatch::start(processes, Duration::ZERO)?;
    load.publish(|delivered| progress.show(delivered))?;
    load.settle()?;
    watch.stop(waiters, Duration::ZERO, None)
}

impl Line {
    fn told(name: impl Into<String>, measured: String) -> Self {
        Self { name: name.into(), measured, bound: None }
    }

    fn bounded(name: impl Into<String>, value: f64, most: f64, write: impl Fn(f64) -> String) -> Self {
        let bound = most.is_finite().then(|| (write(most), value <= most));
        Self { name: name.into(), measured: write(value), bound }
    }
}

fn table(lines: &[Line]) -> String {
    let bound = |line: &Line| match &line.bound {
        None => String::new(),
        Some((bound, true)) => format!("≤ {bound} holds"),
        Some((bound, false)) => format!("≤ {bound} MISSED"),
    };
    let rows = lines.iter().map(|line| vec![line.name.clone(), line.measured.clone(), bound(line)]);
    markdown_table(&["", "measured", "bound"], rows.collect())
}

fn verdict(lines: &[Line]) -> Result<()> {
    let missed = lines.iter().filter(|line| matches!(line.bound, Some((_, false))));
    let missed: Vec<&str> = missed.map(|line| &*line.name).collect();
    ensure!(missed.is_empty(), "missed: {}", missed.join(", "));
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missed_is_named() {
        let lines = [
            Line::told("waiters", "2".to_owned()),
            Line::bounded("memory", 1.0, 1.0, figure),
            Line::bounded("time", 1.1, 1.0, figure),
            Line::bounded("unbounded", 9.0, f64::INFINITY, figure),
        ];
        assert!(verdict(&lines[..2]).is_ok());
        assert_eq!(verdict(&lines).unwrap_err().to_string(), "missed: time");
        let table = table(&lines);
        assert!(table.contains("≤ 1.00 holds") && table.contains("≤ 1.00 MISSED"), "{table}");
    }
}
