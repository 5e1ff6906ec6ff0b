//! `cargo xtask torture lists`: readers of lists of channels raced against a server that stays up.
//!
//! As in the race, the first of a burst is published at the edge of the reader's wait, but into a channel of its list
//! that is drawn by lot, sometimes into two. In the end each channel is judged against its log by itself.

mod dealer;
mod reader;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_local};
use tokio::time::Instant;

use self::dealer::Dealer;
use self::reader::{ListReader, Read};
use crate::fixture::{DRAIN, Fixture, ONE_ADDRESS, WHOLE_LOG, block_on, name};
use crate::pattern::Pattern;
use crate::population::read_back;
use crate::publisher::{self, Door, Pace, Publisher, Stop};
use crate::tally::Tally;
use xtask::server::{Keyboard, Server};

/// The patterns that are raced; each is one connection that is left or answered at an edge.
const PATTERNS: [Pattern; 4] = [Pattern::Short, Pattern::Long, Pattern::Stream, Pattern::Sse];
/// A publisher among a hundred may not have its turn for minutes.
const PATIENT: &str = "--keep-alive-seconds=3600";
/// How long a short run publishes.
const SHORT: Duration = Duration::from_secs(6);
/// The columns of the readers' table.
const COLUMNS: &[&str] = &["readers", "questions", "given", "lost", "doubled", "disorder", "phantom"];

/// The course's arguments.
#[derive(Args)]
pub(super) struct Lists {
    /// A run of a few seconds, as `ci` makes it
    #[arg(long, conflicts_with_all = ["rounds", "minutes"])]
    short: bool,
    /// How many channels a list has; all lengths are raced together
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_values_t = [1, 10, 100],
        value_parser = clap::value_parser!(u64).range(1..=100))]
    channels: Vec<u64>,
    /// Edges for each pattern and length
    #[arg(long, default_value_t = 2000, value_name = "N")]
    rounds: u64,
    /// Go on for so long instead
    #[arg(long, conflicts_with = "rounds", value_name = "N")]
    minutes: Option<u64>,
    /// Lists for each pattern and length, each with channels, publishers and a reader of its own
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10))]
    lanes: u64,
    #[command(flatten)]
    fixture: Fixture,
}

impl Lists {
    /// A few seconds of it.
    pub(super) fn short(fixture: Fixture) -> Self {
        Self { short: true, channels: vec![1, 10, 100], rounds: 0, minutes: None, lanes: 1, fixture }
    }

    pub(super) fn run(&self) -> Result<()> {
        let flags = [&[WHOLE_LOG, PATIENT][..], &ONE_ADDRESS].concat();
        let (binary, _certificate) = self.fixture.secured_binary()?;
        let server = Server::start(&binary, &flags, Keyboard::Shared)?;
        let (address, seed, stop) = (server.address(), self.fixture.seed(), self.stop());
        println!("torture lists: {} lanes of lists of {:?}, --seed {seed}", self.lanes, self.channels);
        let (readers, publishers) = block_on(async {
            let mut lanes = JoinSet::new();
            for &length in &self.channels {
                for pattern in PATTERNS {
                    for number in 0..self.lanes {
                        let seed = seed.wrapping_add(104_729 * (lanes.len() as u64 + 1));
                        lanes.spawn_local(
                            Lane { address, pattern, length, number, seed, stop: stop.clone() }.run(),
                        );
                    }
                }
            }
            let (mut readers, mut publishers) = tallies();
            while let Some(lane) = lanes.join_next().await {
                let (read, published) = lane??;
                readers.join(read);
                publishers.join(published);
            }
            Ok((readers, publishers))
        })?;
        println!("{publishers}\n{readers}");
        publishers.verdict("acknowledged")?;
        readers.verdict("given")?;
        server.drain(DRAIN).context("after the lists")
    }

    fn stop(&self) -> Stop {
        match self.minutes {
            _ if self.short => Stop::At(Instant::now() + SHORT),
            Some(minutes) => Stop::At(Instant::now() + Duration::from_secs(60 * minutes)),
            None => Stop::After(self.rounds.div_ceil(self.lanes)),
        }
    }
}

/// Nothing that is cut or lost is expected.
fn tallies() -> (Tally, Tally) {
    (Tally::new("read by", COLUMNS, 4), Tally::new("published by", publisher::COLUMNS, 6))
}

/// One list: its channels, a publisher for each, and a reader of all.
struct Lane {
    address: SocketAddr,
    pattern: Pattern,
    length: u64,
    number: u64,
    seed: u64,
    /// After so many edges, or then.
    stop: Stop,
}

impl Lane {
    async fn run(self) -> Result<(Tally, Tally)> {
        let row = format!("{} of {}", name(&self.pattern), self.length);
        let channels: Vec<_> = (0..self.length)
            .map(|channel| format!("{row}-{}-{channel}", self.number).replace(' ', "-"))
            .collect();
        let (announce, edges) = watch::channel(Instant::now());
        let (ends, end) = watch::channel(None);
        let reader = ListReader::new(self.address, self.pattern, channels.clone(), announce, self.seed);
        let reader = spawn_local(reader.follow(end));
        let (dealer, stopped, hands) = Dealer::new(edges, channels.len(), self.stop.clone(), !self.seed);
        let dealer = spawn_local(dealer.run());
        let mut publishers = JoinSet::new();
        for (number, (channel, hand)) in channels.iter().zip(hands).enumerate() {
            let publisher = Publisher {
                door: Door::Native,
                route: self.address.into(),
                channel: channel.clone(),
                name: format!("{channel}-p"),
                seed: self.seed.wrapping_add(7_919 * (number as u64 + 1)),
                pace: Pace::Edges(hand),
                stop: Stop::WhenTold(stopped.clone()),
            };
            publishers.spawn_local(publisher.run());
        }
        let published = publishers.join_all().await;
        let mut logs = HashMap::new();
        for channel in &channels {
            logs.insert(channel.clone(), read_back(self.address, channel).await?.log);
        }
        let last = logs.iter().filter_map(|(channel, log)| Some((channel.clone(), log.last.clone()?)));
        ends.send_replace(Some(Arc::new(last.collect())));
        let Read { mut seen, questions, faults } = reader.await?;
        dealer.abort();
        let (mut readers, mut tally) = tallies();
        readers.add(&row, [("readers", 1), ("questions", questions)]);
        readers.faults.extend(faults);
        for one in published {
            let log = &logs[&one.channel];
            one.judge(log, &mut tally);
        }
        for (channel, log) in &logs {
            readers.add(&row, log.judge_reader(&seen.remove(channel).unwrap_or_default()));
        }
        ensure!(seen.is_empty(), "{row}: messages of other channels");
        Ok((readers, tally))
    }
}
