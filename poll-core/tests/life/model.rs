//! The life of channels against a plain model: forks that copy, rules spelled out, one after another.
//!
//! In the model a fork is a list of references to messages, copied when it is made. In the store nothing is copied, and
//! what is read has to be the same.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use poll_core::life::{
    AppendError, Appended, Bounds, Condition, ContentType, Create, CreateError, Created, Deleted, ForkPoint,
    Lifetime, Order, ProducerId, ProducerStamp, Purged, Standing, Use,
};
use poll_core::{Ending, Limit, Payload, Pinned, Position, Publish, PublishError, Seq, Store, Timestamp};
use proptest::prelude::*;

use crate::fixture::{NOON, name};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// What happens to a journal and must change nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Disturbance {
    /// What it has goes from the log to the database.
    Settle,
    /// Channels leave memory.
    Unload,
    /// It is closed and opened again.
    Restart,
}

/// A store that is tested.
pub(crate) trait World {
    fn store(&self) -> &Store;

    async fn disturb(&mut self, how: Disturbance, now: Timestamp);

    /// How many channels there are, and what they weigh in memory, once what was done last is counted.
    async fn counted(&self) -> (u64, u64) {
        (self.store().channels(), self.store().weight())
    }
}

#[derive(Debug, Clone)]
pub(crate) enum Step {
    Create {
        channel: usize,
        kind: Kind,
        life: Option<Lifetime>,
        texts: Vec<String>,
        close: bool,
        fork: Option<Fork>,
    },
    Append {
        channel: usize,
        texts: Vec<String>,
        close: bool,
        kind: Kind,
        producer: Option<(usize, u64, u64)>,
        order: Option<u8>,
    },
    Publish {
        channel: usize,
        texts: Vec<String>,
        close: bool,
    },
    Delete {
        channel: usize,
    },
    Purge {
        channel: usize,
    },
    Wait {
        seconds: u64,
    },
    Sweep,
    Disturb(Disturbance),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Json,
}

#[derive(Debug, Clone)]
pub(crate) struct Fork {
    source: usize,
    after: Option<u64>,
    further: u64,
}

/// A message: whose it is, and which of that channel's.
type Reference = (u64, usize);

#[derive(Debug, Default)]
struct Model {
    now: u64,
    born: u64,
    channels: BTreeMap<usize, Channel>,
    /// What messages say, and whether they continue a unit.
    messages: HashMap<Reference, (String, bool)>,
}

#[derive(Debug, Clone)]
struct Channel {
    id: u64,
    json: bool,
    life: Lifetime,
    used: u64,
    ended: bool,
    hidden: bool,
    order: Option<u8>,
    producers: HashMap<usize, (u64, u64)>,
    closer: Option<(usize, u64, u64)>,
    log: Vec<Option<Reference>>,
    origin: Option<(usize, u64, u64)>,
}

impl Model {
    fn is_over(&self, channel: &Channel) -> bool {
        let end = match channel.life {
            Lifetime::Endless => return false,
            Lifetime::Sliding(lifetime) => u128::from(channel.used) * 1_000 + lifetime.as_millis(),
            Lifetime::Until(at) => at.since(NOON).as_millis(),
        };
        !channel.hidden && u128::from(self.now) * 1_000 >= end
    }

    fn live(&self, channel: usize) -> Option<&Channel> {
        self.channels.get(&channel).filter(|found| !found.hidden && !self.is_over(found))
    }

    fn forks(&self, channel: usize) -> usize {
        self.channels
            .values()
            .filter(|other| other.origin.is_some_and(|(source, ..)| source == channel))
            .count()
    }

    /// Ends a channel, and its hidden ancestors that have no other forks.
    fn end(&mut self, channel: usize) {
        if self.forks(channel) > 0 {
            if let Some(found) = self.channels.get_mut(&channel) {
                found.hidden = true;
            }
            return;
        }
        let Some(gone) = self.channels.remove(&channel) else { return };
        if let Some((source, ..)) = gone.origin
            && self.channels[&source].hidden
        {
            self.end(source);
        }
    }

