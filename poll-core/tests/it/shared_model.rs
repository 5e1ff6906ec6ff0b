//! Several servers that share a log, whatever happens: announcements and answers arrive in any order, announcements are
//! lost, servers lose the log and find it again, the log loses its tail.
//!
//! What every reader on every server must see is one order without holes, but for what it was told of: a reset or a
//! number missed. Readers here look again only when they were woken, so a lost wake shows as a reader that stays behind.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use poll_core::journal::Tail;
use poll_core::{
    ChannelName, Continuity, Cursor, IdempotencyKey, JournalError, Lane, Limit, Payload, Pinned, Position,
    Publish, PublishError, Published, Retention, Store, Timestamp, View, Wait,
};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use crate::fake_log::Log;
use crate::fake_node::Node;
use crate::fixture::{Count, NOON, name, poll, second};

const SERVERS: usize = 3;
const CHANNELS: [&str; 2] = ["a", "b"];

#[derive(Debug, Clone)]
enum Step {
    /// Publishes so many messages on a server, perhaps under one of a few keys.
    Publish(usize, usize, usize, Option<u8>),
    Arrive(usize, usize),
    LoseAnnouncement(usize, usize),
    GoAway(usize),
    ComeBack(usize),
    /// Hears how far the log is, as servers do every second.
    LookAround(usize),
    LoseTail(usize, u64),
    Unload(usize),
    Reader(usize, usize, Start),
    Probe(usize, usize),
}

#[derive(Debug, Clone, Copy)]
enum Start {
    Oldest,
    Now,
    /// After the newest message that was acknowledged.
    Acknowledged,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (server, channel) = (0..SERVERS, 0..CHANNELS.len());
    let start = prop_oneof![Just(Start::Oldest), Just(Start::Now), Just(Start::Acknowledged)];
    let step = prop_oneof![
        6 => (server.clone(), channel.clone(), 1..4usize, proptest::option::weighted(0.3, 0..4u8))
            .prop_map(|(server, channel, count, key)| Step::Publish(server, channel, count, key)),
        20 => (server.clone(), any::<usize>()).prop_map(|(server, index)| Step::Arrive(server, index)),
        2 => (server.clone(), any::<usize>()).prop_map(|(server, index)| Step::LoseAnnouncement(server, index)),
        1 => server.clone().prop_map(Step::GoAway),
        2 => server.clone().prop_map(Step::ComeBack),
        1 => server.clone().prop_map(Step::LookAround),
        1 => (channel.clone(), 0..6u64).prop_map(|(channel, keep)| Step::LoseTail(channel, keep)),
        1 => server.clone().prop_map(Step::Unload),
        3 => (server.clone(), channel.clone(), start)
            .prop_map(|(server, channel, start)| Step::Reader(server, channel, start)),
        3 => (server, channel).prop_map(|(server, channel)| Step::Probe(server, channel)),
    ];
    proptest::collection::vec(step, 1..150)
}

type Task<T> = Pin<Box<dyn Future<Output = T>>>;

struct World {
    log: Arc<Log>,
    servers: Vec<(Arc<Node>, Store)>,
    /// How often each server was without the log.
    losses: Vec<u64>,
    readers: Vec<Reader>,
    publishing: Vec<(Task<Result<Published, PublishError>>, usize)>,
    probes: Vec<Probe>,
    /// The newest message of each channel that a publisher was told of.
    acknowledged: HashMap<usize, Cursor>,
    published: usize,
    /// Payloads whose publishers were told that nothing was stored.
    refused: Vec<Payload>,
}

struct Reader {
    channel: ChannelName,
    store: Store,
    lane: Lane,
    position: Position,
    activity: Activity,
    woken: Arc<Count>,
    /// Wakes that were answered.
    seen: usize,
    at: Option<Cursor>,
}

enum Activity {
    Reading(Task<Result<View, JournalError>>),
    Waiting(Box<Wait>),
}

/// A read that begins, and what it has to see.
struct Probe {
    pinning: Task<Result<Pinned, JournalError>>,
    channel: usize,
    server: usize,
    losses: u64,
    acknowledged: Cursor,
}

impl World {
    fn new() -> Self {
        let retention = Retention { messages: 6, age: Duration::ZERO, ..Retention::default() };
        // Room for about two messages.
        let tail = Tail { bytes: 300, ..Tail::default() };
        let time = AtomicU64::new(NOON.as_micros());
        let clock = move || Timestamp::from_micros(time.fetch_add(250, Ordering::Relaxed));
        let log = Log::new(retention, tail, clock);
        Self {
            servers: (0..SERVERS).map(|_| Node::store(&log)).collect(),
            log,
            losses: vec![0; SERVERS],
            readers: Vec::new(),
            publishing: Vec::new(),
            probes: Vec::new(),
            acknowledged: HashMap::new(),
            published: 0,
            refused: Vec::new(),
        }
    }

