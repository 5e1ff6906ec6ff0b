//! Honest clients that are new each time: a handshake, a publish of several records, and a poll that reads it back.
//!
//! They need all that the crowd takes away: handshakes, room for parts of records, and room for what is not sent yet.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use hdrhistogram::Histogram;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::client::Client;
use crate::hoard::honest::record;

const CLIENTS: usize = 5;
/// Between two visits of one client.
const PAUSE: Duration = Duration::from_millis(200);
/// More than three records.
const BYTES: usize = 60_000;

/// What became of all visits.
pub(super) struct Visits {
    /// How long each took, in microseconds.
    pub(super) times: Histogram<u64>,
    /// How many were told to read later (503), as large answers are when others hold the share of answers.
    pub(super) put_off: u64,
}

/// Come and go until the time is over.
pub(super) async fn run(address: SocketAddr, until: Instant) -> Result<Visits> {
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn_local(visit(address, number, until));
    }
    let mut all = Visits { times: Histogram::new(3)?, put_off: 0 };
    while let Some(one) = clients.join_next().await {
        let one = one?.context("an honest newcomer")?;
        all.times.add(one.times)?;
        all.put_off += one.put_off;
    }
    Ok(all)
}

async fn visit(address: SocketAddr, client: usize, until: Instant) -> Result<Visits> {
    let mut visits = Visits { times: Histogram::new(3)?, put_off: 0 };
    let channel = format!("newcomer-{client}");
    let mut ticks = interval(PAUSE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 1_usize.. {
        ticks.tick().await;
        if Instant::now() >= until {
            break;
        }
        let begun = Instant::now();
        let text = format!("{number:0>BYTES$}");
        let mut client = Client::new(address);
        client.publish(&channel, text.clone()).await?.json(201)?;
        let target = format!("/api/poll?channel={channel}&last_id={}", number - 1);
        let answer = client.get(&target).await?;
        if answer.status == 503 {
            visits.put_off += 1;
            continue;
        }
        let given = answer.json(200)?;
        ensure!(given["messages"][0]["content"] == text, "message {number} of {channel} reads otherwise");
        record(&mut visits.times, begun.elapsed())?;
    }
    Ok(visits)
}
