//! The workloads: what the load does to a server in one round, and what it counts.
//!
//! Each is the same for every server and takes a fresh one. What is counted lies between two moments at which the
//! server is idle and all readers are waiting, so that asking again is part of a delivery. The first message of
//! each workload is not counted: it pays for what is allocated on first use.

pub(crate) mod durable;
pub(crate) mod http2;

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use indicatif::ProgressBar;

use crate::counts::{Counts, Due};
use crate::endpoints::ReadTemplate;
use crate::load::{Load, Repeat, Role, StreamHead};
use crate::meter::{LOOK, Stopwatch, resident};
use crate::results::Round;
use crate::target::Target;

/// Connections that publish to one channel.
pub(crate) const PUBLISHERS: u32 = 16;
/// Connections of short polls.
const POLLERS: u32 = 64;
/// Messages in flight: on many channels, and at full speed on a stream.
const CHANNELS_WINDOW: u32 = 16;
const STREAM_WINDOW: u32 = 4;
/// Between two looks at whether all wait again after a message.
const SHORT_LOOK: Duration = Duration::from_millis(5);

/// Long polls on one channel; each message is published once all wait.
pub(crate) fn fan_out(target: &Target, read: &ReadTemplate, waiters: u32, messages: u32) -> Result<Round> {
    let mut load = Load::new(target, read, 1)?;
    let publisher = load.open_publisher()?;
    load.open_many(waiters, Role::Waiter, Due::from(1))?;
    to_all(target, load, publisher, waiters, messages)
}

/// The same on a channel that retains exactly as many as it is given before, so that at every size each message that
/// is counted replaces the oldest.
pub(crate) fn long_tail(
    target: &Target,
    read: &ReadTemplate,
    retained: u32,
    waiters: u32,
    messages: u32,
) -> Result<Round> {
    let mut load = Load::new(target, read, 1)?;
    let publisher = fill(&mut load, retained)?;
    // The first reads everything, and so gives the others a position at the end.
    load.open(Role::Waiter, 0, Due::from(1))?;
    load.until("everything to be read", |load| load.counts().delivered == u64::from(retained))?;
    load.open_many(waiters - 1, Role::Waiter, Due::from(retained + 1))?;
    to_all(target, load, publisher, waiters, messages)
}

fn to_all(target: &Target, mut load: Load, publisher: usize, readers: u32, messages: u32) -> Result<Round> {
    let publish = |load: &mut Load| {
        let all = load.counts().delivered + u64::from(readers);
        load.publish(publisher, 0)?;
        load.until("a message to reach every waiter", |load| {
            load.counts().delivered == all && load.is_free(publisher)
        })
    };
    load.settle(LOOK)?;
    publish(&mut load)?;
    load.settle(LOOK)?;
    load.counts_mut().reset_latency();
    let watch = Stopwatch::start(&target.processes)?;
    for _ in 0..messages {
        publish(&mut load)?;
        load.settle(SHORT_LOOK)?;
    }
    load.settle(LOOK)?;
    watch.stop(u64::from(messages) * u64::from(readers), load.counts().latency())
}

/// Long polls on many channels, one waiter each; messages go round robin.
///
/// Each publisher publishes its next message once the previous one is acknowledged and has reached its waiter, so few are
/// in flight, and a waiter is back long before its channel's next turn.
pub(crate) fn channels(target: &Target, read: &ReadTemplate, channels: u32, messages: u32) -> Result<Round> {
    let mut load = Load::new(target, read, channels as usize)?;
    // The waiter of channel n is connection n and receives numbers n + 1, n + 1 + channels, …
    for channel in 0..channels {
        let due = Due { next: channel + 1, step: channels };
        load.open(Role::Waiter, channel as usize, due)?;
    }
    let publishers = load.open_publishers(CHANNELS_WINDOW)?;
    load.settle(LOOK)?;
    round_robin(&mut load, &publishers, channels, channels)?;
    load.settle(LOOK)?;
    load.counts_mut().reset_latency();
    let watch = Stopwatch::start(&target.processes)?;
    round_robin(&mut load, &publishers, channels, messages)?;
    load.settle(LOOK)?;
    watch.stop(u64::from(messages), load.counts().latency())
}

