//! What grows, in which sizes, and what is done at each.

use anyhow::Result;
use clap::ValueEnum;

use super::beside::Beside;
use super::tail::{Reads, Tail};
use crate::figures::{Round, Row};
use crate::peer::settings_of_ours;
use crate::scenario::{Course, FanOut, Needs, Room, Size, Target, grouped};

/// What grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Family {
    /// Channels, while one of them is published to
    Channels,
    /// Long polls on other channels, while one is published to
    Elsewhere,
    /// Retained messages, while waiters are given what is new
    TailLong,
    /// Retained messages, while short polls ask for the last
    TailShort,
    /// Waiters of one channel
    Waiters,
}

/// One size of a family.
pub(super) struct Step {
    pub(super) id: String,
    pub(super) words: String,
    operation: &'static str,
    pub(super) needs: Needs,
    pub(super) work: Work,
}

/// What is measured at one size.
pub(super) enum Work {
    Beside(Beside),
    Tail(Tail),
    /// What the comparison measures too.
    Course(Course),
}

impl Family {
    pub(super) fn all() -> &'static [Self] {
        Self::value_variants()
    }

    /// What is measured, in words.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Channels => "a publish, by the number of channels",
            Self::Elsewhere => "a publish, by long polls that wait on other channels",
            Self::TailLong => "a long poll's delivery, by the messages retained on its channel",
            Self::TailShort => "a short poll for the last message, by the messages retained on its channel",
            Self::Waiters => "a long poll's delivery, by those who wait on its channel",
        }
    }

    /// From the smallest on.
    pub(super) fn steps(self, size: Size) -> Vec<Step> {
        let sizes: &[u32] = match (self, size) {
            (Self::Channels, Size::Full) => &[1, 1_000, 100_000, 1_000_000],
            (Self::Elsewhere, Size::Full) => &[0, 1_000, 15_000],
            (Self::TailLong | Self::TailShort, Size::Full) => &[1, 1_000, 100_000],
            (Self::Waiters, Size::Full) => &[1_000, 5_000, 15_000],
            (Self::Elsewhere, Size::Quick) => &[0, 50],
            (Self::Channels | Self::TailLong | Self::TailShort, Size::Quick) => &[1, 1_500],
            (Self::Waiters, Size::Quick) => &[20, 100],
        };
        sizes.iter().map(|count| self.step(*count, size)).collect()
    }

    fn step(self, count: u32, size: Size) -> Step {
        let of = |full: u32, quick: u32| if size == Size::Full { full } else { quick };
        let many = grouped(count);
        let publishes = of(50_000, 500);
        let (name, words, operation, work) = match self {
            Self::Channels => {
                let work = Beside { channels: count, waiters: 0, publishes };
                let plural = if count == 1 { "" } else { "s" };
                ("channels", format!("publish, {many} channel{plural}"), "publish", Work::Beside(work))
            }
            Self::Elsewhere => {
                let work = Beside { channels: 1, waiters: count, publishes };
                ("elsewhere", format!("publish, {many} wait elsewhere"), "publish", Work::Beside(work))
            }
            Self::TailLong => {
                let fan_out = FanOut { waiters: of(1_000, 20), publishes: of(100, 5) };
                let work = Tail { retained: count, reads: Reads::Long(fan_out) };
                ("tail-long", format!("long poll, {many} retained"), "delivery", Work::Tail(work))
            }
            Self::TailShort => {
                let work = Tail { retained: count, reads: Reads::Short(of(100_000, 500)) };
                ("tail-short", format!("short poll, {many} retained"), "request", Work::Tail(work))
            }
            Self::Waiters => {
                // As many deliveries at every size.
                let work = FanOut { waiters: count, publishes: (of(150_000, 500) / count).max(1) };
                (
                    "waiters",
                    format!("long poll, fan-out to {many}"),
                    "delivery",
                    Work::Course(Course::FanOut(work)),
                )
            }
        };
        let room = if let Work::Tail(_) = work { Room::Retained(count) } else { Room::Connections };
        let needs = Needs { room, ..Needs::PLAIN };
        Step { id: format!("growth-{name}-{count}"), words, operation, needs, work }
    }
}

impl Step {
    /// Its row before the first round.
    pub(super) fn row(&self, server: &str) -> Row {
        Row {
            id: self.id.clone(),
            scenario: self.words.clone(),
            operation: self.operation.to_owned(),
            server: server.to_owned(),
            settings: settings_of_ours(self.needs),
            rounds: Vec::new(),
            void: None,
        }
    }
}

impl Work {
    /// One round on a fresh server.
    pub(super) fn run(&self, target: &Target) -> Result<Round> {
        match self {
            Self::Beside(beside) => beside.run(target),
            Self::Tail(tail) => tail.run(target),
            Self::Course(course) => course.run(target),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_has_a_name_of_its_own() {
        for size in [Size::Full, Size::Quick] {
            let mut ids: Vec<String> = Vec::new();
            for family in Family::all() {
                ids.extend(family.steps(size).into_iter().map(|step| step.id));
            }
            let all = ids.len();
            ids.sort();
            ids.dedup();
            assert_eq!(ids.len(), all);
            assert!(ids.iter().all(|id| id.starts_with("growth-")));
        }
    }

    #[test]
    fn what_is_raised_is_named() {
        let settings = |family: Family| family.steps(Size::Full).pop().map(|step| step.row("poll").settings);
        assert!(settings(Family::TailLong).unwrap().ends_with("--retain-messages 100000"));
        assert!(!settings(Family::Channels).unwrap().contains("--retain"));
    }
}
