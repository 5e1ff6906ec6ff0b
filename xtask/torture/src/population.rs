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
use crate::follower::{self, Account, Ends, follow};
use crate::pattern::Pattern;
use crate::payload::{self, Polled};
use crate::position::Position;
use crate::publisher::{self, Door, Pace, Published, Publisher, Stop};
use crate::reader::Reader;
use crate::tally::Tally;

/// By how many milliseconds clocks are wrong; one is ahead by more than any race takes.
const AHEAD: f64 = 24.0 * 3600.0 * 1000.0;
const BEHIND: f64 = -3500.0;

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
    pub(super) fn read(&mut self, channel: &str, patterns: &[Pattern], slow: u32) {
        for &pattern in patterns {
            let seed = self.seed.wrapping_add(104_729 * (self.readers.len() as u64 + 1));
            let position = Position::new(channel, slow, seed);
            let reader = Reader::new(pattern, self.address);
            self.readers.spawn_local(follow(reader, self.address.into(), position, self.end.subscribe()));
        }
    }

    /// Reads a channel of this server with a pattern, and publishes to it at the edges of the first reader's waits.
    /// Readers who wait together are answered by the same message and ask again at once, so one shot is near the edge of
    /// many.
    pub(super) fn race(
        &mut self,
        address: SocketAddr,
        channel: &str,
        pattern: Pattern,
        readers: u64,
        stop: Stop,
    ) {
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

    /// Lets the publishers come to an end and the readers catch up; fails unless everybody was given everything.
    pub(super) async fn finish(self, cuts: Cuts) -> Result<()> {
        self.stop.send_replace(true);
        let published = self.publishers.join_all().await;
        let mut logs = BTreeMap::new();
        for Published { route, channel, .. } in &published {
            if let Entry::Vacant(log) = logs.entry((route.first(), channel.clone())) {
                log.insert(read_back(route.first(), channel).await?.log);
            }
        }
        let last = logs.iter().filter_map(|(key, log)| Some((key.clone(), log.last.clone()?)));
        self.end.send_replace(Some(Arc::new(last.collect::<HashMap<_, _>>())));
        let faulty = usize::from(cuts == Cuts::Faults);
        let mut publishers = Tally::new("published by", publisher::COLUMNS, 5 + faulty);
        for one in published {
            let log = &logs[&(one.route.first(), one.channel.clone())];
            one.judge(log, &mut publishers);
        }
        let mut readers = Tally::new("read by", follower::COLUMNS, 4 + faulty);
        for account in self.readers.join_all().await {
            let log = &logs[&(account.address, account.channel.clone())];
            account.judge(log, &mut readers);
        }
        println!("{publishers}\n{readers}");
        publishers.verdict("acknowledged")?;
        readers.verdict("given")
    }
}

/// A channel as one server has it, from its first message to its last.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Whole {
    pub(super) epoch: u64,
    pub(super) log: Log,
}

pub(super) async fn read_back(address: SocketAddr, channel: &str) -> Result<Whole> {
    let (mut client, mut log, mut from) = (Client::new(address), Log::default(), "last_id=0".to_owned());
    loop {
        let target = format!("/api/poll?channel={channel}&{from}");
        let Polled { messages, cursor, .. } = payload::poll(&client.get(&target).await?.json(200)?)?;
        if messages.is_empty() {
            return Ok(Whole { epoch: payload::epoch(&cursor)?, log });
        }
        for message in messages {
            ensure!(message.seq == log.length + 1, "{channel} has a hole before {}", message.seq);
            log.push(message.token);
        }
        from = format!("cursor={cursor}");
    }
}