fn round_robin(load: &mut Load, publishers: &[usize], channels: u32, messages: u32) -> Result<()> {
    let last = load.counts().published + u64::from(messages);
    // What each publisher has in flight: the waiter's connection and the message's number.
    let mut in_flight: Vec<Option<(usize, u32)>> = vec![None; publishers.len()];
    while load.counts().published < last {
        for (&publisher, message) in publishers.iter().zip(&mut in_flight) {
            let arrived = message.is_none_or(|(channel, number)| load.has(channel, number));
            if arrived && load.is_free(publisher) && load.counts().published < last {
                let channel = (load.counts().published % u64::from(channels)) as usize;
                *message = Some((channel, load.publish(publisher, channel)?));
            }
        }
        let (delivered, acknowledged) = (load.counts().delivered, load.counts().acknowledged);
        load.until("a message to reach its waiter", |load| {
            load.counts().delivered > delivered || load.counts().acknowledged > acknowledged
        })?;
    }
    load.until("the last messages to reach their waiters", |load| {
        load.counts().delivered == last && load.counts().acknowledged == last
    })
}

/// All read one channel by a response without end; messages come at an interval, or at full speed.
///
/// At full speed a few messages are in flight: the next is published once the one that many back has reached all readers,
/// acknowledged or not, so that it makes no difference whether a server acknowledges before it delivers or after. One
/// connection publishes, so that the order is certain.
pub(crate) fn streams(
    target: &Target,
    read: &ReadTemplate,
    readers: u32,
    messages: u32,
    every: Option<Duration>,
) -> Result<Round> {
    let reach = |load: &mut Load, number: u32| {
        let all = u64::from(number) * u64::from(readers);
        load.until("a message to reach every reader", |load| load.counts().delivered >= all)
    };
    let mut load = Load::new(target, read, 1)?;
    let publisher = load.open_publisher()?;
    load.open_many(readers, Role::Reader(StreamHead::Awaited), Due::from(1))?;
    load.settle(LOOK)?;
    load.publish(publisher, 0)?;
    reach(&mut load, 1)?;
    load.until_free(publisher)?;
    load.settle(LOOK)?;
    load.counts_mut().reset_latency();
    let watch = Stopwatch::start(&target.processes)?;
    let start = Instant::now();
    for index in 0..messages {
        if let Some(gap) = every {
            let due = start + gap * index;
            while let Some(left) = due.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
                load.turn(left)?;
            }
            load.until_free(publisher)?;
        }
        let number = load.publish(publisher, 0)?;
        if every.is_none() {
            reach(&mut load, (number + 1).saturating_sub(STREAM_WINDOW))?;
        }
    }
    reach(&mut load, messages + 1)?;
    load.until_free(publisher)?;
    let wall = watch.elapsed()?;
    load.settle(LOOK)?;
    let round = watch.stop(u64::from(messages) * u64::from(readers), load.counts().latency())?;
    Ok(Round { wall, ..round })
}

/// Short polls that ask again as soon as they are answered, on a channel with one message: for news, of which there is
/// none, or for all.
pub(crate) fn short(target: &Target, read: &ReadTemplate, repeat: Repeat, requests: u64) -> Result<Round> {
    let mut load = Load::new(target, read, 1)?;
    fill(&mut load, 1)?;
    short_polls(target, load, repeat, requests, 1)
}

/// The same on a channel that retains so many, by polls that know all but the last.
pub(crate) fn short_tail(
    target: &Target,
    read: &ReadTemplate,
    retained: u32,
    requests: u64,
) -> Result<Round> {
    let known = format!("{}&last_id={}", read.target, retained.saturating_sub(1));
    let mut load = Load::new(target, &ReadTemplate { target: known, ..read.clone() }, 1)?;
    fill(&mut load, retained)?;
    short_polls(target, load, Repeat::All, requests, retained)
}

