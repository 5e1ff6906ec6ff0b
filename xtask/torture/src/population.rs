//! Publishers and readers that go on together, whatever happens to the server.
//!
//! In the end every channel's log is read back and is the truth: what was acknowledged must be in it, once and in
//! order, and every reader must have been given it and nothing else.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Result, ensure};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::checker::Log;
use crate::client::Client;
pub use crate::follower::Cuts;
use crate::follower::{self, Account, Ends, follow};
use crate::pattern::Pattern;
use crate::payload::{self, Polled};
use crate::position::{Notices, Position};
use crate::publisher::{self, Door, Pace, Published, Publisher, Stop};
use crate::reader::Reader;
use crate::tally::Tally;

/// By how many milliseconds clocks are wrong; one is ahead by more than any race takes.
const AHEAD: f64 = 24.0 * 3600.0 * 1000.0;
const BEHIND: f64 = -3500.0;

/// See the [module](self).
pub struct Population {
    address: SocketAddr,
    seed: u64,
    notices: Notices,
    stop: watch::Sender<bool>,
    end: watch::Sender<Ends>,
    publishers: JoinSet<Published>,
    readers: JoinSet<Account>,
}

/// All that was said and done, and every channel as it is in the end.
pub struct Settled {
    /// By the server that a channel is on, and its name.
    pub wholes: BTreeMap<(SocketAddr, String), Whole>,
    /// What each publisher did.
    pub published: Vec<Published>,
    /// What each reader was given.
    pub accounts: Vec<Account>,
}

impl Population {
    /// Nobody yet, for the server at this address.
    #[must_use]
    pub fn new(address: SocketAddr, seed: u64) -> Self {
        let (stop, end) = (watch::Sender::new(false), watch::Sender::new(None));
        let (publishers, readers) = (JoinSet::new(), JoinSet::new());
        Self { address, seed, notices: Notices::Faults, stop, end, publishers, readers }
    }

    /// Readers that come from now on may be told this.
    pub fn expect(&mut self, notices: Notices) {
        self.notices = notices;
    }

    /// Publishes to a channel by these doors, with such pauses in tenths of a millisecond.
    pub fn publish(&mut self, channel: &str, doors: &[Door], pause: std::ops::Range<u64>) {
        for &door in doors {
            let number = self.publishers.len() as u64 + 1;
            let publisher = Publisher {
                door,
                route: self.address.into(),
                channel: channel.to_owned(),
                name: format!("{channel}-{number}"),
                seed: self.seed.wrapping_add(7_919 * number),
                pace: Pace::Pause(pause.clone()),
                stop: Stop::WhenTold(self.stop.subscribe()),
            };
            self.publishers.spawn_local(publisher.run());
        }
    }

    /// Reads a channel with these patterns, whose questions are so many times longer than in a race.
    pub fn read(&mut self, channel: &str, patterns: &[Pattern], slow: u32) {
        for &pattern in patterns {
            let seed = self.seed.wrapping_add(104_729 * (self.readers.len() as u64 + 1));
            let mut position = Position::new(channel, slow, seed);
            position.notices = self.notices;
            let reader = Reader::new(pattern, self.address);
            self.readers.spawn_local(follow(reader, self.address.into(), position, self.end.subscribe()));
        }
    }

    /// Reads a channel of this server with a pattern, and publishes to it at the edges of the first reader's waits.
    /// Readers who wait together are answered by the same message and ask again at once, so one shot is near the edge of
    /// many.
    pub fn race(&mut self, address: SocketAddr, channel: &str, pattern: Pattern, readers: u64, stop: Stop) {
        let (announce, edges) = watch::channel(Instant::now());
        let seed = self.seed.wrapping_add(104_729 * (self.readers.len() as u64 + 1));
        for number in 0..readers {
            let seed = seed.wrapping_add(number);
            let mut position = Position::new(channel, 1, seed);
            position.clock = Some(if seed.is_multiple_of(2) { AHEAD } else { BEHIND });
            if number == 0 {
                position = position.aimed_at(announce.clone());
            }
            let reader = Reader::new(pattern, address);
            self.readers.spawn_local(follow(reader, address.into(), position, self.end.subscribe()));
        }
        let (channel, name, pace) = (channel.to_owned(), format!("{channel}-1"), Pace::Edges(edges));
        let (door, route) = (Door::Native, address.into());
        let publisher = Publisher { door, route, channel, name, seed: !seed, pace, stop };
        self.publishers.spawn_local(publisher.run());
    }

