//! `cargo xtask torture` by itself: every pattern of the native dialect raced against a server that stays up.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use tokio::time::Instant;

use crate::fixture::{DRAIN, Fixture, WHOLE_LOG, block_on, name};
use crate::pattern::Pattern;
use crate::population::{Cuts, Population};
use crate::publisher::Stop;
use xtask::server::{Keyboard, Server};

/// How long a short run publishes.
const SHORT: Duration = Duration::from_secs(12);

/// The race's arguments.
#[derive(Args, Clone)]
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
    pub(super) fixture: Fixture,
}

impl Race {
    /// The same over TLS.
    pub(super) fn over_tls(&self) -> Self {
        Self { fixture: self.fixture.clone().with_tls(), ..self.clone() }
    }

    pub(super) fn run(&self) -> Result<()> {
        ensure!(self.pattern != Some(Pattern::Chat), "chat has one channel: `torture dialects` races it");
        let (binary, _certificate) = self.fixture.secured_binary()?;
        let server = Server::start(&binary, &[WHOLE_LOG], Keyboard::Shared)?;
        let (address, seed, stop) = (server.address(), self.fixture.seed(), self.stop());
        println!("torture: {} lanes a pattern{}, --seed {seed}", self.lanes, self.fixture.security());
        block_on(async {
            let mut population = Population::new(address, seed);
            for pattern in self.pattern.map_or_else(|| Pattern::NATIVE.to_vec(), |pattern| vec![pattern]) {
                for number in 0..self.lanes {
                    let channel = format!("torture-{}-{number}", name(&pattern));
                    population.race(address, &channel, pattern, 1, stop.clone());
                }
            }
            population.finish(Cuts::Faults).await
        })?;
        server.drain(DRAIN).context("after the race")
    }

    fn stop(&self) -> Stop {
        match self.minutes {
            _ if self.short => Stop::At(Instant::now() + SHORT),
            Some(minutes) => Stop::At(Instant::now() + Duration::from_secs(60 * minutes)),
            None => Stop::After(self.rounds.div_ceil(self.lanes)),
        }
    }
}
