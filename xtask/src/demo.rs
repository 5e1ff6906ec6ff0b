//! `cargo xtask demo`: one log, every pattern, side by side.
//!
//! Starts a server on a free port, publishes for some seconds, reads by every pattern at once with poll-client, and
//! compares what each cost and how late it was; then it is silent for some more, to see what waiting costs. Ctrl-C ends
//! either early, with the figures so far. Ends in failure if any pattern lost or doubled a message. With `--nodes` there
//! are [several servers](nodes).

mod figures;
mod interrupt;
mod meter;
mod nodes;
mod pattern;
mod published;
mod racer;
mod screen;

use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use poll_client::{ChannelName, Client, Payload};
use rand::RngExt as _;
use tokio::sync::watch;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep, sleep_until};

use self::figures::{Figures, report};
use self::interrupt::interrupted_twice;
use self::pattern::{HEARTBEAT, Pattern};
use self::published::{Phase, Published};
use self::racer::{CHANNEL, DRAIN, GAP, Racer};
use self::screen::Screen;
use xtask::server::{Binary, Keyboard, Server};

/// How long nothing is published at the end: a short poll may need its whole interval until it has all, and then has
/// three answers with nothing in them.
const QUIET: Duration = Duration::from_secs(4);

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
        let server = Server::start(&binary, &["--heartbeat-seconds", HEARTBEAT], Keyboard::Apart)?;
        let page = format!("http://{}/", server.address());
        println!("the live page: {page}\n");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (figures, end) = LocalSet::new().block_on(&runtime, async {
            tokio::select! {
                raced = self.race(&page) => raced,
                () = interrupted_twice() => anyhow::bail!("interrupted"),
            }
        })?;
        println!("{}\n", report(&figures));
        if self.keep && end == End::OfTime {
            println!("the live page is up: {page} (Ctrl-C ends it)");
            runtime.block_on(tokio::signal::ctrl_c()).context("cannot wait for Ctrl-C")?;
        } else {
            println!("the live page was {page} (--keep keeps it up)");
        }
        server.drain(DRAIN)?;
        verdict(&figures)
    }

    /// Publishes and reads until every reader has all, or nothing comes any more.
    async fn race(&self, page: &str) -> Result<(Vec<Figures>, End)> {
        let channel = ChannelName::parse(CHANNEL)?;
        let (publish, published) = watch::channel(Published::default());
        let (mut racers, mut figures) = (JoinSet::new(), Vec::new());
        for pattern in Pattern::ALL {
            let racer = Racer::new(pattern, page, &channel)?;
            figures.push(racer.figures());
            racers.spawn_local(racer.run(published.clone()));
        }
        let screen = Screen::new(self.seconds)?;
        let publishing = self.publish(page, &channel, &publish);
        let reading = async {
            while let Some(read) = racers.join_next().await {
                read.context("a reader has panicked")??;
            }
            Ok(())
        };
        let (end, ()) = tokio::select! {
            raced = async { tokio::try_join!(publishing, reading) } => raced?,
            never = screen.draw(&figures, published.clone()) => match never {},
        };
        screen.clear();
        Ok((figures.iter().map(|figures| figures.borrow().clone()).collect(), end))
    }

    /// Publishes for the given time and is then silent for a while; both end early at Ctrl-C.
    async fn publish(
        &self,
        page: &str,
        channel: &ChannelName,
        publish: &watch::Sender<Published>,
    ) -> Result<End> {
        let client = Client::new(page)?;
        let mut interrupted = pin!(tokio::signal::ctrl_c());
        let mut next = Instant::now();
        let end = next + Duration::from_secs(self.seconds);
        while next < end {
            tokio::select! {
                _ = &mut interrupted => {
                    publish.send_modify(|published| published.phase = Phase::Over);
                    return Ok(End::OfPatience);
                }
                () = sleep_until(next) => {}
            }
            let number = publish.borrow().messages + 1;
            let text = Payload::text(format!("Message {number} of the demo"));
            // Visitors of the live page may publish, too, so it is the channel that counts.
            let messages = client.publish(channel, &text).await?.seq.get();
            publish.send_replace(Published { messages, phase: Phase::Going });
            next = Instant::now() + Duration::from_millis(rand::rng().random_range(GAP));
        }
        publish.send_modify(|published| published.phase = Phase::Quiet);
        let end = tokio::select! {
            _ = &mut interrupted => End::OfPatience,
            () = sleep(QUIET) => End::OfTime,
        };
        publish.send_modify(|published| published.phase = Phase::Over);
        Ok(end)
    }
}

/// Why publishing ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    OfTime,
    /// By Ctrl-C.
    OfPatience,
}

/// Fails if any reader lost or doubled a message.
fn verdict(figures: &[Figures]) -> Result<()> {
    let broken: Vec<String> = figures
        .iter()
        .filter(|figures| !figures.verdict.is_clean())
        .map(|figures| figures.pattern.to_string())
        .collect();
    ensure!(broken.is_empty(), "messages were lost, doubled or out of order: {}", broken.join(", "));
    Ok(())
}
