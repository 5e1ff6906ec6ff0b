//! `cargo xtask demo --nodes N`: several servers over one Redis, behind nginx.
//!
//! Readers of every pattern go from node to node, each time on from their last cursor. A node is killed in the middle and
//! started again. Ctrl-C ends the publishing early, with the figures so far. Ends in failure if any reader lost or doubled
//! a message. Everything that it starts ends with it.

mod bars;
mod processes;
mod reader;

use std::pin::pin;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use poll_client::{ChannelName, Client, IdempotencyKey, Payload};
use rand::RngExt as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep, sleep_until};

use self::bars::Bars;
use self::processes::Processes;
use self::reader::{Entrance, Reader, Score};
use super::interrupt::interrupted_twice;
use super::pattern::Pattern;
use super::published::{Phase, Published};
use super::racer::{CHANNEL, DRAIN, GAP};
use xtask::columns::{align, millis};
use xtask::server::Binary;

/// The node that is killed; the first has number 0.
const VICTIM: usize = 1;
/// Readers of each pattern.
const READERS: usize = 2;
/// Of the comparison at the end.
const HEADINGS: [&str; 7] = ["pattern", "messages", "hops", "p50 ms", "p99 ms", "lost", "doubled"];

/// When the victim was killed, and when it listened again, from the beginning.
struct Outage {
    killed: Duration,
    back: Duration,
}

/// Starts everything, publishes and reads for so many seconds, and ends everything.
pub(super) fn run(nodes: usize, seconds: u64, binary: &Binary) -> Result<()> {
    processes::ensure_programs()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = LocalSet::new().block_on(&runtime, async {
        tokio::select! {
            outcome = play(nodes, Duration::from_secs(seconds), binary) => outcome,
            () = ended_from_outside() => anyhow::bail!("interrupted"),
        }
    });
    let (published, mut scores, outage) = outcome?;
    scores.sort_by_key(|score| score.pattern);
    println!("\n{}\n", table(&scores));
    println!("{}", summary(published, &scores, outage.as_ref()));
    let clean = scores.iter().all(|score| score.verdict.is_clean());
    ensure!(clean, "messages were lost, doubled or out of order");
    Ok(())
}

/// A second Ctrl-C, or being asked to end: what was started has to end too.
async fn ended_from_outside() {
    let Ok(mut terminated) = signal(SignalKind::terminate()) else { return };
    tokio::select! {
        () = interrupted_twice() => {}
        _ = terminated.recv() => {}
    }
}

async fn play(nodes: usize, time: Duration, binary: &Binary) -> Result<(u64, Vec<Score>, Option<Outage>)> {
    let mut processes = Processes::start(nodes, binary).await?;
    println!(
        "{nodes} servers over one Redis, behind nginx: http://{}/ (the live page)\n",
        processes.nginx_address()
    );
    let channel = ChannelName::parse(CHANNEL)?;
    let (publish, published) = watch::channel(Published::default());
    let bars = Bars::new(nodes)?;
    let mut entrances = Vec::new();
    for (name, address) in processes.addresses() {
        let client = Client::builder(&format!("http://{address}")).connect_within(Duration::from_secs(1));
        entrances.push(Entrance { client: client.build()?, bar: bars.of(entrances.len()), name });
    }
    let mut readers = JoinSet::new();
    for (index, pattern) in Pattern::ALL.into_iter().cycle().take(Pattern::ALL.len() * READERS).enumerate() {
        // nginx has no HTTP/2 towards its clients without TLS, and no push at all.
        let reachable = if pattern == Pattern::Push { nodes } else { entrances.len() };
        let reader = Reader::new(pattern, channel.clone(), entrances[..reachable].to_vec(), index)?;
        readers.spawn_local(reader.run(published.clone()));
    }
    let publisher = entrances.last().context("there is nginx")?.client.clone();
    let publishing = publish_for(time, &publisher, &channel, &publish, &bars);
    let accident = accident(&mut processes, time, published.clone(), &bars);
    let reading = async {
        let mut scores = Vec::new();
        while let Some(score) = readers.join_next().await {
            scores.push(score.context("a reader has panicked")??);
        }
        Ok(scores)
    };
    let (published, outage, scores) = tokio::try_join!(publishing, accident, reading)?;
    bars.finish();
    processes.drain(DRAIN).await?;
    Ok((published, scores, outage))
}