    fn bury(&mut self, channel: usize) {
        if self.channels.get(&channel).is_some_and(|found| self.is_over(found)) {
            self.end(channel);
        }
    }

    fn add(&mut self, channel: usize, texts: &[String]) {
        let now = self.now;
        let found = self.channels.get_mut(&channel).unwrap();
        found.used = now;
        for (index, text) in texts.iter().enumerate() {
            let reference = (found.id, found.log.len());
            self.messages.insert(reference, (text.clone(), index > 0));
            found.log.push(Some(reference));
        }
    }

    fn content(&self, channel: usize) -> Option<String> {
        let log = &self.live(channel)?.log;
        Some(
            log.iter()
                .flatten()
                .filter_map(|reference| self.messages.get(reference))
                .map(|(text, _)| &**text)
                .collect(),
        )
    }

    /// Where a fork leaves its source, and what it begins with.
    fn further(
        &self,
        source: &Channel,
        after: u64,
        further: u64,
    ) -> Result<(usize, Option<String>), CreateError> {
        let (mut cut, mut left) = (usize::try_from(after).unwrap(), further);
        if cut > source.log.len() {
            return Err(CreateError::BeyondTail);
        }
        while left > 0 {
            // A log that has lost messages has lost all before them.
            let read = |reference: &Option<Reference>| reference.and_then(|found| self.messages.get(&found));
            let Some((text, continues)) = source.log.get(cut).and_then(read) else {
                let later = source.log[cut.min(source.log.len())..].iter().any(|later| read(later).is_some());
                return Err(if later { CreateError::SourceEvicted } else { CreateError::BeyondUnit });
            };
            if cut as u64 > after && !continues {
                return Err(CreateError::BeyondUnit);
            }
            let size = if source.json { 1 } else { text.len() as u64 };
            if left < size {
                return Ok((cut, Some(text[..usize::try_from(left).unwrap()].to_owned())));
            }
            (left, cut) = (left - size, cut + 1);
        }
        Ok((cut, None))
    }

    fn create(&mut self, step: &Step) -> Result<bool, CreateError> {
        let Step::Create { channel, kind, life, texts, close, fork } = step else { unreachable!() };
        if let Some(found) = self.live(*channel) {
            let json = found.json == (*kind == Kind::Json) || fork.is_some();
            let life =
                life.map_or(fork.is_some() || found.life == Lifetime::Endless, |life| life == found.life);
            let origin = match (fork, found.origin) {
                (None, None) => true,
                (Some(Fork { source, after, further }), Some(own)) => {
                    *source == own.0 && after.is_none_or(|after| after == own.1) && *further == own.2
                }
                _ => false,
            };
            let same = json && life && origin && found.ended == *close;
            return if same { Ok(false) } else { Err(CreateError::Differs) };
        }
        if self.channels.get(channel).is_some_and(|found| found.hidden) {
            return Err(CreateError::Hidden);
        }
        let mut new = Channel {
            id: self.born,
            json: *kind == Kind::Json,
            life: life.unwrap_or(Lifetime::Endless),
            used: self.now,
            ended: *close,
            hidden: false,
            order: None,
            producers: HashMap::new(),
            closer: None,
            log: Vec::new(),
            origin: None,
        };
        let mut prefix = None;
        if let Some(Fork { source, after, further }) = fork {
            let found = self.live(*source);
            let hidden = self.channels.get(source).is_some_and(|found| found.hidden);
            let found =
                found.ok_or(if hidden { CreateError::SourceHidden } else { CreateError::NoSource })?;
            let after = after.unwrap_or(found.log.len() as u64);
            self.channels.get_mut(source).unwrap().used = self.now;
            let found = &self.channels[source];
            let (cut, first) = self.further(found, after, *further)?;
            (new.json, new.life, new.log) =
                (found.json, life.unwrap_or(found.life), found.log[..cut].to_vec());
            (new.origin, prefix) = (Some((*source, after, *further)), first);
        }
        self.bury(*channel);
        if self.channels.contains_key(channel) {
            return Err(CreateError::Hidden);
        }
        self.born += 1;
        self.channels.insert(*channel, new);
        self.add(*channel, &prefix.into_iter().chain(texts.iter().cloned()).collect::<Vec<_>>());
        Ok(true)
    }