    fn take(&mut self, step: &Step) -> TestCaseResult {
        match *step {
            Step::Publish(server, channel, count, key) => self.publish(server, channel, count, key),
            Step::Arrive(server, index) => self.servers[server].0.deliver(index),
            Step::LoseAnnouncement(server, index) => self.servers[server].0.lose(index),
            Step::GoAway(server) => {
                self.losses[server] += 1;
                self.servers[server].0.go_away();
            }
            Step::ComeBack(server) => self.servers[server].0.come_back(),
            Step::LookAround(server) => self.servers[server].0.look_around(),
            Step::LoseTail(channel, keep) => {
                self.log.lose(&name(CHANNELS[channel]), keep);
                self.acknowledged.remove(&channel);
                // What was acknowledged is lost.
                self.probes.retain(|probe| probe.channel != channel);
            }
            Step::Unload(server) => {
                (0..100).for_each(|_| self.servers[server].1.sweep(second(1_000_000), 1_000));
            }
            Step::Reader(server, channel, start) => {
                let position = match (start, self.acknowledged.get(&channel)) {
                    (Start::Oldest, _) => Position::Start,
                    (Start::Now, _) | (Start::Acknowledged, None) => Position::End,
                    (Start::Acknowledged, Some(cursor)) => Position::After(*cursor),
                };
                self.readers.push(Reader::new(&self.servers[server].1, name(CHANNELS[channel]), position));
            }
            Step::Probe(server, channel) => self.probe(server, channel),
        }
        self.run()
    }

    fn publish(&mut self, server: usize, channel: usize, count: usize, key: Option<u8>) {
        self.published += 1;
        let (store, label) = (self.servers[server].1.clone(), self.published);
        let publish = match key {
            // The same key always has the same payload.
            Some(key) => Publish::one(Payload::text(format!("key {key}")))
                .under(IdempotencyKey::parse(&format!("{key}")).unwrap()),
            None => {
                let payload = |number| Payload::text(format!("{label}/{number} {}", "x".repeat(20)));
                Publish::many((0..count).map(payload).collect())
            }
        };
        let unkeyed = if key.is_none() { publish.payloads.to_vec() } else { Vec::new() };
        let published = async move { store.publish(NOON, &name(CHANNELS[channel]), publish).await };
        let mut published: Task<_> = Box::pin(published);
        if let Poll::Ready(refused) = poll(&mut published, &Count::new()) {
            assert!(refused.is_err(), "it is in the air");
            self.refused.extend(unkeyed);
        } else {
            self.publishing.push((published, channel));
        }
    }

    fn probe(&mut self, server: usize, channel: usize) {
        let Some(&acknowledged) = self.acknowledged.get(&channel) else { return };
        let (node, store) = &self.servers[server];
        if !node.is_ready() {
            return;
        }
        let store = store.clone();
        let pinning = async move { store.pin(NOON, &name(CHANNELS[channel]), Position::End).await };
        let losses = self.losses[server];
        self.probes.push(Probe { pinning: Box::pin(pinning), channel, server, losses, acknowledged });
    }

    /// Lets everything that was woken go on.
    fn run(&mut self) -> TestCaseResult {
        let Self { publishing, acknowledged, .. } = self;
        publishing.retain_mut(|(published, channel)| {
            let Poll::Ready(outcome) = poll(published, &Count::new()) else { return true };
            match outcome {
                Ok(published) => {
                    let newest = published.stamps.last().map(|stamp| stamp.cursor);
                    let known = acknowledged.get(channel).copied();
                    if let Some(newest) = newest.filter(|newest| is_later(*newest, known)) {
                        acknowledged.insert(*channel, newest);
                    }
                }
                Err(PublishError::Journal(JournalError::OutcomeUnknown(_))) => {}
                Err(error) => panic!("{error:?}"),
            }
            false
        });
        let (losses, log) = (&self.losses, &self.log);
        let mut seen = Ok(());
        self.probes.retain_mut(|probe| {
            let Poll::Ready(pinned) = poll(&mut probe.pinning, &Count::new()) else { return true };
            let cursor = pinned.unwrap().cursor().unwrap();
            let known = log.reach(&name(CHANNELS[probe.channel])).epoch;
            // A server without the log goes on with what it knows.
            let sure = probe.losses == losses[probe.server] && known == probe.acknowledged.epoch;
            if sure && is_later(probe.acknowledged, Some(cursor)) {
                seen = Err(TestCaseError::fail(format!("{cursor:?} misses {:?}", probe.acknowledged)));
            }
            false
        });
        seen?;
        self.readers.iter_mut().try_for_each(|reader| reader.run(&self.log))
    }

    /// Everything arrives.
    fn land(&mut self) -> TestCaseResult {
        while self.servers.iter().any(|(node, _)| node.in_the_air() > 0) {
            self.servers.iter().for_each(|(node, _)| node.deliver(0));
            self.run()?;
        }
        Ok(())
    }

