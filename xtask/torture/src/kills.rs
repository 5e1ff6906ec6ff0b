//! `cargo xtask torture kills`: a durable server that is killed at random moments and started again, while publishers
//! and readers of every pattern and dialect go on.
//!
//! In the end the log is read back and is the truth: what was acknowledged must be in it, once and in order, and every
//! reader must have been given it and nothing else. A killed process leaves what it wrote to the system's cache, so this
//! proves the order of writing and answering, not what a power cut leaves.

mod ledger;
mod reign;
mod report;
mod writer;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::ledger::Log;
use self::reign::{Reign, free_port};
use self::report::Report;
use self::writer::{Door, Writer, Written};
use super::follower::{Account, Ends, follow};
use super::ground::{Ground, block_on};
use super::http1::Connection;
use super::line::parse_poll;
use super::place::{Begin, Pace, Place};
use super::race::DRAIN;
use super::reader::{Pattern, chat};
use xtask::server;

/// Beside the channel that chat reads.
const CHANNELS: [&str; 3] = [chat::CHANNEL, "kills-1", "kills-2"];
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
    /// How often the server is killed; clean stops in between do not count
    #[arg(long, default_value_t = 100, value_name = "N")]
    rounds: u64,
    #[arg(skip)]
    short: bool,
    #[command(flatten)]
    ground: Ground,
}

impl Kills {
    pub(super) fn short(ground: Ground) -> Self {
        Self { rounds: SHORT, short: true, ground }
    }

    pub(super) fn run(&self) -> Result<()> {
        let folder = tempfile::tempdir().context("no folder for the store")?;
        let seed = self.ground.seed();
        let address = SocketAddr::from(([127, 0, 0, 1], free_port(seed)?));
        let store = format!("disk:{}", folder.path().join("store").display());
        println!("torture kills: {} kills on {address}, --seed {seed}", self.rounds);
        let place = server::Place { listen: address.to_string(), store };
        let flags = FLAGS.iter().map(|flag| (*flag).to_owned()).collect();
        let life = if self.short { SHORT_LIFE } else { LIFE };
        let mut reign = Reign::new(self.ground.binary()?, place, flags, seed, life);
        let report = block_on(self.play(&mut reign, address, seed))?;
        println!("{report}");
        report.verdict()
    }

    async fn play(&self, reign: &mut Reign, address: SocketAddr, seed: u64) -> Result<Report> {
        let (stop, stopped) = watch::channel(false);
        let (end, ends) = watch::channel(None);
        let writers = spawn_writers(address, seed, &stopped);
        let readers = spawn_readers(address, seed, &ends);
        let start = Instant::now();
        while reign.blows.kills() < self.rounds {
            let kills = reign.blows.kills();
            reign.round().await.with_context(|| format!("after {kills} kills"))?;
        }
        let server = reign.start().await?;
        stop.send_replace(true);
        let written = writers.join_all().await;
        let logs = read_back(address).await?;
        let last = logs.iter().filter_map(|(name, log)| Some((name.clone(), log.last()?.clone())));
        end.send_replace(Some(Arc::new(last.collect::<HashMap<_, _>>())));
        let accounts = readers.join_all().await;
        server.drain(DRAIN).context("after the last round")?;
        Ok(Report::new(&logs, &written, &accounts, reign.blows.clone(), start.elapsed()))
    }
}

fn spawn_writers(address: SocketAddr, seed: u64, stopped: &watch::Receiver<bool>) -> JoinSet<Written> {
    let mut writers = JoinSet::new();
    for channel in CHANNELS {
        let doors = [Door::Keyed, Door::Keyed, Door::Bare, Door::Golongpoll, Door::Channel];
        let chat = (channel == chat::CHANNEL).then_some(Door::Chat);
        for (number, door) in (0_u64..).zip(doors.into_iter().chain(chat)) {
            let seed = seed.wrapping_add(7_919 * (writers.len() as u64 + 1));
            let (name, channel) = (format!("{channel}-{number}"), channel.to_owned());
            let writer = Writer { door, address, channel, name, seed };
            writers.spawn_local(writer.run(stopped.clone()));
        }
    }
    writers
}

fn spawn_readers(address: SocketAddr, seed: u64, ends: &watch::Receiver<Ends>) -> JoinSet<Account> {
    let mut readers = JoinSet::new();
    for (number, channel) in (0_u32..).zip(CHANNELS) {
        let chats = (channel == chat::CHANNEL).then_some([Pattern::Chat; 2]);
        let patterns =
            Pattern::NATIVE.into_iter().chain(Pattern::DIALECTS).chain(chats.into_iter().flatten());
        for pattern in patterns {
            let seed = seed.wrapping_add(104_729 * (readers.len() as u64 + 1));
            // Some are cut in the middle of a question by most of the kills, some ask between them.
            let pace = Pace::Slow(1 + 12 * number);
            let place = Place::new(channel, Begin::Start, pace, seed);
            readers.spawn_local(follow(pattern, address, place, ends.clone()));
        }
    }
    readers
}

/// Every channel's log, from its first message to its last.
async fn read_back(address: SocketAddr) -> Result<BTreeMap<String, Log>> {
    let mut logs = BTreeMap::new();
    for channel in CHANNELS {
        let mut connection = Connection::open(address).await?;
        let (mut log, mut place) = (Log::default(), "last_id=0".to_owned());
        loop {
            connection.ask("GET", &format!("/api/poll?channel={channel}&{place}"), &[], "").await?;
            let answer = connection.answer().await?;
            answer.head.expect(200)?;
            let (messages, cursor) = parse_poll(&answer.body)?;
            if messages.is_empty() {
                break;
            }
            for message in messages {
                ensure!(message.seq == log.length() + 1, "{channel} has a hole before {}", message.seq);
                log.push(message.token);
            }
            place = format!("cursor={cursor}");
        }
        logs.insert(channel.to_owned(), log);
    }
    Ok(logs)
}
