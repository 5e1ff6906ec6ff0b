//! The scenarios: a workload each in one size, and what the server must be started with for it.

use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::cores::Share;
use crate::endpoints::{Content, Mode, ReadTemplate};
use crate::load::{Repeat, Role, StreamHead};
use crate::meter::LOOK;
use crate::numbers::whole;
use crate::results::Round;
use crate::target::{Needs, Room, Security, Shape, Size, Store, Target};
use crate::workload::durable::{self, Appends};
use crate::workload::http2::{self, SETTLE};
use crate::workload::{self, PUBLISHERS};

/// JSON on disk.
const DURABLE: Needs = Needs { store: Store::Disk, content: Content::Json, ..Needs::PLAIN };

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
    fn new(
        id: impl Into<String>,
        words: String,
        operation: &'static str,
        mode: Mode,
        run: impl Fn(&Target, &ReadTemplate) -> Result<Round> + 'static,
    ) -> Self {
        Self { id: id.into(), words, operation, mode, needs: Needs::PLAIN, run: Box::new(run) }
    }

    /// The same on a server that is started with more.
    fn with(self, needs: Needs, words: &str) -> Self {
        Self { words: self.words + words, needs, ..self }
    }

    /// One round on a fresh server.
    pub(crate) fn run(&self, target: &Target) -> Result<Round> {
        let read = target.endpoints.read(self.mode).context("the server cannot be read like this")?;
        (self.run)(target, read)
    }
}

/// The comparison's, in the order of the table. In full size each round does about a hundred thousand operations or more.
pub(crate) fn compared(size: Size) -> Vec<Scenario> {
    let fan_out = |id, waiters, messages| fan_out(id, size.of(waiters, 100), size.of(messages, 5));
    let workers = |id, workers, share, words| {
        fan_out(id, 10_000, 12).with(Needs { workers, share, ..Needs::PLAIN }, words)
    };
    let streams = |id, mode, readers, messages, every| {
        streams(id, mode, size.of(readers, 100), size.of(messages, 10), every)
    };
    let every = Some(Duration::from_millis(size.of(50, 10)));
    let publish = |id, full| {
        let (words, publishes) = (format!("publish, {PUBLISHERS} connections"), size.of(full, 500));
        // There are no readers; every server knows long polls.
        Scenario::new(id, words, "publish", Mode::LongPoll, move |target, read| {
            workload::publish(target, read, publishes, 0, 0)
        })
    };
    vec![
        fan_out("fanout-1000", 1_000, 100),
        fan_out("fanout-10000", 10_000, 12),
        fan_out("fanout-15000", 15_000, 8),
        workers("fanout-two-workers", 2, Share::Apart, ", two workers"),
        workers("fanout-one-on-both", 1, Share::Both, ", one worker on two cores"),
        workers("fanout-two-on-both", 2, Share::Both, ", two workers on two cores"),
        channels(size.of(1_000, 100), size.of(50_000, 500)),
        streams("stream-1000", Mode::Stream, 1_000, 200, None),
        streams("stream-10000", Mode::Stream, 10_000, 20, None),
        streams("sse-1000", Mode::Events, 1_000, 200, None),
        streams("sse-10000", Mode::Events, 10_000, 20, None),
        streams("stream-paced", Mode::Stream, 1_000, 100, every),
        short("short-304", Mode::Conditional, "nothing new", Repeat::News, size),
        short("short-one", Mode::ShortPoll, "one message", Repeat::All, size),
        publish("publish-memory", 50_000),
        publish("publish-disk", 20_000).with(Needs { store: Store::Disk, ..Needs::PLAIN }, ", to disk"),
        publish("publish-redis", 20_000).with(Needs { store: Store::Redis, ..Needs::PLAIN }, ", to Redis"),
        fan_out("fanout-disk", 10_000, 12).with(Needs { store: Store::Disk, ..Needs::PLAIN }, ", from disk"),
        fan_out("fanout-redis", 10_000, 12)
            .with(Needs { store: Store::Redis, ..Needs::PLAIN }, ", from Redis"),
        list_fan_out(size.of(1_000, 100), size.of(100, 5)),
        streams("lists-stream", Mode::StreamList, 1_000, 200, None),
        short("lists-304", Mode::ConditionalList, "of ten channels, nothing new", Repeat::News, size),
        idle("idle", size.of(15_000, 200)),
        http2_fan_out("http2-fanout", size.of((10_000, 20), (100, 2)), size.of(12, 5)),
        http2_idle(size.of((100_000, 100), (200, 2)), size.of(SETTLE, LOOK)),
        over_tls(fan_out("tls-fanout-1000", 1_000, 100)),
        over_tls(streams("tls-stream-1000", Mode::Stream, 1_000, 200, None)),
        over_tls(streams("tls-stream-paced", Mode::Stream, 1_000, 100, every)),
        over_tls(short("tls-short-304", Mode::Conditional, "nothing new", Repeat::News, size)),
        over_tls(publish("tls-publish-memory", 50_000)),
        over_tls(idle("tls-idle", size.of(5_000, 100))),
        over_tls(http2_fan_out("tls-http2-fanout", size.of((10_000, 20), (100, 2)), size.of(12, 5))),
    ]
}

