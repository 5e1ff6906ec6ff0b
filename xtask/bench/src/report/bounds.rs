//! The bounds that our figures must keep, and whether a run keeps them.
//!
//! A bound is a limit against another server in the same run, against another scenario of ours, or absolute. What a void
//! row measured does not count.

use super::groups::{ELECTRIC, NCHAN, POLL};
use crate::numbers::{figure as number, ratio as ratio_text, whole};
use crate::results::{Figure, Row, Run};

/// What a figure is divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Against {
    /// Another server's in the same scenario.
    Server(&'static str),
    /// Ours in this scenario.
    Scenario(&'static str),
    Nothing,
}

#[derive(Clone, Copy, Debug)]
enum Limit {
    Most(f64),
    Least(f64),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    scenario: &'static str,
    figure: Figure,
    against: Against,
    limit: Limit,
}

use Against::{Nothing, Scenario, Server};
use Figure::{Cpu, Lag, Memory, P99, Rate, Resident};
use Limit::{Least, Most};

const AGAINST_NCHAN: Against = Server(NCHAN);

const fn bound(scenario: &'static str, figure: Figure, against: Against, most: f64) -> Bound {
    Bound { scenario, figure, against, limit: Most(most) }
}

const fn at_least(scenario: &'static str, figure: Figure, against: Against, least: f64) -> Bound {
    Bound { scenario, figure, against, limit: Least(least) }
}

const BOUNDS: &[Bound] = &[
    bound("fanout-10000", Cpu, AGAINST_NCHAN, 0.85),
    bound("channels", Cpu, AGAINST_NCHAN, 0.9),
    bound("stream-1000", Cpu, AGAINST_NCHAN, 0.6),
    bound("stream-10000", Cpu, AGAINST_NCHAN, 0.6),
    bound("stream-paced", Cpu, AGAINST_NCHAN, 0.8),
    bound("short-304", Cpu, AGAINST_NCHAN, 0.9),
    bound("publish-memory", Cpu, AGAINST_NCHAN, 0.9),
    bound("fanout-1000", P99, AGAINST_NCHAN, 1.0),
    bound("stream-1000", P99, AGAINST_NCHAN, 1.0),
    bound("stream-paced", P99, AGAINST_NCHAN, 1.0),
    bound("idle", Resident, Nothing, 2_000.0),
    bound("http2-idle", Resident, Nothing, 1_500.0),
    // A list of ten channels costs little more than one channel.
    bound("lists-long", Cpu, Scenario("fanout-1000"), 1.3),
    bound("lists-stream", Cpu, Scenario("stream-1000"), 1.3),
    bound("lists-304", Cpu, Scenario("short-304"), 1.3),
    // TLS costs a server little more than the same without it, and less than it costs others. At full speed several messages
    // share a write and a record, and fewer of them do where the load decrypts as well: that ratio says as much of the load
    // as of the server. So a message in a record of its own is what a shared one is held against, too.
    bound("tls-fanout-1000", Cpu, Scenario("fanout-1000"), 1.4),
    bound("tls-stream-paced", Cpu, Scenario("stream-paced"), 1.4),
    bound("tls-short-304", Cpu, Scenario("short-304"), 1.4),
    bound("tls-stream-1000", Cpu, Scenario("stream-1000"), 2.5),
    bound("tls-stream-1000", Cpu, Scenario("tls-stream-paced"), 0.6),
    bound("tls-fanout-1000", Cpu, AGAINST_NCHAN, 1.0),
    bound("tls-stream-1000", Cpu, AGAINST_NCHAN, 0.6),
    bound("tls-stream-paced", Cpu, AGAINST_NCHAN, 0.8),
    bound("tls-idle", Resident, AGAINST_NCHAN, 1.0),
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
    // Publishing to disk. A message is with its readers about as soon as its publisher knows that it is stored.
    bound("arrival-sse", Lag, Nothing, 1.2),
    bound("arrival-long", Lag, Nothing, 1.2),
    at_least("append-16-100000", Rate, Scenario("append-16-1000"), 0.8),
    at_least("append-64-100000", Rate, Scenario("append-64-1000"), 0.8),
    at_least("append-256-100000", Rate, Scenario("append-256-1000"), 0.8),
    at_least("append-2000-100000", Rate, Scenario("append-2000-1000"), 0.8),
    // In mebibytes: 64, and the messages themselves.
    bound("append-16-1", Memory, Nothing, 64.0),
    bound("append-2000-1", Memory, Nothing, 64.0),
    bound("append-256-1000", Memory, Nothing, 69.0),
    bound("append-2000-1000", Memory, Nothing, 69.0),
];

/// Publishing to disk to so many channels: each row has the same bounds.
const APPENDS: &[&str] = &[
    "append-16-1",
    "append-64-1",
    "append-256-1",
    "append-2000-1",
    "append-16-1000",
    "append-64-1000",
    "append-256-1000",
    "append-2000-1000",
    "append-16-100000",
    "append-64-100000",
    "append-256-100000",
    "append-2000-100000",
];

fn all() -> impl Iterator<Item = Bound> {
    let append = |&id: &&'static str| {
        [at_least(id, Rate, Server(ELECTRIC), 1.2), bound(id, Cpu, Server(ELECTRIC), 0.9)]
    };
    BOUNDS.iter().copied().chain(APPENDS.iter().flat_map(append))
}

