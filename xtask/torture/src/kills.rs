//! `cargo xtask torture kills`: a durable server that is killed at random moments and started again, while publishers
//! and readers of every pattern and dialect go on.
//!
//! What a killed process wrote stays in the system's cache, so this proves the order of writing and answering, and not
//! what a power cut leaves.

mod supervisor;

use anyhow::{Context as _, Result};
use clap::Args;

use self::supervisor::Supervisor;
use crate::fixture::{DRAIN, Fixture, block_on};
use crate::pattern::Pattern;
use crate::population::{Cuts, Population};
use crate::ports::Ports;
use crate::publisher::Door;

/// The first is the one that chat reads.
const CHANNELS: [&str; 3] = ["messages", "kills-1", "kills-2"];
/// Between two messages of a publisher, in tenths of a millisecond.
const PAUSE: std::ops::Range<u64> = 200..1_500;
/// So that the whole log can be read back, and one address may have them all.
const FLAGS: &[&str] = &[
    "--retain-messages=0",
    "--retain-seconds=0",
    "--retain-bytes=0",
    "--idempotency-seconds=3600",
    "--max-per-address=0",
    "--max-sockets-per-address=0",
];
/// How long a server serves, in milliseconds; a short run has shorter ones.
const LIFE: std::ops::Range<u64> = 20..1_500;
const SHORT_LIFE: std::ops::Range<u64> = 20..900;
/// Kills of a short run.
const SHORT: u64 = 8;

/// The course's arguments.
#[derive(Args)]
pub(super) struct Kills {
    /// How often the server is killed; clean stops do not count
    #[arg(long, default_value_t = 100, value_name = "N")]
    rounds: u64,
    #[arg(skip)]
    short: bool,
    #[command(flatten)]
    fixture: Fixture,
}

impl Kills {
    pub(super) fn short(fixture: Fixture) -> Self {
        Self { rounds: SHORT, short: true, fixture }
    }

    pub(super) fn run(&self) -> Result<()> {
        let folder = tempfile::tempdir().context("no folder for the store")?;
        let seed = self.fixture.seed();
        let address = Ports::new().next()?;
        println!(
            "torture kills: {} kills on {address}{}, --seed {seed}",
            self.rounds,
            self.fixture.security()
        );
        let mut flags: Vec<String> = FLAGS.iter().map(ToString::to_string).collect();
        flags.push(format!("--listen={address}"));
        flags.push(format!("--store=disk:{}", folder.path().join("store").display()));
        let life = if self.short { SHORT_LIFE } else { LIFE };
        let (binary, _certificate) = self.fixture.secured_binary()?;
        let mut supervisor = Supervisor::new(binary, flags, seed, life);
        block_on(async {
            let mut population = Population::new(address, seed);
            for (number, channel) in (0_u32..).zip(CHANNELS) {
                let is_chat = number == 0;
                let keyed = [Door::NativeKeyed, Door::NativeKeyed, Door::Producer, Door::Producer];
                population.publish(channel, &keyed, PAUSE);
                population.publish(channel, &[Door::Native, Door::Golongpoll, Door::Channel], PAUSE);
                population.publish(channel, if is_chat { &[Door::Chat] } else { &[] }, PAUSE);
                // Most kills cut some of them in the middle of a question, and others between two.
                let slow = 1 + 12 * number;
                population.read(channel, &Pattern::NATIVE, slow);
                population.read(channel, &Pattern::DIALECTS, slow);
                population.read(channel, if is_chat { &[Pattern::Chat; 2] } else { &[] }, slow);
            }
            while supervisor.kills() < self.rounds {
                let kills = supervisor.kills();
                supervisor.round().await.with_context(|| format!("after {kills} kills"))?;
            }
            let server = supervisor.start().await?;
            println!("{}", supervisor.counts);
            population.finish(Cuts::Expected).await?;
            server.drain(DRAIN).context("after the last round")
        })
    }
}
