//! `cargo xtask torture dialects`: the same race under the rules of the other dialects' clients.
//!
//! golongpoll's timeouts are whole seconds, so many lanes race side by side. Chat has one channel and a wait of ten
//! seconds, so several servers have one lane each with many readers.

use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use tokio::time::Instant;

use crate::fixture::{DRAIN, Fixture, ONE_ADDRESS, WHOLE_LOG, block_on, name};
use crate::pattern::Pattern;
use crate::population::{Cuts, Population};
use crate::publisher::Stop;
use xtask::server::{Keyboard, Server};

/// How long a short run publishes; a little over one wait of chat.
const SHORT: Duration = Duration::from_millis(11_500);
/// A chat server waits most of the time.
const FLAGS: [&str; 4] = [ONE_ADDRESS[0], ONE_ADDRESS[1], WHOLE_LOG, "--workers=1"];

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
    fixture: Fixture,
}

impl Dialects {
    pub(super) fn short(fixture: Fixture) -> Self {
        Self { rounds: 0, lanes: 12, crowds: 1, crowd: 24, short: true, fixture }
    }

    pub(super) fn run(&self) -> Result<()> {
        let ((binary, _certificate), seed) = (self.fixture.secured_binary()?, self.fixture.seed());
        let server = Server::start(&binary, &FLAGS[..3], Keyboard::Shared)?;
        let chats: Vec<Server> = (0..self.crowds)
            .map(|_| Server::start(&binary, &FLAGS, Keyboard::Shared))
            .collect::<Result<_>>()?;
        println!(
            "torture dialects: {} lanes a rule, {} crowds of {} chat readers, --seed {seed}",
            self.lanes, self.crowds, self.crowd
        );
        block_on(async {
            let mut population = Population::new(server.address(), seed);
            for pattern in Pattern::DIALECTS {
                for number in 0..self.lanes {
                    let channel = format!("torture-{}-{number}", name(&pattern));
                    population.race(server.address(), &channel, pattern, 1, self.stop(self.lanes));
                }
            }
            for chat in &chats {
                // A shot is at the edge of a crowd's polls, of a third of them or so.
                let stop = self.stop(self.crowds * self.crowd / 3);
                population.race(chat.address(), "messages", Pattern::Chat, self.crowd, stop);
            }
            population.finish(Cuts::Faults).await
        })?;
        for server in chats.into_iter().chain([server]) {
            server.drain(DRAIN).context("after the race")?;
        }
        Ok(())
    }

    /// When a publisher has done its part, `sharers` of which make up the rounds.
    fn stop(&self, sharers: u64) -> Stop {
        if self.short {
            return Stop::At(Instant::now() + SHORT);
        }
        Stop::After(self.rounds.div_ceil(sharers.max(1)))
    }
}
