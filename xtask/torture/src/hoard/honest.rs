//! Honest clients: each publishes to a channel of its own, polls it, and expects every answer to be right.
//!
//! How long they may wait depends on how long they wait on a server without attackers: on a machine that does other things,
//! too, that is not nothing.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use hdrhistogram::Histogram;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::client::Client;
use crate::fixture::{DRAIN, block_on};
use xtask::server::{Binary, Keyboard, Server};

const CLIENTS: usize = 10;
/// Between two questions of one client.
const PAUSE: Duration = Duration::from_millis(50);

/// How long their p99 may be on a machine that does nothing else.
const P99: Duration = Duration::from_millis(100);
/// Where it does, they may wait so many times as long as without attackers.
const MOST_TIMES: u32 = 3;
/// For which part of an attack's time they are alone first.
pub(crate) const ALONE: u32 = 4;

/// Gives their p99 on a server of their own.
pub(crate) fn alone(binary: &Binary, flags: &[&str], time: Duration) -> Result<Duration> {
    let server = Server::start(binary, flags, Keyboard::Shared)?;
    let times = block_on(run(server.address(), Instant::now() + time))?;
    server.drain(DRAIN)?;
    let p99 = Duration::from_micros(times.value_at_quantile(0.99));
    println!("  without attackers: p99 of {} honest answers {p99:?}", times.len());
    Ok(p99)
}

/// The most that it may be with attackers, where it was `alone` without.
pub(crate) fn most(alone: Duration) -> Duration {
    P99.max(alone * MOST_TIMES)
}

/// Asks until the time is over; gives how long every answer took, in microseconds.
pub(crate) async fn run(address: SocketAddr, until: Instant) -> Result<Histogram<u64>> {
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn_local(ask(address, number, until));
    }
    let mut all = Histogram::new(3)?;
    while let Some(one) = clients.join_next().await {
        all.add(one?.context("an honest client")?)?;
    }
    sleep_until(until).await;
    Ok(all)
}

/// Adds a time in microseconds. `saturating_record` would not let the histogram grow.
pub(crate) fn record(times: &mut Histogram<u64>, time: Duration) -> Result<()> {
    Ok(times.record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX))?)
}

async fn ask(address: SocketAddr, number: usize, until: Instant) -> Result<Histogram<u64>> {
    let mut histogram = Histogram::new(3)?;
    let (mut client, channel, mut number) = (Client::new(address), format!("honest-{number}"), 0_u64);
    let mut ticks = interval(PAUSE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while Instant::now() < until {
        ticks.tick().await;
        number += 1;
        let begun = Instant::now();
        client.publish(&channel, number.to_string()).await?.json(201)?;
        let published = Instant::now();
        let target = format!("/api/poll?channel={channel}&last_id={}", number - 1);
        let given = client.get(&target).await?.json(200)?;
        for time in [published - begun, published.elapsed()] {
            record(&mut histogram, time)?;
        }
        let content = &given["messages"][0]["content"];
        ensure!(content == &number.to_string(), "message {number} of {channel} reads {content}");
    }
    Ok(histogram)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_answer_is_seen_in_the_p99() {
        let mut times = Histogram::new(3).unwrap();
        record(&mut times, Duration::from_secs(2)).unwrap();
        assert!(times.value_at_quantile(0.99) >= 2_000_000);
    }
}