    /// Lets the publishers come to an end and the readers catch up; fails unless all were given everything.
    ///
    /// # Errors
    /// What went wrong.
    pub async fn finish(self, cuts: Cuts) -> Result<()> {
        let (publishers, readers) = self.settle().await?.judge(cuts);
        println!("{publishers}\n{readers}");
        publishers.verdict("acknowledged")?;
        readers.verdict("given")
    }

    /// Lets the publishers come to an end and the readers catch up.
    ///
    /// # Errors
    /// When a channel cannot be read back.
    pub async fn settle(mut self) -> Result<Settled> {
        let published = self.stop().await;
        let mut wholes = BTreeMap::new();
        for Published { route, channel, .. } in &published {
            if let Entry::Vacant(whole) = wholes.entry((route.first(), channel.clone())) {
                whole.insert(read_back(route.first(), channel).await?);
            }
        }
        let last = wholes.iter().filter_map(|(key, whole)| Some((key.clone(), whole.log.last.clone()?)));
        let last = last.collect();
        Ok(Settled { accounts: self.end(last).await, published, wholes })
    }

    /// Lets the publishers come to an end.
    pub async fn stop(&mut self) -> Vec<Published> {
        self.stop.send_replace(true);
        std::mem::take(&mut self.publishers).join_all().await
    }

    /// Tells the readers what the last message of each channel is, and waits until they have it.
    pub async fn end(self, last: HashMap<(SocketAddr, String), String>) -> Vec<Account> {
        self.end.send_replace(Some(Arc::new(last)));
        self.readers.join_all().await
    }
}

impl Settled {
    /// Judges all: the publishers' table, and the readers'.
    #[must_use]
    pub fn judge(self, cuts: Cuts) -> (Tally, Tally) {
        let faulty = usize::from(cuts == Cuts::Faults);
        let mut publishers = Tally::new("published by", publisher::COLUMNS, 5 + faulty);
        for one in self.published {
            let log = &self.wholes[&(one.route.first(), one.channel.clone())].log;
            one.judge(log, &mut publishers);
        }
        let mut readers = Tally::new("read by", follower::COLUMNS, 4 + faulty);
        for account in self.accounts {
            let log = &self.wholes[&(account.address, account.channel.clone())].log;
            account.judge(log, cuts, &mut readers);
        }
        (publishers, readers)
    }
}

/// A channel as one server has it, from its first message to its last.
#[derive(Debug, PartialEq, Eq)]
pub struct Whole {
    /// Its incarnation.
    pub epoch: u64,
    /// Its messages.
    pub log: Log,
}

/// Reads a channel from which nothing is missing.
///
/// # Errors
/// What went wrong.
pub async fn read_back(address: SocketAddr, channel: &str) -> Result<Whole> {
    let (whole, missed) = read_back_in_parts(address, channel).await?;
    ensure!(missed == 0, "{missed} messages of {channel} are missing");
    Ok(whole)
}

/// Reads a channel, and how many messages are said to be missing from it.
///
/// # Errors
/// What went wrong; a message that is missing without a word, for one.
pub async fn read_back_in_parts(address: SocketAddr, channel: &str) -> Result<(Whole, u64)> {
    let (mut client, mut log, mut from) = (Client::new(address), Log::default(), "last_id=0".to_owned());
    let mut missed = 0;
    loop {
        let target = format!("/api/poll?channel={channel}&{from}");
        let answer = client.get(&target).await?.json(200)?;
        let Polled { messages, cursor, .. } = payload::poll(&answer)?;
        let told = answer["missed"].as_u64().unwrap_or_default();
        (0..told).for_each(|_| log.skip());
        missed += told;
        if messages.is_empty() {
            return Ok((Whole { epoch: payload::epoch(&cursor)?, log }, missed));
        }
        for message in messages {
            ensure!(message.seq == log.length + 1, "{channel} has a hole before {}", message.seq);
            log.push(message.token);
        }
        from = format!("cursor={cursor}");
    }
}

/// What the server says where it is not ready.
///
/// # Errors
/// That, or why it could not be asked.
pub async fn readiness(address: SocketAddr) -> Result<()> {
    let answer = Client::new(address).get("/readyz").await?;
    ensure!(answer.status == 200, "{}", String::from_utf8_lossy(&answer.body).trim_end());
    Ok(())
}