    /// `Ok(None)` for a new append, the producer's last one for a repeated one.
    fn append(&mut self, step: &Step) -> Result<Option<u64>, AppendError> {
        let Step::Append { channel, texts, close, kind, producer, order } = step else { unreachable!() };
        if self.channels.get(channel).is_some_and(|found| found.hidden) {
            return Err(AppendError::Hidden);
        }
        let found = self.live(*channel).ok_or(AppendError::NotFound)?;
        if found.ended {
            let end = poll_core::Cursor::ZERO;
            let again = producer.is_some() && *producer == found.closer;
            return if again {
                Ok(producer.map(|(_, _, seq)| seq))
            } else {
                Err(AppendError::Closed { end })
            };
        }
        let mut refused = None;
        if let Some((id, epoch, seq)) = *producer {
            let gap = |expected| Some(AppendError::Gap { expected, received: seq });
            match found.producers.get(&id) {
                Some((known, last)) if epoch == *known && seq <= *last => return Ok(Some(*last)),
                None if seq > 0 => refused = gap(0),
                Some((known, _)) if epoch < *known => refused = Some(AppendError::Stale { epoch: *known }),
                Some((known, _)) if epoch > *known && seq > 0 => refused = Some(AppendError::NotFromZero),
                Some((known, last)) if epoch == *known && seq > last + 1 => refused = gap(last + 1),
                _ => {}
            }
        }
        if found.json != (*kind == Kind::Json) {
            return Err(AppendError::OtherType);
        }
        if let Some(refused) = refused {
            return Err(refused);
        }
        if order.is_some() && *order <= found.order {
            return Err(AppendError::Order);
        }
        let found = self.channels.get_mut(channel).unwrap();
        found.order = order.or(found.order);
        found.ended = *close;
        if let Some((id, epoch, seq)) = *producer {
            found.producers.insert(id, (epoch, seq));
            found.closer = producer.filter(|_| *close);
        }
        self.add(*channel, texts);
        Ok(None)
    }

    fn publish(&mut self, channel: usize, texts: &[String], close: bool) -> Result<(), PublishError> {
        self.bury(channel);
        if self.channels.get(&channel).is_some_and(|found| found.hidden) {
            return Err(PublishError::Hidden);
        }
        if self.live(channel).is_some_and(|found| found.ended) {
            return Err(PublishError::Closed);
        }
        if self.live(channel).is_none() {
            let life = Some(Lifetime::Endless);
            let step =
                Step::Create { channel, kind: Kind::Json, life, texts: Vec::new(), close: false, fork: None };
            self.create(&step).unwrap();
        }
        self.channels.get_mut(&channel).unwrap().ended = close;
        self.add(channel, texts);
        Ok(())
    }

    fn delete(&mut self, channel: usize) -> Deleted {
        self.bury(channel);
        match self.channels.get(&channel) {
            None => Deleted::Absent,
            Some(found) if found.hidden => Deleted::AlreadyHidden,
            Some(_) => {
                self.end(channel);
                if self.channels.contains_key(&channel) { Deleted::Hidden } else { Deleted::Gone }
            }
        }
    }

    fn purge(&mut self, channel: usize) -> Purged {
        if self.live(channel).is_none() {
            let hidden = self.channels.get(&channel).is_some_and(|found| found.hidden);
            return if hidden { Purged::Hidden } else { Purged::Absent };
        }
        let found = self.channels.get_mut(&channel).unwrap();
        for reference in found.log.iter_mut().filter_map(Option::take) {
            if reference.0 == found.id {
                self.messages.remove(&reference);
            }
        }
        Purged::Done
    }

