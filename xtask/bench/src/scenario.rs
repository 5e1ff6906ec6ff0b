//! The scenarios: what is done to a server, how much of it, and what one operation is.
//!
//! Each is the same for every server and takes a fresh one. What is counted lies between two moments at which all who
//! wait are waiting, so that asking again belongs to a delivery.

mod channels;
mod fan_out;
mod http2;
mod idle;
mod publish;
mod short;
mod streams;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::figures::{Latency, Round};
use super::http2::{SETTLE, Shape};
use super::load::{Load, Waits};
use super::meter::Cpu;
use super::wire::{Ask, Wire};

pub(super) use self::channels::Channels;
pub(super) use self::fan_out::FanOut;
pub(super) use self::http2::{Http2, Work};
pub(super) use self::idle::Idle;
pub(super) use self::publish::{Publish, publish};
pub(super) use self::short::{News, Short};
pub(super) use self::streams::{Form, Pace, Streams};

/// Between two looks at whether a server is at rest: at the beginning and the end of a round, and between publishes.
pub(super) const LOOK: Duration = Duration::from_millis(20);
const SHORT_LOOK: Duration = Duration::from_millis(5);

/// A server that is up.
pub(super) struct Target {
    pub(super) wire: Wire,
    /// Whose processor time and memory are the server's. Empty: not known.
    pub(super) processes: Vec<u32>,
    pub(super) waits: Waits,
}

/// One scenario in its size.
pub(super) struct Scenario {
    /// Stable name, for the command line and for comparisons.
    pub(super) id: &'static str,
    pub(super) course: Course,
    pub(super) needs: Needs,
}

/// What is done.
pub(super) enum Course {
    FanOut(FanOut),
    Channels(Channels),
    Streams(Streams),
    Short(Short),
    Publish(Publish),
    Idle(Idle),
    Http2(Http2),
}

/// What a server must be started with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Needs {
    pub(super) store: Store,
    pub(super) workers: Workers,
    pub(super) room: Room,
}

