//! `cargo xtask torture dialects`: the edge race under the rules of the other dialects' clients.
//!
//! golongpoll's timeouts are whole seconds, so many lanes race side by side. Chat has one channel and a wait of ten
//! seconds, so it is raced by crowds: several servers, each with one publisher and many readers of its only channel.

mod crowd;

use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::crowd::Crowd;
use super::ground::{Ground, block_on};
use super::lane::Stop;
use super::race::{DRAIN, Lanes};
use super::reader::Pattern;
use super::report::Report;
use xtask::server::{Binary, Keyboard, Server};

/// How long a short run shoots; a little over one wait of chat.
const SHORT: Duration = Duration::from_millis(11_500);
/// Every client is at one address here, and the crowd is meant.
const FLAGS: &[&str] = &["--max-per-address", "0", "--max-sockets-per-address", "0"];
/// A chat server waits most of the time.
const CHAT_FLAGS: &[&str] = &["--max-per-address", "0", "--max-sockets-per-address", "0", "--workers", "1"];

/// The course's arguments.
#[derive(Args)]
pub(super) struct Dialects {
    /// Publishes for each rule, and polls of chat that end near one
    #[arg(long, default_value_t = 4000, value_name = "N")]
    rounds: u64,
    /// Categories for each rule, each with a publisher and a reader of its own
    #[arg(long, default_value_t = 80, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1000))]
    lanes: u64,
    /// Servers with a crowd of chat readers each
    #[arg(long, default_value_t = 12, value_name = "N", value_parser = clap::value_parser!(u64).range(0..=100))]
    crowds: u64,
    /// Readers of a crowd
    #[arg(long, default_value_t = 40, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1000))]
    crowd: u64,
    #[arg(skip)]
    short: bool,
    #[command(flatten)]
    ground: Ground,
}

impl Dialects {
    pub(super) fn short(ground: Ground) -> Self {
        Self { rounds: 0, lanes: 12, crowds: 1, crowd: 24, short: true, ground }
    }

    pub(super) fn run(&self) -> Result<()> {
        let binary = self.ground.binary()?;
        let server = Server::start(&binary, FLAGS, Keyboard::Shared)?;
        let chats = self.start_chats(&binary)?;
        let seed = self.ground.seed();
        println!(
            "torture dialects: {} lanes a rule, {} crowds of {} chat readers, --seed {seed}",
            self.lanes, self.crowds, self.crowd
        );
        let report = block_on(async {
            let lanes =
                Lanes { address: server.address(), each: self.lanes, stop: self.stop(self.lanes), seed };
            let (mut report, crowds) =
                tokio::try_join!(lanes.race(&Pattern::DIALECTS), self.race_chats(&chats, seed))?;
            report.join(crowds);
            Ok(report)
        })?;
        println!("{report}");
        for server in chats.into_iter().chain([server]) {
            server.drain(DRAIN).context("after the race")?;
        }
        report.verdict()
    }

    fn start_chats(&self, binary: &Binary) -> Result<Vec<Server>> {
        (0..self.crowds).map(|_| Server::start(binary, CHAT_FLAGS, Keyboard::Shared)).collect()
    }

    async fn race_chats(&self, servers: &[Server], seed: u64) -> Result<Report> {
        let mut crowds = JoinSet::new();
        for (number, server) in (0..).zip(servers) {
            let crowd = Crowd {
                address: server.address(),
                readers: self.crowd,
                // A shot is at the edge of a crowd's polls, of a third of them or so.
                stop: self.stop(self.crowds * self.crowd / 3),
                seed: seed.wrapping_add(1_000 * number),
            };
            crowds.spawn_local(crowd.run());
        }
        let mut report = Report::default();
        while let Some(outcomes) = crowds.join_next().await {
            for outcome in outcomes.context("a crowd has panicked")?? {
                report.add(&outcome);
            }
        }
        Ok(report)
    }

    /// When a publisher has done its part, `sharers` of which make up the rounds.
    fn stop(&self, sharers: u64) -> Stop {
        if self.short {
            return Stop::At(Instant::now() + SHORT);
        }
        Stop::After(self.rounds.div_ceil(sharers.max(1)))
    }
}
