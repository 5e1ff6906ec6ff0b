//! What must hold, in one place, and whether a run holds it.
//!
//! A target bounds one figure of ours from above: against Nchan in the same run (binding), against the floor (an aim),
//! against another scenario of ours, or as it stands. A void row holds nothing.
//!
//! Servers and scenarios take turns, so their rounds of one number are neighbours in time, and the machine's pace changes
//! from minute to minute: a ratio is the median of the rounds' own ratios.

use super::numbers::{self, bound, figure, whole};
use super::{FLOOR, NCHAN, POLL, scenarios};
use crate::figures::{Round, Row, Run, Spread};

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Figure {
    Cpu,
    P99,
    Resident,
}

/// With what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Against {
    /// The same scenario on another server.
    Server(&'static str),
    /// Another scenario of ours, by its id.
    Scenario(&'static str),
    /// Nothing: the figure itself is bounded.
    Nothing,
}

/// One bound, of one scenario.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    scenario: &'static str,
    figure: Figure,
    against: Against,
    /// The ratio, or the figure in its own unit.
    most: f64,
}

/// What came of a target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Verdict {
    Holds,
    Misses,
    NotMeasured,
}

use Against::{Nothing, Scenario, Server};
use Figure::{Cpu, P99, Resident};

const fn target(scenario: &'static str, figure: Figure, against: Against, most: f64) -> Target {
    Target { scenario, figure, against, most }
}

/// Every target. Against the floor it is an aim, the others bind.
pub(super) const TARGETS: &[Target] = &[
    target("fanout-10000", Cpu, Server(NCHAN), 0.85),
    target("fanout-10000", Cpu, Server(FLOOR), 1.6),
    target("channels", Cpu, Server(NCHAN), 0.8),
    target("channels", Cpu, Server(FLOOR), 1.9),
    target("stream-1000", Cpu, Server(NCHAN), 0.5),
    target("stream-1000", Cpu, Server(FLOOR), 1.1),
    target("stream-10000", Cpu, Server(NCHAN), 0.5),
    target("stream-10000", Cpu, Server(FLOOR), 1.1),
    target("stream-paced", Cpu, Server(NCHAN), 0.7),
    target("stream-paced", Cpu, Server(FLOOR), 1.5),
    target("short-304", Cpu, Server(NCHAN), 0.8),
    target("short-304", Cpu, Server(FLOOR), 1.5),
    target("publish-memory", Cpu, Server(NCHAN), 0.9),
    target("fanout-1000", P99, Server(NCHAN), 1.0),
    target("stream-1000", P99, Server(NCHAN), 1.0),
    target("stream-paced", P99, Server(NCHAN), 1.0),
    target("idle", Resident, Server(NCHAN), 0.7),
    target("idle", Resident, Nothing, 7_200.0),
    target("http2-idle", Resident, Nothing, 1_500.0),
    // More waiters may not make a delivery dearer, nor may a second worker.
    target("fanout-15000", Cpu, Scenario("fanout-1000"), 1.15),
    target("fanout-two-workers", Cpu, Scenario("fanout-10000"), 1.15),
];

impl Figure {
    /// The figure of a row, if it was measured and counts.
    pub(super) fn of(self, row: &Row) -> Option<Spread> {
        if row.void.is_some() {
            return None;
        }
        match self {
            Cpu => row.cpu(),
            P99 => row.p99(),
            Resident => row.resident(),
        }
    }

    /// The figure of one round.
    fn of_round(self, round: &Round) -> Option<f64> {
        match self {
            Cpu => round.cpu_each(),
            P99 => round.p99(),
            Resident => round.resident_each(),
        }
    }

    /// What it is, in words.
    pub(super) fn name(self) -> &'static str {
        match self {
            Cpu => "CPU µs",
            P99 => "p99 ms",
            Resident => "bytes a waiter",
        }
    }
}

/// The bound of our figure against a server's, if there is one.
pub(super) fn bound_on(scenario: &str, figure: Figure, server: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| {
        let against = matches!(target.against, Server(name) if name == server);
        target.scenario == scenario && target.figure == figure && against
    })
}

/// Our figure divided by a server's, in the same scenario: the median of the rounds' ratios.
pub(super) fn ratio(run: &Run, scenario: &str, figure: Figure, server: &str) -> Option<f64> {
    ratio_of(counted(run, scenario, POLL)?, counted(run, scenario, server)?, figure)
}