/// What there must be room for, beyond the server's defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// All the connections, from one address to one channel.
    Connections,
    /// And so many HTTP/2 streams on each.
    Streams(Shape),
    /// And exactly so many retained messages a channel.
    Retained(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Store {
    Memory,
    Disk,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Workers {
    /// On a core of its own, with a load that stays awake on another.
    One,
    /// The same with two workers on the core: what it costs that there are two.
    Two,
    /// On both cores, one of which the load shares, asleep between answers.
    OneOnBoth,
    /// The same with two, so that three threads are busy on two cores.
    TwoOnBoth,
}

/// How much of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    /// What is measured.
    Full,
    /// Just enough to see that everything works.
    Quick,
}

impl Scenario {
    /// All of them, in the order of the table.
    pub(super) fn all(size: Size) -> Vec<Self> {
        // Of each a hundred thousand operations or more a round, so that a tick of the clock is nothing.
        let of = |full: u32, quick: u32| if size == Size::Full { full } else { quick };
        let fan_out = |waiters, publishes| {
            Course::FanOut(FanOut { waiters: of(waiters, 100), publishes: of(publishes, 5) })
        };
        let streams = |form, readers, messages, pace| {
            Course::Streams(Streams { form, readers: of(readers, 100), messages: of(messages, 10), pace })
        };
        let full_speed = Pace::Window(4);
        let paced = Pace::Every(Duration::from_millis(u64::from(of(50, 10))));
        let short =
            |news| Course::Short(Short { news, connections: 64, requests: u64::from(of(100_000, 2_000)) });
        let publish = |full| Course::Publish(Publish { connections: 16, publishes: of(full, 500) });
        let memory = Needs::PLAIN;
        let one = |id, course| Self { id, course, needs: memory };
        let http2 = |id, waiters, connections, work| {
            let shape = Shape { waiters, connections };
            let needs = Needs { room: Room::Streams(shape), ..memory };
            Self { needs, ..one(id, Course::Http2(Http2 { shape, work })) }
        };
        vec![
            one("fanout-1000", fan_out(1_000, 100)),
            one("fanout-10000", fan_out(10_000, 12)),
            one("fanout-15000", fan_out(15_000, 8)),
            Self {
                needs: Needs { workers: Workers::Two, ..memory },
                ..one("fanout-two-workers", fan_out(10_000, 12))
            },
            Self {
                needs: Needs { workers: Workers::OneOnBoth, ..memory },
                ..one("fanout-one-on-both", fan_out(10_000, 12))
            },
            Self {
                needs: Needs { workers: Workers::TwoOnBoth, ..memory },
                ..one("fanout-two-on-both", fan_out(10_000, 12))
            },
            one(
                "channels",
                Course::Channels(Channels { channels: of(1_000, 100), messages: of(50_000, 500) }),
            ),
            one("stream-1000", streams(Form::Lines, 1_000, 200, full_speed)),
            one("stream-10000", streams(Form::Lines, 10_000, 20, full_speed)),
            one("sse-1000", streams(Form::Events, 1_000, 200, full_speed)),
            one("sse-10000", streams(Form::Events, 10_000, 20, full_speed)),
            one("stream-paced", streams(Form::Lines, 1_000, 100, paced)),
            one("short-304", short(News::None)),
            one("short-one", short(News::One)),
            one("publish-memory", publish(50_000)),
            Self { needs: Needs { store: Store::Disk, ..memory }, ..one("publish-disk", publish(20_000)) },
            one("idle", Course::Idle(Idle { waiters: of(15_000, 200) })),
            match size {
                Size::Full => http2("http2-fanout", 10_000, 20, Work::FanOut { publishes: 12 }),
                Size::Quick => http2("http2-fanout", 100, 2, Work::FanOut { publishes: 5 }),
            },
            match size {
                Size::Full => http2("http2-idle", 100_000, 100, Work::Idle { settle: SETTLE }),
                Size::Quick => http2("http2-idle", 200, 2, Work::Idle { settle: LOOK }),
            },
        ]
    }

    /// What it is, in words.
    pub(super) fn words(&self) -> String {
        let words = self.course.words();
        match self.needs {
            Needs { store: Store::Disk, .. } => format!("{words}, to disk"),
            Needs { workers: Workers::Two, .. } => format!("{words}, two workers"),
            Needs { workers: Workers::OneOnBoth, .. } => format!("{words}, one worker on two cores"),
            Needs { workers: Workers::TwoOnBoth, .. } => format!("{words}, two workers on two cores"),
            _ => words,
        }
    }
}

impl Needs {
    /// Messages in memory, and a core for the server alone.
    pub(super) const PLAIN: Self =
        Self { store: Store::Memory, workers: Workers::One, room: Room::Connections };
}

impl Course {
    pub(super) fn words(&self) -> String {
        match self {
            Self::FanOut(fan_out) => format!("long poll, fan-out to {}", grouped(fan_out.waiters)),
            Self::Channels(channels) => format!("long poll, {} channels", grouped(channels.channels)),
            Self::Streams(streams) => streams.words(),
            Self::Short(short) => short.words(),
            Self::Publish(publish) => format!("publish, {} connections", publish.connections),
            Self::Idle(idle) => format!("long poll, {} idle", grouped(idle.waiters)),
            Self::Http2(http2) => http2.words(),
        }
    }

    /// What is counted.
    pub(super) fn operation(&self) -> &'static str {
        match self {
            Self::FanOut(_) | Self::Streams(_) => "delivery",
            Self::Channels(_) => "message",
            Self::Short(_) => "request",
            Self::Publish(_) => "publish",
            Self::Idle(_) => "waiter",
            Self::Http2(http2) => http2.operation(),
        }
    }

    /// How a server is asked in it; none if it cannot be.
    pub(super) fn ask<'a>(&self, wire: &'a Wire) -> Option<&'a Ask> {
        match self {
            Self::FanOut(_) | Self::Channels(_) | Self::Idle(_) => wire.long.as_ref(),
            Self::Streams(Streams { form: Form::Lines, .. }) => wire.stream.as_ref(),
            Self::Streams(Streams { form: Form::Events, .. }) => wire.events.as_ref(),
            Self::Short(Short { news: News::None, .. }) => wire.unchanged.as_ref(),
            Self::Short(Short { news: News::One, .. }) => wire.short.as_ref(),
            // Nobody asks by it: a publish needs a topic for its name only, and HTTP/2 has a load of its own.
            Self::Publish(_) | Self::Http2(_) => wire.long.as_ref().or(wire.short.as_ref()),
        }
    }

    /// One round on a fresh server.
    pub(super) fn run(&self, target: &Target) -> Result<Round> {
        let ask = self.ask(&target.wire).context("the server has no way to do this")?;
        match self {
            Self::FanOut(fan_out) => fan_out.run(target, ask),
            Self::Channels(channels) => channels.run(target, ask),
            Self::Streams(streams) => streams.run(target, ask),
            Self::Short(short) => short.run(target, ask),
            Self::Publish(publish) => publish.run(target, ask),
            Self::Idle(idle) => idle.run(target, ask),
            Self::Http2(http2) => http2.run(target),
        }
    }
}

/// What is used from its start on.
pub(super) struct Stopwatch<'a> {
    processes: &'a [u32],
    server: Cpu,
    busy: Duration,
    start: Instant,
}

impl<'a> Stopwatch<'a> {
    pub(super) fn start(target: &'a Target, load: &Load) -> Result<Self> {
        Ok(Self {
            processes: &target.processes,
            server: Cpu::of(&target.processes)?,
            busy: load.busy(),
            start: Instant::now(),
        })
    }

    pub(super) fn stop(self, operations: u64, load: &Load, latency: Option<Latency>) -> Result<Round> {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let wall = nanos(self.start.elapsed());
        let server = Cpu::of(self.processes)?.since(self.server);
        Ok(Round {
            operations,
            cpu: server.total,
            user: server.user,
            load: nanos(load.busy().saturating_sub(self.busy)),
            wall,
            latency,
            resident: None,
        })
    }
}

/// With a space between thousands.
pub(super) fn grouped(number: impl Into<u64>) -> String {
    let number = number.into();
    let (more, rest) = (number / 1_000, number % 1_000);
    if more == 0 { rest.to_string() } else { format!("{} {rest:03}", grouped(more)) }
}