/// The same work beside more and more of what should not matter to it. One quantity grows at a time, and the CPU time
/// per operation should stay what it is at the smallest size; the bounds say how closely.
pub(crate) fn growing(size: Size) -> Vec<Scenario> {
    let publishes = size.of(50_000, 500);
    let mut all = Vec::new();
    for &count in size.of(&[1, 1_000, 100_000, 1_000_000][..], &[1, 1_500]) {
        let (id, words) = (format!("growth-channels-{count}"), format!("publish, {} channels", whole(count)));
        all.push(Scenario::new(id, words, "publish", Mode::LongPoll, move |target, read| {
            workload::publish(target, read, publishes, count - 1, 0)
        }));
    }
    for &count in size.of(&[0, 1_000, 15_000][..], &[0, 50]) {
        let (id, words) =
            (format!("growth-elsewhere-{count}"), format!("publish, {} wait elsewhere", whole(count)));
        all.push(Scenario::new(id, words, "publish", Mode::LongPoll, move |target, read| {
            workload::publish(target, read, publishes, 0, count)
        }));
    }
    let retained = size.of(&[1, 1_000, 100_000][..], &[1, 1_500]);
    let retaining = |count| Needs { room: Room::Retained(count), ..Needs::PLAIN };
    for &count in retained {
        let (id, words) =
            (format!("growth-tail-long-{count}"), format!("long poll, {} retained", whole(count)));
        let scenario = Scenario::new(id, words, "delivery", Mode::LongPoll, move |target, read| {
            workload::long_tail(target, read, count, size.of(1_000, 20), size.of(100, 5))
        });
        all.push(scenario.with(retaining(count), ""));
    }
    for &count in retained {
        let (id, words) =
            (format!("growth-tail-short-{count}"), format!("short poll, {} retained", whole(count)));
        let scenario = Scenario::new(id, words, "request", Mode::ShortPoll, move |target, read| {
            workload::short_tail(target, read, count, size.of(100_000, 500))
        });
        all.push(scenario.with(retaining(count), ""));
    }
    for &count in size.of(&[1_000, 5_000, 15_000][..], &[20, 100]) {
        // The same number of deliveries at every size.
        let messages = (size.of(150_000, 500) / count).max(1);
        all.push(fan_out(format!("growth-waiters-{count}"), count, messages));
    }
    all
}

/// Publishing to disk, as durably as each server does it unasked, and reading what was published.
pub(crate) fn durable(size: Size) -> Vec<Scenario> {
    let mut all = Vec::new();
    for &channels in size.of(&[1, 1_000, 100_000][..], &[1, 50]) {
        for &connections in size.of(&[16, 64, 256, 2_000][..], &[16]) {
            all.push(append(Appends { connections, channels }, size.of(50_000, 200)));
        }
    }
    let reader = Role::Reader(StreamHead::Awaited);
    all.extend([
        arrival("arrival-sse", Mode::Events, reader, size.of(3_000, 20)),
        arrival("arrival-long", Mode::LongPoll, Role::Waiter, size.of(3_000, 20)),
    ]);
    for (id, readers, messages) in [("durable-sse-1000", 1_000, 200), ("durable-sse-10000", 10_000, 20)] {
        let (readers, messages) = (size.of(readers, 50), size.of(messages, 10));
        all.push(streams(id, Mode::Events, readers, messages, None).with(DURABLE, ""));
    }
    all.push(catch_up(size.of(1_000, 50), size.of(20_000, 200)));
    all
}

/// The same on connections that are encrypted; handshakes are not counted.
fn over_tls(scenario: Scenario) -> Scenario {
    let needs = Needs { security: Security::Tls, ..scenario.needs };
    scenario.with(needs, ", over TLS")
}

