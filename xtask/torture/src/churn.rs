//! `cargo xtask torture churn`: crowds that come and leave in every bad way, beside honest clients that must notice
//! nothing.
//!
//! After each round the server must be back at what the honest clients hold: waiters, sockets and, over the rounds,
//! memory. Limits are set to a few seconds, so that those who must be cut are cut within a round.

mod figures;
mod leavers;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep};

use self::figures::{Figures, Honest, Round};
use self::leavers::Tally;
use super::follower::{Account, Ends, follow};
use super::ground::{Ground, block_on};
use super::http1::Connection;
use super::place::{Begin, Pace, Place};
use super::race::DRAIN;
use super::reader::Pattern;
use xtask::history::{History, Verdict};
use xtask::server::{Keyboard, Server};

/// The limits that cut the bad ones; leavers.rs expects them.
const FLAGS: &[&str] = &[
    "--max-per-address=0",
    "--max-sockets-per-address=0",
    "--max-per-channel=0",
    "--header-seconds=2",
    "--body-seconds=2",
    "--stall-seconds=3",
    "--retain-messages=100000",
];
/// The channels of the honest, and the pause between two publishes to one.
const CHANNELS: u64 = 20;
const GAP: Duration = Duration::from_millis(500);
/// How long the server may take to be back at what the honest hold: the stall limit, and a loaded machine.
const SETTLE: Duration = Duration::from_secs(20);
const STEP: Duration = Duration::from_millis(50);
/// The honest clients' questions are so much longer than a race's: a second or two.
const PACE: Pace = Pace::Slow(20);

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
    honest: u64,
    #[command(flatten)]
    ground: Ground,
}

impl Churn {
    pub(super) fn short(ground: Ground) -> Self {
        Self { rounds: 1, connections: 350, honest: 40, ground }
    }

    pub(super) fn run(&self) -> Result<()> {
        let server = Server::start(&self.ground.binary()?, FLAGS, Keyboard::Shared)?;
        let seed = self.ground.seed();
        println!(
            "torture churn: {} rounds of {} connections beside {} honest clients, --seed {seed}",
            self.rounds, self.connections, self.honest
        );
        let figures = block_on(self.play(server.address(), seed))?;
        println!("{figures}");
        server.drain(DRAIN).context("after the churn")?;
        figures.verdict()
    }

    async fn play(&self, address: SocketAddr, seed: u64) -> Result<Figures> {
        leavers::fill(address).await?;
        let (stop, stopped) = watch::channel(false);
        let (end, ends) = watch::channel(None);
        let mut publishers = JoinSet::new();
        for channel in 0..CHANNELS {
            publishers.spawn_local(publish(address, channel, stopped.clone()));
        }
        let readers = self.spawn_honest(address, seed, &ends);
        let (mut rounds, mut tally) = (Vec::new(), Tally::default());
        for round in 0..self.rounds {
            let start = Instant::now();
            let seed = seed.wrapping_add(1_000_003 * (round + 1));
            tally += leavers::crowd(address, self.connections, seed).await?;
            let settled = self.settle(address).await?;
            rounds.push(Round { took: start.elapsed(), ..settled });
        }
        stop.send_replace(true);
        let mut published = BTreeMap::new();
        for one in publishers.join_all().await {
            let (channel, messages) = one?;
            published.insert(channel, messages);
        }
        let last = published.iter().map(|(channel, messages)| (channel.clone(), messages.to_string()));
        end.send_replace(Some(Arc::new(last.collect::<HashMap<_, _>>())));
        let accounts = readers.join_all().await;
        Ok(Figures { rounds, tally, honest: judge(&accounts, &published) })
    }

    fn spawn_honest(&self, address: SocketAddr, seed: u64, ends: &watch::Receiver<Ends>) -> JoinSet<Account> {
        let mut readers = JoinSet::new();
        let patterns = Pattern::NATIVE.into_iter().chain(Pattern::DIALECTS).cycle();
        for (number, pattern) in (0..self.honest).zip(patterns) {
            let place = Place::new(&name(number % CHANNELS), Begin::Start, PACE, seed.wrapping_add(number));
            readers.spawn_local(follow(pattern, address, place, ends.clone()));
        }
        readers
    }

    /// Waits until the server is back at what the honest hold.
    async fn settle(&self, address: SocketAddr) -> Result<Round> {
        let start = Instant::now();
        loop {
            let now = metrics(address).await?;
            // An honest reader has one connection and waits with one question; one publisher a channel, and ourselves.
            let sockets = self.honest + CHANNELS + 1;
            if now.waiters <= self.honest && now.sockets <= sockets {
                return Ok(now);
            }
            ensure!(
                start.elapsed() < SETTLE,
                "{} waiters and {} sockets are left {SETTLE:?} after a crowd that has left; the honest have {} and {sockets}",
                now.waiters,
                now.sockets,
                self.honest
            );
            sleep(STEP).await;
        }
    }
}

fn name(channel: u64) -> String {
    format!("honest-{channel}")
}

/// Publishes until told to stop; gives how many messages there are.
async fn publish(address: SocketAddr, channel: u64, stopped: watch::Receiver<bool>) -> Result<(String, u64)> {
    let (channel, mut connection, mut messages) = (name(channel), Connection::open(address).await?, 0);
    let (target, mut ticks) = (format!("/api/message?channel={channel}"), interval(GAP));
    while !*stopped.borrow() {
        ticks.tick().await;
        messages += 1;
        let text = [("Content-Type", "text/plain")];
        connection.ask("POST", &target, &text, &messages.to_string()).await?;
        connection.answer().await?.head.expect(201)?;
    }
    Ok((channel, messages))
}

/// What the server says of itself.
async fn metrics(address: SocketAddr) -> Result<Round> {
    let mut connection = Connection::open(address).await?;
    connection.ask("GET", "/metrics", &[], "").await?;
    let answer = connection.answer().await?;
    answer.head.expect(200)?;
    let text = std::str::from_utf8(&answer.body).context("metrics are text")?;
    let sum = |name: &str| -> Result<u64> {
        let values: Vec<u64> = text
            .lines()
            .filter(|line| line.starts_with(name))
            .filter_map(|line| line.rsplit(' ').next()?.parse().ok())
            .collect();
        ensure!(!values.is_empty(), "/metrics has no {name}");
        Ok(values.iter().sum())
    };
    Ok(Round {
        waiters: sum("poll_waiters")?,
        sockets: sum("poll_sockets_open")?,
        resident: sum("process_resident_memory_bytes")?,
        took: Duration::ZERO,
    })
}

fn judge(accounts: &[Account], published: &BTreeMap<String, u64>) -> Honest {
    let mut honest = Honest::default();
    for account in accounts {
        let mut history = History::default();
        account.seen.iter().filter_map(|seen| seen.token.parse().ok()).for_each(|number| history.saw(number));
        let Verdict { lost, doubled, disordered } =
            history.verdict(published.get(&account.channel).copied().unwrap_or_default());
        honest.clients += 1;
        honest.given += history.seen();
        honest.cut += account.gone;
        honest.verdict.lost += lost;
        honest.verdict.doubled += doubled;
        honest.verdict.disordered += disordered;
        honest.faults.extend(account.faults.iter().cloned());
    }
    honest
}
