//! `cargo xtask torture` by itself: every pattern of the native dialect raced against a server that stays up.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::ground::{Ground, block_on};
use super::lane::{Lane, Stop};
use super::reader::Pattern;
use super::report::Report;
use xtask::server::{Keyboard, Server};

/// How long a short run shoots. With starting and draining it stays under twenty seconds.
const SHORT: Duration = Duration::from_secs(12);
/// How long the server may take to drain once no one asks any more.
pub(super) const DRAIN: Duration = Duration::from_secs(30);

/// The race's arguments.
#[derive(Args)]
pub(super) struct Race {
    /// A run of a few seconds of each course, as `ci` makes it
    #[arg(long, conflicts_with_all = ["rounds", "minutes"])]
    pub(super) short: bool,
    /// Publishes for each pattern
    #[arg(long, default_value_t = 4000, value_name = "N")]
    rounds: u64,
    /// Go on for so long instead
    #[arg(long, conflicts_with = "rounds", value_name = "N")]
    minutes: Option<u64>,
    /// Channels for each pattern, each with a publisher and a reader of its own
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100))]
    lanes: u64,
    /// Only this pattern
    #[arg(long)]
    pattern: Option<Pattern>,
    #[command(flatten)]
    pub(super) ground: Ground,
}

impl Race {
    pub(super) fn run(&self) -> Result<()> {
        ensure!(self.pattern != Some(Pattern::Chat), "chat has one channel: `torture dialects` races it");
        let server = Server::start(&self.ground.binary()?, &[], Keyboard::Shared)?;
        let seed = self.ground.seed();
        println!("torture: {} lanes a pattern, --seed {seed}", self.lanes);
        let lanes = Lanes { address: server.address(), each: self.lanes, stop: self.stop(), seed };
        let patterns = self.pattern.map_or_else(|| Pattern::NATIVE.to_vec(), |pattern| vec![pattern]);
        let report = block_on(lanes.race(&patterns))?;
        println!("{report}");
        server.drain(DRAIN).context("after the race")?;
        report.verdict()
    }

    fn stop(&self) -> Stop {
        if self.short {
            return Stop::At(Instant::now() + SHORT);
        }
        match self.minutes {
            Some(minutes) => Stop::At(Instant::now() + Duration::from_secs(60 * minutes)),
            None => Stop::After(self.rounds.div_ceil(self.lanes)),
        }
    }
}

/// Lanes side by side.
pub(super) struct Lanes {
    pub(super) address: SocketAddr,
    /// How many for each pattern.
    pub(super) each: u64,
    pub(super) stop: Stop,
    pub(super) seed: u64,
}

impl Lanes {
    pub(super) async fn race(self, patterns: &[Pattern]) -> Result<Report> {
        let mut lanes = JoinSet::new();
        for &pattern in patterns {
            for number in 0..self.each {
                let name = format!("torture-{pattern}-{number}").replace([' ', '.'], "-");
                let seed = self.seed.wrapping_add(number);
                lanes.spawn_local(Lane { address: self.address, pattern, name, stop: self.stop, seed }.run());
            }
        }
        let mut report = Report::default();
        while let Some(outcome) = lanes.join_next().await {
            report.add(&outcome.context("a lane has panicked")??);
        }
        ensure!(!report.is_empty(), "nothing was raced");
        Ok(report)
    }
}
