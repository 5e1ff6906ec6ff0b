//! `cargo xtask bench million`: a million waiters in one process, and messages that reach them all.
//!
//! Unlike in the comparison, a delivery's cost is told apart from that of the next request.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;
use indicatif::ProgressBar;

use crate::cores::Cores;
use crate::endpoints::Mode;
use crate::http2::Http2Load;
use crate::meter::{Stopwatch, peak, reset_peak, resident};
use crate::numbers::{figure, whole};
use crate::report::{markdown_table, put_between_marks};
use crate::results::{Figure, Subject};
use crate::target::{Needs, Room, Shape, Target};
use crate::workload::http2::SETTLE;
use crate::{machine, namespace, peers};

const MILLION: u32 = 1_000_000;
/// Bounds: gigabytes in all (for a million or fewer), bytes per waiter, peak memory to idle, microseconds per delivery.
const RESIDENT: f64 = 1.6;
const RESIDENT_EACH: f64 = 1_500.0;
const PEAK: f64 = 1.5;
const DELIVERY: f64 = 4.0;

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
    /// Use this server instead of building one
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// Replace the figures in docs/benchmarks.md
    #[arg(long)]
    docs: bool,
}

/// A line of the table: name, value and bound.
type Line = (String, f64, Option<f64>);

impl Million {
    pub(crate) fn run(&self) -> Result<()> {
        let peer = peers::ours("poll", self.binary.as_deref())?;
        namespace::enter()?;
        machine::raise_file_limit()?;
        let shape = Shape { waiters: self.waiters, connections: self.connections };
        let needs = Needs { room: Room::Streams(shape), ..Needs::PLAIN };
        let run = machine::new_run(Subject::Deliveries)?;
        let running = Cores::find()?.start(needs.share, || (peer.start)(needs))?;
        let lines = self.measure(&running.target, shape)?;
        let text = format!(
            "{} long polls over HTTP/2 on {} connections to one process, and {} messages to all of them; none lost, \
             repeated or out of order. Measured on {}, commit `{}`, {}; `{}`:\n\n{}",
            whole(self.waiters),
            self.connections,
            self.publishes,
            run.date,
            run.commit,
            run.machine,
            peer.settings(Mode::Http2, needs).unwrap_or_default(),
            table(&lines)
        );
        println!("{text}");
        if self.docs {
            put_between_marks("docs/benchmarks.md", "million", &text)?;
        }
        let missed: Vec<&str> = lines.iter().filter(|line| !holds(line)).map(|line| &*line.0).collect();
        ensure!(missed.is_empty(), "missed: {}", missed.join(", "));
        Ok(())
    }

    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    fn measure(&self, target: &Target, shape: Shape) -> Result<Vec<Line>> {
        let (processes, waiters) = (&*target.processes, u64::from(self.waiters));
        let told = |name: &str, value: f64| (name.to_owned(), value, None);
        let empty = resident(processes)?;
        let load = Http2Load::connect(target, shape)?;
        let progress = ProgressBar::new(waiters);
        let opening = Stopwatch::start(processes)?;
        load.ask(|waiting| progress.set_position(waiting))?;
        let opening = opening.stop(waiters, None)?;
        load.rest(SETTLE)?;
        let mut idle = resident(processes)?;
        let each = idle.saturating_sub(empty) as f64 / f64::from(self.waiters);
        let in_all = (self.waiters <= MILLION).then_some(RESIDENT);
        let mut lines = vec![
            ("resident memory in all, GB".to_owned(), idle as f64 / 1e9, in_all),
            ("resident memory per waiter, B".to_owned(), each, Some(RESIDENT_EACH)),
            told("server CPU of a first poll, µs", Figure::Cpu.of_round(&opening).unwrap_or_default()),
        ];
        for number in 1..=self.publishes {
            if number > 1 {
                load.ask(|waiting| progress.set_position(waiting))?;
                load.rest(SETTLE)?;
                idle = resident(processes)?;
            }
            reset_peak(processes)?;
            let watch = Stopwatch::start(processes)?;
            load.publish(|delivered| progress.set_position(delivered))?;
            load.settle()?;
            let round = watch.stop(waiters, None)?;
            let named = |what: &str| format!("message {number}: {what}");
            let cpu = Figure::Cpu.of_round(&round).unwrap_or_default();
            lines.extend([
                (named("server CPU per delivery, µs"), cpu, Some(DELIVERY)),
                (named("peak memory to idle"), peak(processes)? as f64 / idle as f64, Some(PEAK)),
                told(&named("until the last had it, s"), round.wall as f64 / 1e9),
            ]);
        }
        Ok(lines)
    }
}

fn holds((_, value, bound): &Line) -> bool {
    bound.is_none_or(|bound| *value <= bound)
}

fn table(lines: &[Line]) -> String {
    let row = |line: &Line| {
        let verdict = if holds(line) { "holds" } else { "MISSED" };
        let bound = line.2.map_or_else(String::new, |bound| format!("≤ {} {verdict}", figure(bound)));
        vec![line.0.clone(), figure(line.1), bound]
    };
    markdown_table(&["", "measured", "bound"], lines.iter().map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_exceeds_its_bound_is_missed() {
        let line = |value, bound| ("x".to_owned(), value, bound);
        let lines = [line(9.0, None), line(1.0, Some(1.0)), line(1.1, Some(1.0))];
        assert_eq!(lines.each_ref().map(holds), [true, true, false]);
        assert!(table(&lines).contains("| 1.10     | ≤ 1.00 MISSED |"), "{}", table(&lines));
    }
}
