//! Publishing to disk, as durably as each server does it unasked, and reading what was published.

use super::{Scenario, streams};
use crate::endpoints::{Content, Mode};
use crate::load::{Role, StreamHead};
use crate::numbers::whole;
use crate::target::{Needs, Room, Size, Store};
use crate::workload::durable::{self, Appends};

/// JSON on disk.
const DURABLE: Needs = Needs { store: Store::Disk, content: Content::Json, ..Needs::PLAIN };

/// In the order of the tables.
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
    let scenario = Scenario::new("catch-up", words, "read", Mode::ShortPoll, move |target, read| {
        durable::catch_up(target, read, messages, reads)
    });
    scenario.with(DURABLE, "")
}