    /// All servers find the log again, and everything arrives.
    fn come_to_rest(&mut self) -> TestCaseResult {
        self.servers.iter().for_each(|(node, _)| node.come_back());
        self.run()?;
        // Announcements that are still in the air need not be asked for.
        self.land()?;
        self.servers.iter().for_each(|(node, _)| node.look_around());
        self.land()?;
        prop_assert!(self.publishing.is_empty(), "every publisher was answered");
        prop_assert!(self.probes.is_empty(), "every read came to its end");
        for reader in &self.readers {
            let reach = self.log.reach(&reader.channel);
            let end = Cursor { epoch: reach.epoch, seq: reach.newest };
            prop_assert!(matches!(reader.activity, Activity::Waiting(_)), "a reader that has all waits");
            prop_assert_eq!(
                reader.at,
                Some(end),
                "a reader of {} from {:?}",
                &reader.channel,
                reader.position
            );
        }
        for channel in CHANNELS {
            for payload in &self.refused {
                prop_assert!(!self.log.ever_had(&name(channel), payload), "it was refused");
            }
        }
        Ok(())
    }
}

/// Whether `cursor` is later than `other`; epochs of the fake log grow.
fn is_later(cursor: Cursor, other: Option<Cursor>) -> bool {
    other.is_none_or(|other| (cursor.epoch.get(), cursor.seq) > (other.epoch.get(), other.seq))
}

impl Reader {
    fn new(store: &Store, channel: ChannelName, position: Position) -> Self {
        let beginning = {
            let (store, channel) = (store.clone(), channel.clone());
            async move {
                let pinned = store.pin(NOON, &channel, position).await?;
                store.read(NOON, &channel, &pinned, Limit::messages(2)).await
            }
        };
        let (store, lane, woken) = (store.clone(), store.lane(), Count::new());
        let activity = Activity::Reading(Box::pin(beginning));
        // The first look needs no wake.
        let seen = usize::MAX;
        Self { channel, store, lane, position, activity, woken, seen, at: None }
    }

    fn run(&mut self, log: &Log) -> TestCaseResult {
        while self.seen != self.woken.get() {
            self.seen = self.woken.get();
            loop {
                match &mut self.activity {
                    Activity::Reading(reading) => {
                        let Poll::Ready(view) = poll(reading, &self.woken) else { break };
                        let view = view.unwrap();
                        self.check(log, &view)?;
                        self.at = Some(view.next);
                        if view.batch.is_some() {
                            self.read_on(view.next);
                        } else {
                            let pinned = Pinned::after(view.next);
                            let wait = self.store.wait(&self.channel, &pinned, &self.lane);
                            self.activity = Activity::Waiting(Box::new(wait));
                        }
                    }
                    Activity::Waiting(wait) => {
                        if poll(wait, &self.woken).is_pending() {
                            break;
                        }
                        self.read_on(self.at.unwrap());
                    }
                }
            }
        }
        Ok(())
    }

    fn read_on(&mut self, after: Cursor) {
        let (store, channel) = (self.store.clone(), self.channel.clone());
        let reading =
            async move { store.read(NOON, &channel, &Pinned::after(after), Limit::messages(2)).await };
        self.activity = Activity::Reading(Box::pin(reading));
    }

    /// Whether a view continues where the reader was, or tells it that it does not, and is what the log once gave out.
    fn check(&self, log: &Log, view: &View) -> TestCaseResult {
        let state = &view.read_state;
        if let Some(at) = self.at.filter(|_| state.continuity == Continuity::Kept) {
            prop_assert!(at.epoch == state.epoch || at == Cursor::ZERO, "{at:?} was not reset: {state:?}");
            prop_assert!(view.next.seq >= at.seq, "back from {at:?}: {view:?}");
        }
        if let (None, Position::After(cursor), Continuity::Reset) = (self.at, self.position, state.continuity)
        {
            prop_assert_ne!(log.reach(&self.channel).epoch, cursor.epoch, "{:?} is where the log is", cursor);
        }
        let Some(batch) = &view.batch else { return Ok(()) };
        let mut seq = batch.messages()[0].seq;
        if let (Some(at), Some(missed)) = (self.at, state.missed()) {
            prop_assert_eq!(seq.get(), at.seq.get() + missed + 1, "a hole after {:?}", at);
        }
        for message in batch.messages() {
            prop_assert_eq!(message.seq, seq);
            let once = log.remembered(&self.channel, batch.cursor(message));
            prop_assert_eq!(once.as_ref(), Some(message), "{:?}", batch.cursor(message));
            seq = seq.next();
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]
    #[test]
    fn every_reader_on_every_server_sees_one_order(steps in steps()) {
        let mut world = World::new();
        for step in &steps {
            world.take(step)?;
        }
        world.come_to_rest()?;
    }
}
