//! `cargo xtask demo`: one log, every pattern, side by side.
//!
//! Starts a server on a free port, publishes for some seconds, reads by every pattern at once with poll-client, and
//! compares what each cost and how late it was. Ends in failure if any pattern lost or doubled a message. With `--nodes`
//! there are [several servers](nodes).

mod bars;
mod nodes;
mod racer;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use poll_client::{ChannelName, Client, Payload};
use rand::RngExt as _;
use tokio::sync::watch;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep_until};

use self::bars::Bars;
use self::racer::{CHANNEL, DRAIN, GAP, Pattern, Phase, Published, Racer, Score};
use xtask::columns::{align, millis};
use xtask::server::{Binary, Keyboard, Server};

/// Of the comparison at the end.
const HEADINGS: [&str; 9] =
    ["pattern", "messages", "p50 ms", "p99 ms", "requests", "empty", "bytes/message", "lost", "doubled"];

/// The command's arguments.
#[derive(Args)]
pub(crate) struct Demo {
    /// How long to publish
    #[arg(long, default_value_t = 12, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Start so many servers over one Redis, behind nginx, and kill one in the middle
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(2..=9), conflicts_with = "keep")]
    nodes: Option<u8>,
    /// Keep the server and its page up until Ctrl-C
    #[arg(long)]
    keep: bool,
    /// Use this server instead of building one
    #[arg(long, value_name = "PATH")]
    server: Option<PathBuf>,
}

impl Demo {
    pub(crate) fn run(&self) -> Result<()> {
        let binary = Binary::given_or_built(self.server.as_deref())?;
        if let Some(nodes) = self.nodes {
            return nodes::run(usize::from(nodes), self.seconds, &binary);
        }
        let server = Server::start(&binary, &[], Keyboard::Apart)?;
        let page = format!("http://{}/", server.address());
        println!("the live page: {page}\n");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let scores = LocalSet::new().block_on(&runtime, async {
            tokio::select! {
                scores = self.race(&page) => scores,
                _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
            }
        })?;
        println!("{}", table(&scores));
        if self.keep {
            println!("the live page is up: {page} (Ctrl-C ends it)");
            runtime.block_on(tokio::signal::ctrl_c()).context("cannot wait for Ctrl-C")?;
        } else {
            println!("the live page was {page} (--keep keeps it up)");
        }
        server.drain(DRAIN)?;
        verdict(&scores)
    }

    /// Publishes and reads until every reader has all, or nothing comes any more.
    async fn race(&self, page: &str) -> Result<Vec<Score>> {
        let channel = ChannelName::parse(CHANNEL)?;
        let (publish, published) = watch::channel(Published::default());
        let bars = Bars::new()?;
        let mut racers = JoinSet::new();
        for pattern in Pattern::ALL {
            let racer = Racer::new(pattern, &Client::new(page)?, &channel)?;
            racers.spawn_local(racer.run(published.clone(), bars.of(pattern)));
        }
        let publisher = Client::new(page)?;
        let publishing = self.publish(&publisher, &channel, &publish, &bars);
        let reading = async {
            let mut scores = Vec::new();
            while let Some(score) = racers.join_next().await {
                scores.push(score.context("a reader has panicked")??);
            }
            Ok(scores)
        };
        let ((), mut scores) = tokio::try_join!(publishing, reading)?;
        bars.finish();
        scores.sort_by_key(|score| score.pattern);
        Ok(scores)
    }

    async fn publish(
        &self,
        client: &Client,
        channel: &ChannelName,
        publish: &watch::Sender<Published>,
        bars: &Bars,
    ) -> Result<()> {
        let mut next = Instant::now();
        let end = next + Duration::from_secs(self.seconds);
        while next < end {
            sleep_until(next).await;
            let number = publish.borrow().messages + 1;
            let receipt =
                client.publish(channel, &Payload::text(format!("Message {number} of the demo"))).await?;
            ensure!(receipt.seq.get() == number, "somebody else publishes on this server");
            publish.send_replace(Published { messages: number, phase: Phase::Going });
            bars.published(number);
            next = Instant::now() + Duration::from_millis(rand::rng().random_range(GAP));
        }
        publish.send_modify(|published| published.phase = Phase::Over);
        Ok(())
    }
}

/// One row a pattern.
fn table(scores: &[Score]) -> String {
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    rows.extend(scores.iter().map(|score| {
        let counts = &score.counts;
        [
            score.pattern.to_string(),
            counts.messages.to_string(),
            millis(&score.latency, 0.5),
            millis(&score.latency, 0.99),
            counts.requests.to_string(),
            counts.empty_answers.to_string(),
            counts
                .body_bytes
                .checked_div(counts.messages)
                .map_or_else(|| "-".to_owned(), |bytes| bytes.to_string()),
            (score.verdict.lost).to_string(),
            (score.verdict.doubled + score.verdict.disordered).to_string(),
        ]
    }));
    align(&rows)
}

/// Fails if any reader lost or doubled a message.
fn verdict(scores: &[Score]) -> Result<()> {
    let broken: Vec<String> = scores
        .iter()
        .filter(|score| !score.verdict.is_clean())
        .map(|score| score.pattern.to_string())
        .collect();
    ensure!(broken.is_empty(), "messages were lost, doubled or out of order: {}", broken.join(", "));
    Ok(())
}
