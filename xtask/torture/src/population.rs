//! Publishers and readers that go on together while something happens to the server.
//!
//! In the end every channel's log is read back and is the truth: what was acknowledged must be in it, once and in
//! order, and every reader must have been given it and nothing else.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Result, ensure};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::checker::Log;
use crate::client::Client;
use crate::follower::{self, Account, Ends, follow};
use crate::pattern::Pattern;
use crate::payload;
use crate::position::Position;
use crate::publisher::{self, Door, Published, Publisher};
use crate::tally::Tally;

pub(super) struct Population {
    address: SocketAddr,
    seed: u64,
    stop: watch::Sender<bool>,
    end: watch::Sender<Ends>,
    publishers: JoinSet<Published>,
    readers: JoinSet<Account>,
}

/// Whether the course itself ends connections.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Cuts {
    Expected,
    Faults,
}

impl Population {
    pub(super) fn new(address: SocketAddr, seed: u64) -> Self {
        let (stop, end) = (watch::Sender::new(false), watch::Sender::new(None));
        Self { address, seed, stop, end, publishers: JoinSet::new(), readers: JoinSet::new() }
    }

    /// Publishes to a channel by these doors, with such pauses in tenths of a millisecond.
    pub(super) fn publish(&mut self, channel: &str, doors: &[Door], pause: std::ops::Range<u64>) {
        for &door in doors {
            let number = self.publishers.len() as u64 + 1;
            let publisher = Publisher {
                door,
                address: self.address,
                channel: channel.to_owned(),
                name: format!("{channel}-{number}"),
                seed: self.seed.wrapping_add(7_919 * number),
                pause: pause.clone(),
            };
            self.publishers.spawn_local(publisher.run(self.stop.subscribe()));
        }
    }

    /// Reads a channel with these patterns, whose questions are so many times longer than in a race.
    pub(super) fn read(&mut self, channel: &str, patterns: &[Pattern], slow: u32) {
        for &pattern in patterns {
            let seed = self.seed.wrapping_add(104_729 * (self.readers.len() as u64 + 1));
            let position = Position::new(channel, slow, seed);
            self.readers.spawn_local(follow(pattern, self.address, position, self.end.subscribe()));
        }
    }

    /// Lets the publishers come to an end and the readers catch up; gives what both came to.
    pub(super) async fn finish(self, cuts: Cuts) -> Result<[Tally; 2]> {
        self.stop.send_replace(true);
        let published = self.publishers.join_all().await;
        let mut logs = BTreeMap::new();
        for published in &published {
            if !logs.contains_key(&published.channel) {
                logs.insert(published.channel.clone(), read_back(self.address, &published.channel).await?);
            }
        }
        let last = logs.iter().filter_map(|(name, log)| Some((name.clone(), log.last.clone()?)));
        self.end.send_replace(Some(Arc::new(last.collect::<HashMap<_, _>>())));
        let faulty = usize::from(cuts == Cuts::Faults);
        let mut publishers = Tally::new("published by", publisher::COLUMNS, 4 + faulty);
        published.into_iter().for_each(|one| {
            let log = &logs[&one.channel];
            one.judge(log, &mut publishers);
        });
        let mut readers = Tally::new("read by", follower::COLUMNS, 4 + faulty);
        for account in self.readers.join_all().await {
            let log = &logs[&account.channel];
            account.judge(log, &mut readers);
        }
        Ok([publishers, readers])
    }
}

/// A channel's log, from its first message to its last.
async fn read_back(address: SocketAddr, channel: &str) -> Result<Log> {
    let (mut client, mut log, mut from) = (Client::new(address), Log::default(), "last_id=0".to_owned());
    loop {
        let target = format!("/api/poll?channel={channel}&{from}");
        let (messages, cursor) = payload::poll(&client.get(&target).await?.json(200)?)?;
        if messages.is_empty() {
            return Ok(log);
        }
        for message in messages {
            ensure!(message.seq == log.length + 1, "{channel} has a hole before {}", message.seq);
            log.push(message.token);
        }
        from = format!("cursor={cursor}");
    }
}