/// Publishes through nginx. What is not answered is repeated under its key, so it is published once.
async fn publish_for(
    time: Duration,
    client: &Client,
    channel: &ChannelName,
    publish: &watch::Sender<Published>,
    bars: &Bars,
) -> Result<u64> {
    let mut interrupted = pin!(tokio::signal::ctrl_c());
    let mut next = Instant::now();
    let end = next + time;
    let mut number = 0;
    while next < end {
        tokio::select! {
            _ = &mut interrupted => break,
            () = sleep_until(next) => {}
        }
        number += 1;
        let key = IdempotencyKey::parse(&format!("demo-{number}"))?;
        let text = Payload::text(format!("Message {number} of the demo"));
        let receipt = client.publish_once(channel, &text, &key).await?;
        ensure!(receipt.seq.get() == number, "message {number} was published as {}", receipt.seq);
        publish.send_replace(Published { messages: number, phase: Phase::Going });
        bars.published(number);
        next = Instant::now() + Duration::from_millis(rand::rng().random_range(GAP));
    }
    publish.send_modify(|published| published.phase = Phase::Over);
    Ok(number)
}

/// Kills a node after a third of the time and starts it again after two thirds, or when nothing is published any more.
async fn accident(
    processes: &mut Processes,
    time: Duration,
    mut published: watch::Receiver<Published>,
    bars: &Bars,
) -> Result<Option<Outage>> {
    let begun = Instant::now();
    let mut over = pin!(published.wait_for(|published| published.phase == Phase::Over));
    tokio::select! {
        _ = &mut over => return Ok(None),
        () = sleep(time / 3) => {}
    }
    processes.kill(VICTIM);
    bars.say(VICTIM, "killed");
    let killed = begun.elapsed();
    tokio::select! {
        _ = &mut over => {}
        () = sleep_until(begun + time * 2 / 3) => {}
    }
    processes.restart(VICTIM).await?;
    bars.say(VICTIM, "back");
    Ok(Some(Outage { killed, back: begun.elapsed() }))
}

/// One row a reader.
fn table(scores: &[Score]) -> String {
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    rows.extend(scores.iter().map(|score| {
        [
            score.pattern.to_string(),
            score.messages.to_string(),
            score.hops.to_string(),
            millis(&score.latency, 0.5),
            millis(&score.latency, 0.99),
            score.verdict.lost.to_string(),
            (score.verdict.doubled + score.verdict.disordered).to_string(),
        ]
    }));
    align(&rows)
}

fn summary(published: u64, scores: &[Score], outage: Option<&Outage>) -> String {
    let of = |count: fn(&Score) -> u64| scores.iter().map(count).sum::<u64>();
    let (lost, doubled) =
        (of(|score| score.verdict.lost), of(|score| score.verdict.doubled + score.verdict.disordered));
    let outage = outage.map_or_else(
        || "no node was killed".to_owned(),
        |Outage { killed, back }| {
            let (killed, back) = (killed.as_secs_f64(), back.as_secs_f64());
            format!("node {} was killed at {killed:.1} s and was back at {back:.1} s", VICTIM + 1)
        },
    );
    format!(
        "{outage}\n\
         {published} messages to {} readers, which changed nodes {} times: {lost} lost, {doubled} doubled",
        scores.len(),
        of(|score| score.hops),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::Histogram;
    use xtask::history::Verdict;

    #[test]
    fn everything_that_is_printed_fits_80_columns() {
        let mut latency = Histogram::new(3).unwrap();
        latency.record(12_345_678).unwrap();
        let verdict = Verdict { lost: 12_345, doubled: 1, disordered: 0 };
        let score = Score { pattern: Pattern::Short, messages: 123_456, hops: 1_234, latency, verdict };
        let outage = Outage { killed: Duration::from_secs(1_200), back: Duration::from_secs(2_400) };
        let text = format!("{}\n{}", table(&[score]), summary(123_456, &[], Some(&outage)));
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
}