/// The bound against another server that a table shows beside the ratio.
pub(super) fn against(server: &str, scenario: &str, figure: Figure) -> Option<Bound> {
    all()
        .find(|bound| bound.scenario == scenario && bound.figure == figure && bound.against.is_server(server))
}

/// Our figure divided by another server's in the same scenario: the median of the rounds' ratios.
pub(super) fn ratio(run: &Run, server: &str, scenario: &str, figure: Figure) -> Option<f64> {
    Some(figure.ratios(row(run, scenario, POLL)?, row(run, scenario, server)?)?.median)
}

/// A line for each measured bound that no table shows, and one for all measured ones.
pub(super) fn others(run: &Run) -> Vec<String> {
    let unseen = all().filter(|bound| !matches!(bound.against, Server(_)));
    let count = |kept| all().filter(|bound| bound.kept(run) == Some(kept)).count();
    let sum = format!("{} bounds hold, {} are missed", count(true), count(false));
    unseen.filter_map(|bound| bound.line(run)).chain([sum]).collect()
}

impl Against {
    fn is_server(self, name: &str) -> bool {
        matches!(self, Server(server) if server == name)
    }
}

impl Bound {
    /// Behind a value: `≤ 0.85 holds`.
    pub(super) fn verdict(&self, run: &Run) -> String {
        let (sign, limit) = match self.limit {
            Most(most) => ('≤', most),
            Least(least) => ('≥', least),
        };
        let limit = if limit >= 1_000.0 { whole(limit) } else { limit.to_string() };
        format!("{sign} {limit} {}", if self.kept(run) == Some(true) { "holds" } else { "MISSED" })
    }

    fn line(&self, run: &Run) -> Option<String> {
        let words = |id| run.rows.iter().find(|row| row.id == id).map_or(id, |row| &*row.scenario);
        let (value, verdict) = (self.value(run)?, self.verdict(run));
        let what = format!("{}, {}", words(self.scenario), self.figure.name());
        Some(match self.against {
            Scenario(other) => {
                format!("{what}, relative to {}: {} {verdict}", words(other), ratio_text(value))
            }
            Server(_) | Nothing => format!("{what}: {} {verdict}", number(value)),
        })
    }

    /// `None` if it was not measured.
    fn kept(&self, run: &Run) -> Option<bool> {
        let value = self.value(run)?;
        Some(match self.limit {
            Most(most) => value <= most,
            Least(least) => value >= least,
        })
    }

    fn value(&self, run: &Run) -> Option<f64> {
        let ours = row(run, self.scenario, POLL)?;
        match self.against {
            Server(server) => ratio(run, server, self.scenario, self.figure),
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
    all().flat_map(move |bound| [Some(bound.scenario), other(&bound)]).flatten()
}
