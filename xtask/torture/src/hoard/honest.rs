//! Honest clients: each publishes to a channel of its own, polls it, and expects every answer to be right.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use hdrhistogram::Histogram;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::http1::Connection;

const CLIENTS: usize = 10;
/// Between two questions of one client.
const PAUSE: Duration = Duration::from_millis(50);

/// How long honest clients waited for their answers.
pub(super) struct Latencies {
    /// In microseconds.
    histogram: Histogram<u64>,
    pub(super) requests: u64,
    pub(super) faults: Vec<String>,
}

impl Latencies {
    pub(super) fn p99(&self) -> Duration {
        Duration::from_micros(self.histogram.value_at_quantile(0.99))
    }
}

/// Asks until the time is over.
pub(super) async fn run(address: SocketAddr, until: Instant) -> Result<Latencies> {
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        clients.spawn_local(ask(address, client, until));
    }
    let mut all = Latencies { histogram: Histogram::new(3)?, requests: 0, faults: Vec::new() };
    while let Some(one) = clients.join_next().await {
        let (histogram, fault) = one?;
        all.requests += histogram.len();
        all.histogram.add(histogram)?;
        all.faults.extend(fault);
    }
    sleep_until(until).await;
    Ok(all)
}

async fn ask(address: SocketAddr, client: usize, until: Instant) -> (Histogram<u64>, Option<String>) {
    // Its largest value is an hour in microseconds, which is no invalid argument.
    let Ok(mut histogram) = Histogram::new_with_bounds(1, 3_600_000_000, 3) else {
        unreachable!("the bounds are sound")
    };
    let asked = questions(address, client, until, &mut histogram).await;
    (histogram, asked.err().map(|fault| format!("{fault:#}")))
}

async fn questions(
    address: SocketAddr,
    client: usize,
    until: Instant,
    histogram: &mut Histogram<u64>,
) -> Result<()> {
    let mut connection = Connection::open(address).await?;
    let (channel, mut number) = (format!("honest-{client}"), 0u64);
    let mut ticks = interval(PAUSE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while Instant::now() < until {
        ticks.tick().await;
        number += 1;
        let text = [("Content-Type", "text/plain")];
        let begun = Instant::now();
        let target = format!("/api/message?channel={channel}");
        connection.ask("POST", &target, &text, &number.to_string()).await?;
        connection.answer().await?.head.expect(201)?;
        let published = Instant::now();
        let target = format!("/api/poll?channel={channel}&last_id={}", number - 1);
        connection.ask("GET", &target, &[], "").await?;
        let answer = connection.answer().await?;
        answer.head.expect(200)?;
        for time in [published - begun, published.elapsed()] {
            histogram.saturating_record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
        }
        let given: serde_json::Value = serde_json::from_slice(&answer.body)?;
        let content = given["messages"][0]["content"].as_str().unwrap_or_default().to_owned();
        ensure!(content == number.to_string(), "message {number} of {channel} reads `{content}`");
    }
    Ok(())
}
