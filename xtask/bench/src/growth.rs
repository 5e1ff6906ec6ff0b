//! `cargo xtask bench growth`: the same work beside more and more of what should not matter to it.
//!
//! One quantity grows at a time, and the CPU time per operation should stay what it is at the smallest size; the bounds
//! say how closely.

use crate::endpoints::Mode;
use crate::load::Repeat;
use crate::numbers::whole;
use crate::scenario::{Scenario, fan_out};
use crate::target::{Needs, Room, Size};
use crate::workload::fan_out::FanOut;
use crate::workload::publish::Beside;
use crate::workload::short::Short;
use crate::workload::tail;

/// From the smallest to the largest of each quantity.
pub(crate) fn scenarios(size: Size) -> Vec<Scenario> {
    let mut all = Vec::new();
    let mut grow = |name: &str, sizes: &[u32], scenario: fn(u32, Size) -> Scenario| {
        all.extend(sizes.iter().map(|&n| scenario(n, size).named(format!("growth-{name}-{n}"))));
    };
    grow("channels", size.of(&[1, 1_000, 100_000, 1_000_000], &[1, 1_500]), channels);
    grow("elsewhere", size.of(&[0, 1_000, 15_000], &[0, 50]), elsewhere);
    grow("tail-long", size.of(&[1, 1_000, 100_000], &[1, 1_500]), tail_long);
    grow("tail-short", size.of(&[1, 1_000, 100_000], &[1, 1_500]), tail_short);
    // The same number of deliveries at every size.
    let waiters = |count, size: Size| fan_out(count, (size.of(150_000, 500) / count).max(1));
    grow("waiters", size.of(&[1_000, 5_000, 15_000], &[20, 100]), waiters);
    all
}

/// Channels, while one of them is published to.
fn channels(count: u32, size: Size) -> Scenario {
    let work = Beside { channels: count - 1, waiters: 0, publishes: size.of(50_000, 500) };
    let words = format!("publish, {} channels", whole(count));
    Scenario::new(words, "publish", Mode::LongPoll, move |target, read| work.run(target, read))
}

/// Long polls on other channels, while one is published to.
fn elsewhere(count: u32, size: Size) -> Scenario {
    let work = Beside { channels: 0, waiters: count, publishes: size.of(50_000, 500) };
    let words = format!("publish, {} wait elsewhere", whole(count));
    Scenario::new(words, "publish", Mode::LongPoll, move |target, read| work.run(target, read))
}

/// Retained messages, while waiters receive new ones.
fn tail_long(count: u32, size: Size) -> Scenario {
    let work = FanOut { waiters: size.of(1_000, 20), publishes: size.of(100, 5) };
    let words = format!("long poll, {} retained", whole(count));
    let run = move |target: &_, read: &_| tail::long(target, read, count, &work);
    Scenario::new(words, "delivery", Mode::LongPoll, run).with(retaining(count), "")
}

/// Retained messages, while short polls ask for the last.
fn tail_short(count: u32, size: Size) -> Scenario {
    let work = Short { repeat: Repeat::All, connections: 64, requests: size.of(100_000, 500) };
    let words = format!("short poll, {} retained", whole(count));
    let run = move |target: &_, read: &_| tail::short(target, read, count, &work);
    Scenario::new(words, "request", Mode::ShortPoll, run).with(retaining(count), "")
}

fn retaining(count: u32) -> Needs {
    Needs { room: Room::Retained(count), ..Needs::PLAIN }
}
