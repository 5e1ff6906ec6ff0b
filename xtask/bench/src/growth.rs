//! `cargo xtask bench growth`: the same work beside more and more of what should not matter to it.
//!
//! In each family one quantity grows, and the CPU time per operation should stay the same; it is shown relative to the
//! smallest size. Our server only.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::endpoints::Mode;
use crate::load::Repeat;
use crate::namespace;
use crate::numbers::{ratio, whole};
use crate::peers;
use crate::report::{self, markdown_table};
use crate::results::{Figure, Row, Run};
use crate::rounds::{self, Order, measure};
use crate::scenario::{Scenario, fan_out};
use crate::target::{Needs, Room, Size};
use crate::workload::beside::Beside;
use crate::workload::fan_out::FanOut;
use crate::workload::short::Short;
use crate::workload::tail;

/// How much more than at the smallest size still counts as flat.
const FLAT: f64 = 1.15;
const HEADINGS: [&str; 4] = ["server CPU per operation", "µs", "to the smallest", "≤ 1.15"];

#[derive(Args)]
pub(crate) struct Growth {
    /// Only these families (repeatable)
    #[arg(long, value_name = "FAMILY", value_enum)]
    only: Vec<Family>,
    /// Rounds of each size
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Small sizes, to see that it works; the figures mean nothing
    #[arg(long)]
    quick: bool,
    /// Measure this poll-server instead of building one
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// Write every round as JSON
    #[arg(long, value_name = "PATH")]
    json: Option<PathBuf>,
}

/// What grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Family {
    /// Channels, while one of them is published to
    Channels,
    /// Long polls on other channels, while one is published to
    Elsewhere,
    /// Retained messages, while waiters receive new ones
    TailLong,
    /// Retained messages, while short polls ask for the last
    TailShort,
    /// Waiters of one channel
    Waiters,
}

impl Growth {
    pub(crate) fn run(&self) -> Result<()> {
        let peer = peers::ours("poll", self.binary.as_deref())?;
        namespace::enter()?;
        let size = if self.quick { Size::Quick } else { Size::Full };
        let chosen = |family: &&Family| self.only.is_empty() || self.only.contains(family);
        let families: Vec<Family> = Family::value_variants().iter().filter(chosen).copied().collect();
        let scenarios: Vec<Scenario> = families.iter().flat_map(|family| family.scenarios(size)).collect();
        let run = measure(&scenarios, &[peer], self.rounds, Order::Fixed, |run| {
            report::keep(self.json.as_deref(), run)
        })?;
        for family in families {
            println!("{}\n", table(&run, family));
        }
        rounds::verdict(&run)
    }
}

impl Family {
    fn id(self) -> &'static str {
        match self {
            Self::Channels => "channels",
            Self::Elsewhere => "elsewhere",
            Self::TailLong => "tail-long",
            Self::TailShort => "tail-short",
            Self::Waiters => "waiters",
        }
    }

    /// From the smallest to the largest.
    fn scenarios(self, size: Size) -> Vec<Scenario> {
        let counts: &[u32] = match (self, size) {
            (Self::Channels, Size::Full) => &[1, 1_000, 100_000, 1_000_000],
            (Self::Elsewhere, Size::Full) => &[0, 1_000, 15_000],
            (Self::TailLong | Self::TailShort, Size::Full) => &[1, 1_000, 100_000],
            (Self::Waiters, Size::Full) => &[1_000, 5_000, 15_000],
            (Self::Elsewhere, Size::Quick) => &[0, 50],
            (Self::Channels | Self::TailLong | Self::TailShort, Size::Quick) => &[1, 1_500],
            (Self::Waiters, Size::Quick) => &[20, 100],
        };
        let id = |count| format!("growth-{}-{count}", self.id());
        counts.iter().map(|&count| self.scenario(count, size).named(id(count))).collect()
    }

    fn scenario(self, count: u32, size: Size) -> Scenario {
        let many = whole(count);
        let publishes = size.of(50_000, 500);
        let retained = Needs { room: Room::Retained(count), ..Needs::PLAIN };
        match self {
            Self::Channels => {
                let work = Beside { channels: count - 1, waiters: 0, publishes };
                let words = format!("publish, {many} channel{}", if count == 1 { "" } else { "s" });
                Scenario::new(words, "publish", Mode::LongPoll, move |target, read| work.run(target, read))
            }
            Self::Elsewhere => {
                let work = Beside { channels: 0, waiters: count, publishes };
                let words = format!("publish, {many} wait elsewhere");
                Scenario::new(words, "publish", Mode::LongPoll, move |target, read| work.run(target, read))
            }
            Self::TailLong => {
                let work = FanOut { waiters: size.of(1_000, 20), publishes: size.of(100, 5) };
                let words = format!("long poll, {many} retained");
                let run = move |target: &_, read: &_| tail::long(target, read, count, &work);
                Scenario::new(words, "delivery", Mode::LongPoll, run).with(retained, "")
            }
            Self::TailShort => {
                let work = Short { repeat: Repeat::All, connections: 64, requests: size.of(100_000, 500) };
                let words = format!("short poll, {many} retained");
                let run = move |target: &_, read: &_| tail::short(target, read, count, &work);
                Scenario::new(words, "request", Mode::ShortPoll, run).with(retained, "")
            }
            // The same number of deliveries at every size.
            Self::Waiters => fan_out(count, (size.of(150_000, 500) / count).max(1)),
        }
    }
}

/// A line per size.
fn table(run: &Run, family: Family) -> String {
    let prefix = format!("growth-{}-", family.id());
    let rows: Vec<&Row> = run.rows.iter().filter(|row| row.id.starts_with(&prefix)).collect();
    let smallest = rows.first().and_then(|row| Figure::Cpu.of(row));
    let line = |row: &&Row| {
        let spread = Figure::Cpu.of(row);
        let shown = spread.map_or_else(|| "void".to_owned(), |spread| spread.to_string());
        let relative = spread.zip(smallest).map(|(spread, smallest)| spread.median / smallest.median);
        let verdict = relative.map_or("", |relative| if relative <= FLAT { "holds" } else { "MISSED" });
        vec![row.scenario.clone(), shown, relative.map_or_else(String::new, ratio), verdict.to_owned()]
    };
    markdown_table(&HEADINGS, rows.iter().map(line).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Round;

    #[test]
    fn each_size_is_relative_to_the_smallest() {
        let row = |(scenario, cpu): (Scenario, u64)| Row {
            id: scenario.id,
            scenario: scenario.words,
            operation: String::new(),
            server: "poll".to_owned(),
            settings: String::new(),
            rounds: vec![Round { operations: 1, cpu, ..Round::default() }],
            void: None,
        };
        let scenarios = Family::Waiters.scenarios(Size::Full);
        let rows: Vec<Row> = scenarios.into_iter().zip([2_000, 2_200, 2_400]).map(row).collect();
        let mut run = Run { date: String::new(), commit: String::new(), machine: String::new(), rows };
        let line = |run: &Run, line: usize| table(run, Family::Waiters).lines().nth(line).unwrap().to_owned();
        assert!(line(&run, 3).ends_with("| 2.20 | 1.100           | holds  |"), "{}", line(&run, 3));
        assert!(line(&run, 4).ends_with("| 2.40 | 1.200           | MISSED |"), "{}", line(&run, 4));
        run.rows[1].void = Some("lost".to_owned());
        assert!(line(&run, 3).contains("| void |"));
    }
}