/// Reads a channel with so many messages from its beginning, again and again.
pub(crate) fn catch_up(target: &Target, read: &ReadTemplate, messages: u32, reads: u64) -> Result<Round> {
    let mut load = Load::new(target, read, 1)?;
    fill(&mut load, messages)?;
    short_polls(target, load, Repeat::All, reads, 1)
}

/// The first message of a response is `first`.
fn short_polls(target: &Target, mut load: Load, repeat: Repeat, requests: u64, first: u32) -> Result<Round> {
    load.settle(LOOK)?;
    let pollers = load.open_many(POLLERS, Role::Poller(repeat), Due::from(first))?;
    let messages = load.counts().published + 1 - u64::from(first);
    let first = u64::from(POLLERS);
    load.until("the first responses", |load| load.counts().answered == first)?;
    load.settle(LOOK)?;
    let watch = Stopwatch::start(&target.processes)?;
    load.poll(&pollers, requests)?;
    load.until("a response", |load| load.counts().answered == first + requests)?;
    let wall = watch.elapsed()?;
    load.settle(LOOK)?;
    let round = Round { wall, ..watch.stop(requests, None)? };
    let (unmodified, whole) = if repeat == Repeat::News { (requests, first) } else { (0, first + requests) };
    let Counts { answered, unchanged, delivered, .. } = *load.counts();
    ensure!(
        (unchanged, delivered) == (unmodified, whole * messages),
        "{answered} responses held {delivered} messages, and {unchanged} of them said that nothing is new"
    );
    Ok(round)
}

/// Publishes to one channel as fast as they are acknowledged, without readers; beside it are `others` that hold a
/// message, and `waiters` each on a channel that does not exist yet.
pub(crate) fn publish(
    target: &Target,
    read: &ReadTemplate,
    publishes: u32,
    others: u32,
    waiters: u32,
) -> Result<Round> {
    let mut load = Load::new(target, read, 1 + waiters as usize)?;
    let publishers = load.open_publishers(PUBLISHERS)?;
    if others > 0 {
        let progress = ProgressBar::new(u64::from(others));
        load.publish_all(&publishers, others, |load, publisher| {
            let number = load.counts().published;
            progress.set_position(number);
            load.publish_to(publisher, &format!("other-{number}"))
        })?;
    }
    for channel in 1..=waiters {
        load.open(Role::Waiter, channel as usize, Due::from(1))?;
    }
    let one = |load: &mut Load, publisher| load.publish(publisher, 0);
    load.publish_all(&publishers, PUBLISHERS, one)?;
    load.settle(LOOK)?;
    let watch = Stopwatch::start(&target.processes)?;
    load.publish_all(&publishers, publishes, one)?;
    load.settle(LOOK)?;
    watch.stop(u64::from(publishes), None)
}

/// Idle long polls: what each adds to resident memory.
pub(crate) fn idle(target: &Target, read: &ReadTemplate, waiters: u32) -> Result<Round> {
    let mut load = Load::new(target, read, 1)?;
    // One comes before the first look, so that what is allocated on first use is not counted.
    load.open(Role::Waiter, 0, Due::from(1))?;
    load.settle(LOOK)?;
    let before = resident(&target.processes)?;
    let watch = Stopwatch::start(&target.processes)?;
    load.open_many(waiters, Role::Waiter, Due::from(1))?;
    load.settle(LOOK)?;
    let round = watch.stop(u64::from(waiters), None)?;
    Ok(Round { resident: Some(resident(&target.processes)?.saturating_sub(before)), ..round })
}

/// Publishes by one connection, so that the order is certain; returns it.
fn fill(load: &mut Load, retained: u32) -> Result<usize> {
    let publisher = load.open_publisher()?;
    let progress = ProgressBar::new(u64::from(retained));
    load.publish_all(&[publisher], retained, |load, publisher| {
        let number = load.publish(publisher, 0)?;
        progress.set_position(u64::from(number));
        Ok(number)
    })?;
    Ok(publisher)
}
