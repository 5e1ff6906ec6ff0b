//! The bounds that our figures must keep, and whether a run keeps them.
//!
//! A bound is an upper limit against Nchan in the same run, against another scenario of ours, or absolute. What a void
//! row measured does not count.

use super::groups::{NCHAN, POLL};
use crate::numbers::{ratio as ratio_text, whole};
use crate::results::{Figure, Row, Run};

/// What a figure is divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Against {
    /// Nchan's in the same scenario.
    Nchan,
    /// Ours in this scenario.
    Scenario(&'static str),
    Nothing,
}

pub(super) struct Bound {
    scenario: &'static str,
    figure: Figure,
    against: Against,
    most: f64,
}

use Against::{Nchan, Nothing, Scenario};
use Figure::{Cpu, P99, Resident};

const fn bound(scenario: &'static str, figure: Figure, against: Against, most: f64) -> Bound {
    Bound { scenario, figure, against, most }
}

const BOUNDS: &[Bound] = &[
    bound("fanout-10000", Cpu, Nchan, 0.85),
    bound("channels", Cpu, Nchan, 0.9),
    bound("stream-1000", Cpu, Nchan, 0.6),
    bound("stream-10000", Cpu, Nchan, 0.6),
    bound("stream-paced", Cpu, Nchan, 0.8),
    bound("short-304", Cpu, Nchan, 0.9),
    bound("publish-memory", Cpu, Nchan, 0.9),
    bound("fanout-1000", P99, Nchan, 1.0),
    bound("stream-1000", P99, Nchan, 1.0),
    bound("stream-paced", P99, Nchan, 1.0),
    bound("idle", Resident, Nothing, 2_000.0),
    bound("http2-idle", Resident, Nothing, 1_500.0),
    // A list of ten channels costs little more than one channel.
    bound("lists-long", Cpu, Scenario("fanout-1000"), 1.3),
    bound("lists-stream", Cpu, Scenario("stream-1000"), 1.3),
    bound("lists-304", Cpu, Scenario("short-304"), 1.3),
    // TLS costs a server little more than the same without it, and no more than it costs others. Streams at full speed are
    // not compared with those without it: a slower load has fewer messages leave together.
    bound("tls-fanout-1000", Cpu, Scenario("fanout-1000"), 1.4),
    bound("tls-stream-paced", Cpu, Scenario("stream-paced"), 1.4),
    bound("tls-short-304", Cpu, Scenario("short-304"), 1.4),
    bound("tls-fanout-1000", Cpu, Nchan, 1.0),
    bound("tls-stream-1000", Cpu, Nchan, 1.0),
    bound("tls-stream-paced", Cpu, Nchan, 1.0),
    bound("tls-idle", Resident, Nchan, 1.0),
    // A log that several servers share costs a server little more than its own.
    bound("fanout-redis", Cpu, Scenario("fanout-disk"), 1.1),
    bound("publish-redis", Cpu, Scenario("publish-disk"), 1.3),
    // What grows must not make an operation more expensive.
    bound("fanout-15000", Cpu, Scenario("fanout-1000"), 1.15),
    bound("growth-channels-1000000", Cpu, Scenario("growth-channels-1"), 1.15),
    bound("growth-elsewhere-15000", Cpu, Scenario("growth-elsewhere-0"), 1.15),
    bound("growth-tail-long-100000", Cpu, Scenario("growth-tail-long-1"), 1.15),
    bound("growth-tail-short-100000", Cpu, Scenario("growth-tail-short-1"), 1.15),
    bound("growth-waiters-15000", Cpu, Scenario("growth-waiters-1000"), 1.15),
];

/// The bound against Nchan that a table shows beside the ratio.
pub(super) fn against_nchan(scenario: &str, figure: Figure) -> Option<&'static Bound> {
    let is_it =
        |bound: &&Bound| bound.scenario == scenario && bound.figure == figure && bound.against == Nchan;
    BOUNDS.iter().find(is_it)
}

/// Our figure divided by Nchan's in the same scenario: the median of the rounds' ratios.
pub(super) fn ratio(run: &Run, scenario: &str, figure: Figure) -> Option<f64> {
    Some(figure.ratios(row(run, scenario, POLL)?, row(run, scenario, NCHAN)?)?.median)
}

/// A line for each measured bound that no table shows, and one for all measured ones.
pub(super) fn others(run: &Run) -> Vec<String> {
    let lines = BOUNDS.iter().filter(|bound| bound.against != Nchan).filter_map(|bound| bound.line(run));
    let count = |kept| BOUNDS.iter().filter(|bound| bound.kept(run) == Some(kept)).count();
    lines.chain([format!("{} bounds hold, {} are missed", count(true), count(false))]).collect()
}

impl Bound {
    /// Behind a value: `≤ 0.85 holds`.
    pub(super) fn verdict(&self, run: &Run) -> String {
        let most = if self.most >= 1_000.0 { whole(self.most) } else { self.most.to_string() };
        format!("≤ {most} {}", if self.kept(run) == Some(true) { "holds" } else { "MISSED" })
    }

    fn line(&self, run: &Run) -> Option<String> {
        let words = |id| run.rows.iter().find(|row| row.id == id).map_or(id, |row| &*row.scenario);
        let (value, verdict) = (self.value(run)?, self.verdict(run));
        let what = format!("{}, {}", words(self.scenario), self.figure.name());
        Some(match self.against {
            Scenario(other) => {
                format!("{what}, relative to {}: {} {verdict}", words(other), ratio_text(value))
            }
            Nchan | Nothing => format!("{what}: {} {verdict}", whole(value)),
        })
    }

    /// `None` if it was not measured.
    fn kept(&self, run: &Run) -> Option<bool> {
        self.value(run).map(|value| value <= self.most)
    }

    fn value(&self, run: &Run) -> Option<f64> {
        let ours = row(run, self.scenario, POLL)?;
        match self.against {
            Nchan => ratio(run, self.scenario, self.figure),
            Scenario(other) => Some(self.figure.ratios(ours, row(run, other, POLL)?)?.median),
            Nothing => Some(self.figure.of(ours)?.median),
        }
    }
}

fn row<'a>(run: &'a Run, scenario: &str, server: &str) -> Option<&'a Row> {
    run.rows.iter().find(|row| row.id == scenario && row.server == server)
}

#[cfg(test)]
pub(super) fn scenarios() -> impl Iterator<Item = &'static str> {
    let other = |bound: &Bound| if let Scenario(other) = bound.against { Some(other) } else { None };
    BOUNDS.iter().flat_map(move |bound| [Some(bound.scenario), other(bound)]).flatten()
}