    fn sweep(&mut self) {
        (0..NAMES.len()).for_each(|channel| self.bury(channel));
    }
}

fn payloads(texts: &[String]) -> Vec<Payload> {
    texts.iter().map(|text| Payload::json(text.as_bytes()).unwrap()).collect()
}

fn publish(texts: &[String], close: bool) -> Publish {
    let ending = if close { Ending::Close } else { Ending::Open };
    Publish { ending, ..Publish::many(payloads(texts)) }
}

fn content_type(kind: Kind) -> ContentType {
    ContentType::parse(if kind == Kind::Json { "application/json" } else { "text/plain" }).unwrap()
}

/// Does a step in both, and compares what they say.
async fn run(step: &Step, model: &mut Model, world: &mut impl World) {
    let store = &world.store().clone();
    let now = NOON.after(Duration::from_secs(model.now));
    match step {
        Step::Create { channel, kind, life, texts, close, fork } => {
            let point = |fork: &Fork| ForkPoint {
                source: name(NAMES[fork.source]),
                after: fork.after.map(Seq::new),
                further: fork.further,
            };
            let create = Create {
                content_type: fork.is_none().then(|| content_type(*kind)),
                lifetime: *life,
                bounds: Bounds::UNLIMITED,
                payloads: payloads(texts).into(),
                ending: if *close { Ending::Close } else { Ending::Open },
                origin: fork.as_ref().map(point),
            };
            let created = in_time(store.create(now, &name(NAMES[*channel]), create)).await;
            assert_eq!(created.map(|created| matches!(created, Created::New { .. })), model.create(step));
        }
        Step::Append { channel, texts, close, kind, producer, order } => {
            let producer = producer.map(|(id, epoch, seq)| ProducerStamp {
                id: ProducerId::parse(&format!("p{id}")).unwrap(),
                epoch,
                seq,
            });
            let order = order.map(|order| Order::parse(&order.to_string()).unwrap());
            let condition = Condition { content_type: Some(content_type(*kind)), producer, order };
            let appended =
                in_time(store.append(now, &name(NAMES[*channel]), publish(texts, *close), condition)).await;
            let appended = match appended {
                Ok(Appended::New { .. }) => Ok(None),
                Ok(Appended::Duplicate { last, .. }) => Ok(Some(last)),
                Err(AppendError::Closed { .. }) => Err(AppendError::Closed { end: poll_core::Cursor::ZERO }),
                Err(error) => Err(error),
            };
            assert_eq!(appended, model.append(step));
        }
        Step::Publish { channel, texts, close } => {
            let published = in_time(store.publish(now, &name(NAMES[*channel]), publish(texts, *close))).await;
            assert_eq!(published.map(drop), model.publish(*channel, texts, *close));
        }
        Step::Delete { channel } => {
            assert_eq!(in_time(store.delete(now, &name(NAMES[*channel]))).await, Ok(model.delete(*channel)));
        }
        Step::Purge { channel } => {
            assert_eq!(in_time(store.purge(now, &name(NAMES[*channel]))).await, Ok(model.purge(*channel)));
        }
        Step::Wait { seconds } => model.now += seconds,
        Step::Sweep => {
            (0..200).for_each(|_| store.sweep(now, 1_000));
            in_time(store.tend(now)).await;
            model.sweep();
        }
        Step::Disturb(how) => world.disturb(*how, now).await,
    }
}

async fn compare(model: &Model, store: &Store) {
    let now = NOON.after(Duration::from_secs(model.now));
    for (channel, text) in NAMES.iter().enumerate() {
        let standing = in_time(store.describe(now, &name(text), Use::Look)).await.unwrap();
        let Some(found) = model.live(channel) else {
            assert!(!matches!(standing, Standing::Live(_)), "{text} is {standing:?}");
            continue;
        };
        let Standing::Live(description) = standing else { panic!("{text} is {standing:?}") };
        assert_eq!(description.newest.get(), found.log.len() as u64);
        assert_eq!(description.ending == Ending::Close, found.ended);
    }
    // A reader would lengthen the time of the others.
    for (channel, text) in NAMES.iter().enumerate() {
        let lasts = model.live(channel).is_some_and(|found| !matches!(found.life, Lifetime::Sliding(_)));
        if lasts {
            assert_eq!(Some(all(store, now, text).await), model.content(channel), "{text}");
        }
    }
}

