//! `cargo xtask torture`: a real server, publishes aimed at the edge of every wait, and a checker that proves that a
//! client that follows the cursor sees every message once and in order.
//!
//! A *lane* is a channel with one publisher and one reader of one pattern. The reader says when its wait will end; the
//! publisher shoots −2…+3 ms around that moment. [`crate::history`] is the judge and knows no HTTP. What is raced here is the
//! native dialect against a server that stays up; other dialects are more readers, and a server that is killed is
//! another way to run lanes.

mod aim;
mod http1;
mod lane;
mod line;
mod publisher;
mod reader;
mod report;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::Instant;

use self::lane::{Lane, Stop};
use self::reader::Pattern;
use self::report::Report;
use crate::server::{Binary, Keyboard, Server};

/// How long a short run shoots. With starting and draining it stays under twenty seconds.
const SHORT: Duration = Duration::from_secs(12);
/// How long the server may take to drain once no one asks any more.
const DRAIN: Duration = Duration::from_secs(30);

/// The command's arguments.
#[derive(Args)]
pub(crate) struct Torture {
    /// A run of a few seconds, as `ci` makes it
    #[arg(long, conflicts_with_all = ["rounds", "minutes"])]
    short: bool,
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
    /// Where the random numbers start; said at the start of every run
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Use this server instead of building one
    #[arg(long, value_name = "PATH")]
    server: Option<PathBuf>,
    #[arg(skip)]
    binary: Option<Binary>,
}

impl Torture {
    /// The command as `ci` runs it, with a server that is built already.
    pub(crate) fn short(binary: Binary) -> Self {
        Self {
            short: true,
            rounds: 0,
            minutes: None,
            lanes: 8,
            pattern: None,
            seed: None,
            server: None,
            binary: Some(binary),
        }
    }

    pub(crate) fn run(&self) -> Result<()> {
        let binary = match &self.binary {
            Some(binary) => binary.clone(),
            None => Binary::given_or_built(self.server.as_deref())?,
        };
        let server = Server::start(&binary, &[], Keyboard::Shared)?;
        let seed = self.seed.unwrap_or_else(rand::random);
        println!("torture: {} lanes a pattern, --seed {seed}", self.lanes);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let report = LocalSet::new().block_on(&runtime, self.race(server.address(), seed))?;
        println!("{report}");
        server.drain(DRAIN).context("after the race")?;
        report.verdict()
    }

    async fn race(&self, address: SocketAddr, seed: u64) -> Result<Report> {
        let mut lanes = JoinSet::new();
        for pattern in self.patterns() {
            for number in 0..self.lanes {
                let name = format!("torture-{pattern}-{number}");
                let lane =
                    Lane { address, pattern, name, stop: self.stop(), seed: seed.wrapping_add(number) };
                lanes.spawn_local(lane.run());
            }
        }
        let mut report = Report::default();
        while let Some(outcome) = lanes.join_next().await {
            report.add(&outcome.context("a lane has panicked")??);
        }
        ensure!(!report.is_empty(), "nothing was raced");
        Ok(report)
    }

    fn patterns(&self) -> Vec<Pattern> {
        self.pattern.map_or_else(|| Pattern::ALL.to_vec(), |pattern| vec![pattern])
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
