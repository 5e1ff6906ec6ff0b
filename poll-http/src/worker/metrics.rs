//! The service's counters. They are registered with, and written out by, the caller's registry.

mod connections;
mod lag;

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

pub(crate) use self::connections::{Engine, Served};

use self::connections::Connections;
use self::lag::Lag;
use crate::message::refusal::Refusal;
use crate::presence::Gauges;

/// The upper bound of the first bucket of wakes, in seconds; that of the last is 1.3 s.
const FIRST_WAKE: f64 = 0.000_01;

/// The counters of one server; all its workers share them.
#[derive(Debug, Clone)]
pub struct Metrics {
    waiters: Waiters,
    pub(crate) published: Counter,
    pub(crate) delivered: Counter,
    pub(crate) missed: Counter,
    refused: Family<Reason, Counter>,
    lag: Lag,
    wakes: Family<WorkerLabel, Histogram, fn() -> Histogram>,
    pub(crate) presence: Gauges,
    connections: Connections,
}

#[derive(Debug, Clone, Default)]
struct Waiters {
    family: Family<PatternLabel, Gauge>,
    long_poll: Gauge,
    stream: Gauge,
    push: Gauge,
    archive_read: Gauge,
}

/// The kinds of waiters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waiter {
    LongPoll,
    Stream,
    Push,
    /// A request that waits for the archive only.
    ArchiveRead,
}

impl Waiter {
    /// As operators are told.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::LongPoll => "long",
            Self::Stream => "stream",
            Self::Push => "push",
            Self::ArchiveRead => "cold",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PatternLabel {
    pattern: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WorkerLabel {
    worker: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

/// Why a connection was closed for exceeding a limit: reasons in `poll_refused_total` besides those of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// It sent too many HTTP/2 control frames.
    ControlFrames,
    /// Its address has too many open sockets.
    Sockets,
    /// It was silent while sockets were running out.
    FirstByte,
    /// Its TLS handshake took too long, or there was no memory for it.
    Handshake,
    /// An operator cut it.
    Operator,
}

impl Cut {
    const ALL: [Self; 5] =
        [Self::ControlFrames, Self::Sockets, Self::FirstByte, Self::Handshake, Self::Operator];

    fn reason(self) -> &'static str {
        match self {
            Self::ControlFrames => "control_frames",
            Self::Sockets => "sockets",
            Self::FirstByte => "first_byte",
            Self::Handshake => "handshake",
            Self::Operator => "operator",
        }
    }
}

impl Metrics {
    /// Counters at zero.
    #[must_use]
    pub fn new() -> Self {
        let waiters = Waiters::default();
        let of =
            |waiter: Waiter| waiters.family.get_or_create_owned(&PatternLabel { pattern: waiter.name() });
        let (long_poll, stream) = (of(Waiter::LongPoll), of(Waiter::Stream));
        let (push, archive_read) = (of(Waiter::Push), of(Waiter::ArchiveRead));
        let waiters = Waiters { long_poll, stream, push, archive_read, ..waiters };
        Self {
            waiters,
            published: Counter::default(),
            delivered: Counter::default(),
            missed: Counter::default(),
            refused: refusals(),
            lag: Lag::default(),
            wakes: Family::new_with_constructor(|| Histogram::new(exponential_buckets(FIRST_WAKE, 2.0, 18))),
            presence: Gauges::default(),
            connections: Connections::new(),
        }
    }

    /// Adds the counters to a registry, under the names the documentation promises.
    pub fn register(&self, registry: &mut Registry) {
        let waiters = self.waiters.family.clone();
        registry.register("poll_waiters", "Requests that wait and streams that are open", waiters);
        registry.register(
            "poll_messages_published",
            "Messages taken from publishers",
            self.published.clone(),
        );
        registry.register("poll_messages_delivered", "Messages handed to readers", self.delivered.clone());
        let missed = "Messages that had gone before their reader came, each told";
        registry.register("poll_messages_missed", missed, self.missed.clone());
        registry.register(
            "poll_refused",
            "Requests that were refused and connections that were cut",
            self.refused.clone(),
        );
        let lag = "From a message's timestamp to its hand-over to a waiting reader";
        registry.register("poll_delivery_lag_seconds", lag, self.lag.clone());
        let wakes = "From a publish's wake of a worker to the first delivery that it led to";
        registry.register("poll_wake_to_write_seconds", wakes, self.wakes.clone());
        let present = "Named clients that are present on channels, through this server";
        registry.register("poll_presence_clients", present, self.presence.clients.clone());
        let refused = "Clients that presence had no room for, and joins and leaves that could not be told";
        registry.register("poll_presence_refused", refused, self.presence.refused.clone());
        self.connections.register(registry);
    }

    /// Connections by their engine.
    pub(crate) fn connections(&self) -> &Connections {
        &self.connections
    }

    /// The number of waiters.
    pub(crate) fn waiting(&self, waiter: Waiter) -> &Gauge {
        match waiter {
            Waiter::LongPoll => &self.waiters.long_poll,
            Waiter::Stream => &self.waiters.stream,
            Waiter::Push => &self.waiters.push,
            Waiter::ArchiveRead => &self.waiters.archive_read,
        }
    }

    pub(crate) fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&Reason { reason }).inc();
    }

    /// A connection was closed because of a limit, or by an operator.
    pub fn cut(&self, cut: Cut) {
        self.refused(cut.reason());
    }

    /// The wakes of one worker.
    pub(crate) fn wake_to_write(&self, worker: usize) -> Histogram {
        self.wakes.get_or_create_owned(&WorkerLabel { worker })
    }

    /// A message took `lag` to reach `count` readers.
    pub(crate) fn lag(&self, lag: Duration, readers: u64) {
        self.lag.observe(lag, readers);
    }
}

/// All reasons at zero from the start, so that a graph shows the first refusal as a step.
fn refusals() -> Family<Reason, Counter> {
    let family = Family::default();
    for reason in Refusal::REASONS.into_iter().chain(Cut::ALL.map(Cut::reason)) {
        let _ = family.get_or_create_owned(&Reason { reason });
    }
    family
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