async fn all(store: &Store, now: Timestamp, channel: &str) -> String {
    let mut pinned = in_time(store.pin(now, &name(channel), Position::Start)).await.unwrap();
    let mut all = String::new();
    loop {
        let view = in_time(store.read(now, &name(channel), &pinned, Limit::default())).await.unwrap();
        let Some(batch) = view.batch else { return all };
        batch.messages().iter().for_each(|m| all += std::str::from_utf8(m.payload.as_bytes()).unwrap());
        pinned = Pinned::after(view.next);
    }
}

async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), what).await.expect("in time")
}

fn texts(least: usize) -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec("[1-9]{1,3}", least..4)
}

/// Half a second before a second: messages of one moment are microseconds apart.
fn halfway(seconds: u64) -> Duration {
    Duration::from_millis(seconds * 1_000 - 500)
}

/// Steps, with lifetimes that slide or without: how far a use lengthened one is kept only roughly.
fn step(slides: u32) -> impl Strategy<Value = Step> {
    let channel = || 0..NAMES.len();
    let kind = || prop_oneof![Just(Kind::Text), Just(Kind::Json)];
    let life = prop_oneof![
        4 => Just(None),
        slides => (1u64..6).prop_map(|s| Some(Lifetime::Sliding(halfway(s)))),
        1 => (1u64..20).prop_map(|s| Some(Lifetime::Until(NOON.after(halfway(s))))),
    ];
    let fork = (channel(), prop::option::of(0u64..6), prop_oneof![3 => Just(0u64), 1 => 0u64..5])
        .prop_map(|(source, after, further)| Fork { source, after, further });
    let producer = (0usize..2, 0u64..2, 0u64..3);
    prop_oneof![
        4 => (channel(), kind(), life, texts(0), prop::bool::weighted(0.1), prop::option::of(fork)).prop_map(
            |(channel, kind, life, texts, close, fork)| Step::Create { channel, kind, life, texts, close, fork }
        ),
        6 => (channel(), texts(1), prop::bool::weighted(0.1), kind(), prop::option::of(producer), prop::option::of(0u8..9))
            .prop_map(|(channel, texts, close, kind, producer, order)| Step::Append {
                channel, texts, close, kind, producer, order
            }),
        2 => (channel(), texts(1), prop::bool::weighted(0.1))
            .prop_map(|(channel, texts, close)| Step::Publish { channel, texts, close }),
        2 => channel().prop_map(|channel| Step::Delete { channel }),
        1 => channel().prop_map(|channel| Step::Purge { channel }),
        2 => (1u64..4).prop_map(|seconds| Step::Wait { seconds }),
        1 => Just(Step::Sweep),
        2 => prop_oneof![Just(Disturbance::Settle), Just(Disturbance::Unload), Just(Disturbance::Restart)]
            .prop_map(Step::Disturb),
    ]
}

/// Sequences of steps; see [`step`].
pub(crate) fn steps(slides: u32) -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(slides), 1..60)
}

/// Does the steps in both, and compares. Returns when it is.
pub(crate) async fn perform(steps: &[Step], world: &mut impl World) -> Timestamp {
    let mut model = Model::default();
    for step in steps {
        run(step, &mut model, world).await;
        compare(&model, world.store()).await;
    }
    NOON.after(Duration::from_secs(model.now))
}

/// The same, then removes what is left.
pub(crate) async fn is_like_the_model(steps: &[Step], world: &mut impl World) {
    let now = perform(steps, world).await;
    // With the last channel everything is gone.
    for channel in NAMES {
        in_time(world.store().delete(now, &name(channel))).await.unwrap();
    }
    assert_eq!(world.counted().await, (0, 0));
}