fn ratio_of(row: &Row, other: &Row, figure: Figure) -> Option<f64> {
    let rounds = row.rounds.iter().zip(&other.rounds).filter_map(|(round, other)| {
        let other = figure.of_round(other).filter(|other| *other > 0.0)?;
        Some(figure.of_round(round).filter(|round| *round > 0.0)? / other)
    });
    Some(Spread::of(rounds.collect())?.median)
}

fn median(run: &Run, scenario: &str, figure: Figure, server: &str) -> Option<f64> {
    Some(figure.of(counted(run, scenario, server)?)?.median).filter(|median| *median > 0.0)
}

/// The row of a server, unless it is void.
fn counted<'a>(run: &'a Run, scenario: &str, server: &str) -> Option<&'a Row> {
    run.rows.iter().find(|row| row.id == scenario && row.server == server && row.void.is_none())
}

impl Target {
    /// Whether it is aimed at rather than binding.
    pub(super) fn is_aim(&self) -> bool {
        self.against == Server(FLOOR)
    }

    /// Whether it shows beside the two figures it compares, rather than in a line of its own.
    pub(super) fn is_beside(&self) -> bool {
        matches!(self.against, Server(_))
    }

    pub(super) fn verdict(&self, run: &Run) -> Verdict {
        match self.value(run) {
            Some(value) if value <= self.most => Verdict::Holds,
            Some(_) => Verdict::Misses,
            None => Verdict::NotMeasured,
        }
    }

    /// Behind a value: `≤ 0.85 holds`.
    pub(super) fn judge(&self, run: &Run) -> String {
        format!("≤ {} {}", bound(self.most), self.verdict(run).word())
    }

    /// In a line of its own: what, how much, and the verdict.
    pub(super) fn line(&self, run: &Run) -> String {
        let scenarios = scenarios(run);
        let name = |id| scenarios.iter().find(|scenario| scenario.id == id).map_or(id, |found| found.name);
        let what = format!("{}, {}", name(self.scenario), self.figure.name());
        let (what, value) = match self.against {
            Server(server) => (format!("{what} against {server}"), self.value(run).map(numbers::ratio)),
            Scenario(other) => {
                (format!("{what} against {}", name(other)), self.value(run).map(numbers::ratio))
            }
            Nothing if self.figure == Resident => (what, self.value(run).map(whole)),
            Nothing => (what, self.value(run).map(figure)),
        };
        value.map_or_else(
            || format!("{what}: {}", Verdict::NotMeasured.word()),
            |value| format!("{what}: {value} {}", self.judge(run)),
        )
    }

    fn value(&self, run: &Run) -> Option<f64> {
        match self.against {
            Server(server) => ratio(run, self.scenario, self.figure, server),
            Scenario(other) => {
                ratio_of(counted(run, self.scenario, POLL)?, counted(run, other, POLL)?, self.figure)
            }
            Nothing => median(run, self.scenario, self.figure, POLL),
        }
    }
}

impl Verdict {
    pub(super) fn word(self) -> &'static str {
        match self {
            Verdict::Holds => "holds",
            Verdict::Misses => "misses",
            Verdict::NotMeasured => "not measured",
        }
    }
}

/// How the targets of one kind came out, in words: `aims: 4 held, 1 missed, 1 not measured`.
pub(super) fn tally(run: &Run, kind: &str, chosen: impl Fn(&Target) -> bool) -> String {
    let count =
        |verdict| TARGETS.iter().filter(|target| chosen(target) && target.verdict(run) == verdict).count();
    let (holds, misses, open) = (count(Verdict::Holds), count(Verdict::Misses), count(Verdict::NotMeasured));
    format!("{kind}: {holds} held, {misses} missed, {open} not measured")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Scenario, Size};

    #[test]
    fn every_target_is_of_a_scenario_that_is_measured() {
        for size in [Size::Full, Size::Quick] {
            let all = Scenario::all(size);
            let is_measured = |id: &str| all.iter().any(|scenario| scenario.id == id);
            for target in TARGETS {
                assert!(is_measured(target.scenario), "{}", target.scenario);
                if let Against::Scenario(other) = target.against {
                    assert!(is_measured(other), "{other}");
                }
            }
        }
    }
}
