//! A scenario: a workload in one size, and what the server must be started with for it.

use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::endpoints::{Mode, ReadTemplate};
use crate::load::Repeat;
use crate::numbers::whole;
use crate::results::Round;
use crate::target::{Needs, Shape, Target};
use crate::workload::channels::Channels;
use crate::workload::fan_out::FanOut;
use crate::workload::publish::{Beside, PUBLISHERS};
use crate::workload::short::Short;
use crate::workload::streams::{Pace, Streams};
use crate::workload::{http2, idle};

type Run = dyn Fn(&Target, &ReadTemplate) -> Result<Round>;

pub(crate) struct Scenario {
    /// Stable name, for the command line, bounds and plots.
    pub(crate) id: String,
    /// The same in words.
    pub(crate) words: String,
    /// What is counted.
    pub(crate) operation: &'static str,
    /// How a server is read in it.
    pub(crate) mode: Mode,
    pub(crate) needs: Needs,
    run: Box<Run>,
}

impl Scenario {
    pub(crate) fn new(
        words: String,
        operation: &'static str,
        mode: Mode,
        run: impl Fn(&Target, &ReadTemplate) -> Result<Round> + 'static,
    ) -> Self {
        Self { id: String::new(), words, operation, mode, needs: Needs::PLAIN, run: Box::new(run) }
    }

    pub(crate) fn named(self, id: impl Into<String>) -> Self {
        Self { id: id.into(), ..self }
    }

    /// The same on a server that is started with more.
    pub(crate) fn with(self, needs: Needs, words: &str) -> Self {
        Self { words: self.words + words, needs, ..self }
    }

    /// One round on a fresh server.
    pub(crate) fn run(&self, target: &Target) -> Result<Round> {
        let read = target.endpoints.read(self.mode).context("the server cannot be read like this")?;
        (self.run)(target, read)
    }
}

pub(crate) fn fan_out(waiters: u32, publishes: u32) -> Scenario {
    let words = format!("long poll, fan-out to {}", whole(waiters));
    let work = FanOut { waiters, publishes };
    Scenario::new(words, "delivery", Mode::LongPoll, move |target, read| work.run(target, read))
}

pub(crate) fn channels(channels: u32, messages: u32) -> Scenario {
    let words = format!("long poll, {} channels", whole(channels));
    let work = Channels { channels, messages };
    Scenario::new(words, "message", Mode::LongPoll, move |target, read| work.run(target, read))
}

pub(crate) fn streams(mode: Mode, readers: u32, messages: u32, pace: Pace) -> Scenario {
    let form = if mode == Mode::Events { "server-sent events" } else { "stream" };
    let mut words = format!("{form}, fan-out to {}", whole(readers));
    if let Pace::Every(gap) = pace {
        words += &format!(", {:.0} messages a second", 1.0 / gap.as_secs_f64());
    }
    let work = Streams { readers, messages, pace };
    Scenario::new(words, "delivery", mode, move |target, read| work.run(target, read))
}

pub(crate) fn short(repeat: Repeat, connections: u32, requests: u64) -> Scenario {
    let (mode, what) = match repeat {
        Repeat::News => (Mode::Conditional, "nothing new"),
        Repeat::All => (Mode::ShortPoll, "one message"),
    };
    let work = Short { repeat, connections, requests };
    Scenario::new(format!("short poll, {what}"), "request", mode, move |target, read| work.run(target, read))
}

pub(crate) fn publish(publishes: u32) -> Scenario {
    let words = format!("publish, {PUBLISHERS} connections");
    let work = Beside { channels: 0, waiters: 0, publishes };
    // Nobody reads; every server knows long polls.
    Scenario::new(words, "publish", Mode::LongPoll, move |target, read| work.run(target, read))
}

pub(crate) fn idle(waiters: u32) -> Scenario {
    let words = format!("long poll, {} idle", whole(waiters));
    Scenario::new(words, "waiter", Mode::LongPoll, move |target, read| idle::run(target, read, waiters))
}

pub(crate) fn http2_fan_out(shape: Shape, publishes: u32) -> Scenario {
    let (waiters, connections) = (whole(shape.waiters), shape.connections);
    let words = format!("HTTP/2 long poll, fan-out to {waiters} on {connections} connections");
    Scenario::new(words, "delivery", Mode::Http2, move |target, _| http2::fan_out(target, shape, publishes))
}

pub(crate) fn http2_idle(shape: Shape, settle: Duration) -> Scenario {
    let (waiters, connections) = (whole(shape.waiters), shape.connections);
    let words = format!("HTTP/2 long poll, {waiters} idle on {connections} connections");
    Scenario::new(words, "waiter", Mode::Http2, move |target, _| http2::idle(target, shape, settle))
}
