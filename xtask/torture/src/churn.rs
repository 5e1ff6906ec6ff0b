//! `cargo xtask torture churn`: crowds that come and leave in every bad way, beside honest clients that must notice
//! nothing.
//!
//! After each round the server must be back at what the honest clients hold: waiters, sockets and, over the rounds,
//! memory. Limits are set to a few seconds, so that clients that must be cut are cut within a round.

mod bad_clients;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use tokio::time::{Instant, sleep};

use crate::fixture::{DRAIN, Fixture, ONE_ADDRESS, block_on};
use crate::metrics::Metrics;
use crate::pattern::Pattern;
use crate::population::{Cuts, Population};
use crate::publisher::Door;
use crate::tally::Tally;
use xtask::server::{Keyboard, Server};

/// The limits that cut the bad clients, which expect these.
const FLAGS: [&str; 7] = [
    ONE_ADDRESS[0],
    ONE_ADDRESS[1],
    "--max-per-channel=0",
    "--header-seconds=4",
    "--body-seconds=4",
    "--stall-seconds=3",
    "--retain-messages=100000",
];
/// The channels of the honest clients, and the pause between two publishes to one in tenths of a millisecond.
const CHANNELS: usize = 20;
const PAUSE: std::ops::Range<u64> = 4_500..5_500;
/// The honest clients' questions are so many times longer than a race's: a second or two.
const SLOW: u32 = 20;
/// How long the server may take to be back at what the honest clients hold: the stall limit, and a loaded machine.
const SETTLE: Duration = Duration::from_secs(20);
const STEP: Duration = Duration::from_millis(50);
/// The round from which memory is compared: the first ones fill caches and pools.
const WARM: usize = 3;

/// The course's arguments.
#[derive(Args)]
pub(super) struct Churn {
    #[arg(long, default_value_t = 6, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    rounds: u64,
    /// Connections that come and leave badly in each round
    #[arg(long, default_value_t = 2_000, value_name = "N")]
    connections: u64,
    /// Honest clients
    #[arg(long, default_value_t = 200, value_name = "N")]
    honest: usize,
    #[command(flatten)]
    fixture: Fixture,
}

impl Churn {
    pub(super) fn short(fixture: Fixture) -> Self {
        Self { rounds: 1, connections: 350, honest: 40, fixture }
    }

    pub(super) fn run(&self) -> Result<()> {
        let (binary, _certificate) = self.fixture.secured_binary()?;
        let server = Server::start(&binary, &FLAGS, Keyboard::Shared)?;
        let (address, seed) = (server.address(), self.fixture.seed());
        println!(
            "torture churn: {} rounds of {} connections beside {} honest clients{}, --seed {seed}",
            self.rounds,
            self.connections,
            self.honest,
            self.fixture.security()
        );
        block_on(self.play(address, seed))?;
        server.drain(DRAIN).context("after the churn")
    }

    async fn play(&self, address: SocketAddr, seed: u64) -> Result<()> {
        bad_clients::prepare(address).await?;
        let mut population = Population::new(address, seed);
        let channels: Vec<String> = (0..CHANNELS).map(|number| format!("honest-{number}")).collect();
        channels.iter().for_each(|channel| population.publish(channel, &[Door::Native], PAUSE));
        let patterns = Pattern::NATIVE.into_iter().chain(Pattern::DIALECTS).cycle();
        for (pattern, channel) in patterns.zip(channels.iter().cycle()).take(self.honest) {
            population.read(channel, &[pattern], SLOW);
        }
        let (mut bad, mut resident) = (Tally::new("bad clients", bad_clients::COLUMNS, 1), Vec::new());
        for round in 1..=self.rounds {
            let start = Instant::now();
            bad.join(
                bad_clients::crowd(address, self.connections, seed.wrapping_add(1_000_003 * round)).await?,
            );
            resident.push(self.settle(address).await?);
            println!(
                "round {round}: {} MiB resident, {:.1} s",
                resident[resident.len() - 1] >> 20,
                start.elapsed().as_secs_f64()
            );
        }
        println!("{bad}");
        population.finish(Cuts::Faults).await?;
        bad.verdict("left")?;
        if let (Some(warm), Some(last)) = (resident.get(WARM - 1), resident.last()) {
            ensure!(*last <= 2 * warm, "resident memory has doubled since round {WARM}");
        }
        Ok(())
    }

    /// Waits until the server is back at what the honest clients hold, and gives its resident bytes.
    async fn settle(&self, address: SocketAddr) -> Result<u64> {
        let start = Instant::now();
        // A reader has one connection and one question; there is one publisher a channel, and ourselves.
        let (most_waiters, most_sockets) = (self.honest as u64, (self.honest + CHANNELS + 1) as u64);
        loop {
            let now = Metrics::of(address).await?;
            let (waiters, sockets) = (now.sum("poll_waiters")?, now.sum("poll_sockets_open")?);
            if waiters <= most_waiters && sockets <= most_sockets {
                return now.sum("process_resident_memory_bytes");
            }
            ensure!(
                start.elapsed() < SETTLE,
                "{waiters} waiters and {sockets} sockets are left {SETTLE:?} after a crowd that has left; the honest \
                 clients have {most_waiters} and {most_sockets}"
            );
            sleep(STEP).await;
        }
    }
}