fn fan_out(id: impl Into<String>, waiters: u32, messages: u32) -> Scenario {
    let words = format!("long poll, fan-out to {}", whole(waiters));
    Scenario::new(id, words, "delivery", Mode::LongPoll, move |target, read| {
        workload::fan_out(target, read, waiters, messages)
    })
}

fn list_fan_out(waiters: u32, messages: u32) -> Scenario {
    let words = format!("long poll of ten channels, fan-out to {}", whole(waiters));
    Scenario::new("lists-long", words, "delivery", Mode::LongList, move |target, read| {
        workload::fan_out(target, read, waiters, messages)
    })
}

fn channels(channels: u32, messages: u32) -> Scenario {
    let words = format!("long poll, {} channels", whole(channels));
    Scenario::new("channels", words, "message", Mode::LongPoll, move |target, read| {
        workload::channels(target, read, channels, messages)
    })
}

fn streams(id: &str, mode: Mode, readers: u32, messages: u32, every: Option<Duration>) -> Scenario {
    let form = match mode {
        Mode::Events => "server-sent events",
        Mode::StreamList => "stream of ten channels",
        _ => "stream",
    };
    let mut words = format!("{form}, fan-out to {}", whole(readers));
    if let Some(gap) = every {
        words += &format!(", {:.0} messages a second", 1.0 / gap.as_secs_f64());
    }
    Scenario::new(id, words, "delivery", mode, move |target, read| {
        workload::streams(target, read, readers, messages, every)
    })
}

fn short(id: &str, mode: Mode, what: &str, repeat: Repeat, size: Size) -> Scenario {
    Scenario::new(id, format!("short poll, {what}"), "request", mode, move |target, read| {
        workload::short(target, read, repeat, size.of(100_000, 2_000))
    })
}

fn idle(id: &str, waiters: u32) -> Scenario {
    let words = format!("long poll, {} idle", whole(waiters));
    Scenario::new(id, words, "waiter", Mode::LongPoll, move |target, read| {
        workload::idle(target, read, waiters)
    })
}

fn http2_fan_out(id: &str, (waiters, connections): (u32, u32), messages: u32) -> Scenario {
    let shape = Shape { waiters, connections };
    let words = format!("HTTP/2 long poll, fan-out to {} on {connections} connections", whole(waiters));
    let run = move |target: &_, _: &_| http2::fan_out(target, shape, messages);
    let scenario = Scenario::new(id, words, "delivery", Mode::Http2, run);
    scenario.with(Needs { room: Room::Streams(shape), ..Needs::PLAIN }, "")
}

fn http2_idle((waiters, connections): (u32, u32), settle: Duration) -> Scenario {
    let shape = Shape { waiters, connections };
    let words = format!("HTTP/2 long poll, {} idle on {connections} connections", whole(waiters));
    let run = move |target: &_, _: &_| http2::idle(target, shape, settle);
    let scenario = Scenario::new("http2-idle", words, "waiter", Mode::Http2, run);
    scenario.with(Needs { room: Room::Streams(shape), ..Needs::PLAIN }, "")
}

fn append(of: Appends, publishes: u32) -> Scenario {
    let Appends { connections, channels } = of;
    let plural = if channels == 1 { "channel" } else { "channels" };
    let words = format!("{} connections to {} {plural}", whole(connections), whole(channels));
    let id = format!("append-{connections}-{channels}");
    // They only publish; every server knows long polls.
    let scenario = Scenario::new(id, words, "publish", Mode::LongPoll, move |target, read| {
        durable::append(target, read, of, publishes)
    });
    scenario.with(Needs { room: Room::Channels(channels), ..DURABLE }, "")
}

fn arrival(id: &str, mode: Mode, role: Role, messages: u32) -> Scenario {
    let form = if mode == Mode::Events { "server-sent events" } else { "long poll" };
    let scenario = Scenario::new(id, format!("{form}, one reader"), "message", mode, move |target, read| {
        durable::arrival(target, read, role, messages)
    });
    scenario.with(DURABLE, "")
}

fn catch_up(messages: u32, reads: u64) -> Scenario {
    let words = format!("reading {} messages at once", whole(messages));
    let scenario = Scenario::new("catch-up", words, "read", Mode::CatchUp, move |target, read| {
        workload::catch_up(target, read, messages, reads)
    });
    scenario.with(DURABLE, "")
}
