//! The store against a plain model, under random interleavings of publishing, reading, waiting and forgetting.
//!
//! The model keeps every message for ever and counts how many are gone. So after each step it is known exactly what a
//! reader is given, what it is told it missed, and who is woken by what.

use std::sync::Arc;
use std::time::Duration;

use poll_core::{
    Continuity, Cursor, Epoch, Limit, Pinned, Position, Publish, PublishError, Retention, Seq, Store,
    Timestamp, Wait,
};
use proptest::prelude::*;

use crate::fixture::*;

const CHANNELS: [&str; 3] = ["a", "b", "c"];
const READERS: usize = 4;
const RETENTION: Retention = Retention {
    messages: 5,
    age: Duration::from_secs(10),
    bytes: 0,
    channels: 0,
    idempotency: Duration::from_secs(1),
    keys: 1,
};

#[derive(Debug, Clone)]
enum Step {
    Publish(usize, usize),
    Close(usize),
    Pass(u64),
    Sweep,
    Stand(usize, usize, Start),
    Read(usize, usize),
    Wait(usize),
    Leave(usize),
    RingAll,
}

#[derive(Debug, Clone, Copy)]
enum Start {
    Oldest,
    Now,
    Number(u64),
    Cursor(u64),
    Stranger(u64),
    /// Seconds after noon.
    Time(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let start = prop_oneof![
        Just(Start::Oldest),
        Just(Start::Now),
        (0u64..12).prop_map(Start::Number),
        (0u64..12).prop_map(Start::Cursor),
        (0u64..12).prop_map(Start::Stranger),
        (0u64..60).prop_map(Start::Time),
    ];
    let step = prop_oneof![
        8 => (0..CHANNELS.len(), 1usize..8).prop_map(|(channel, number)| Step::Publish(channel, number)),
        1 => (0..CHANNELS.len()).prop_map(Step::Close),
        4 => (0u64..6).prop_map(Step::Pass),
        1 => Just(Step::Sweep),
        4 => (0..READERS, 0..CHANNELS.len(), start).prop_map(|(reader, channel, start)| {
            Step::Stand(reader, channel, start)
        }),
        8 => (0..READERS, 1usize..5).prop_map(|(reader, limit)| Step::Read(reader, limit)),
        6 => (0..READERS).prop_map(Step::Wait),
        2 => (0..READERS).prop_map(Step::Leave),
        1 => Just(Step::RingAll),
    ];
    prop::collection::vec(step, 0..60)
}

/// One channel as the model knows it.
#[derive(Default)]
struct Channel {
    epoch: Option<Epoch>,
    /// When each message was taken.
    all: Vec<Timestamp>,
    evicted: u64,
    ended: bool,
}

impl Channel {
    fn newest(&self) -> u64 {
        self.all.len() as u64
    }

    fn is_born(&self) -> bool {
        self.ended || !self.all.is_empty()
    }

    fn expire(&mut self, now: Timestamp) {
        let old = self.all.iter().filter(|&&at| at < now.before(RETENTION.age)).count() as u64;
        self.evicted = self.evicted.max(old);
    }
}

/// Where a reader of the model stands.
#[derive(Clone, Copy)]
enum Place {
    Number(u64),
    Time(Timestamp),
}

struct Reader {
    channel: usize,
    place: Place,
    continuity: Continuity,
    pinned: Pinned,
    wait: Option<Wait>,
    /// Whether the wait is still to be woken.
    registered: bool,
    count: Arc<Count>,
    wakes: usize,
}

impl Reader {
    fn position(&self, channel: &Channel) -> u64 {
        match self.place {
            Place::Number(number) => number,
            Place::Time(time) => channel.all.iter().filter(|&&at| at <= time).count() as u64,
        }
    }

    fn leave(&mut self) {
        self.wait = None;
        self.registered = false;
    }

    fn notified(&mut self) {
        self.wakes += usize::from(std::mem::take(&mut self.registered));
    }
}

struct World {
    store: Store,
    now: Timestamp,
    channels: Vec<Channel>,
    readers: Vec<Reader>,
}

impl World {
    fn new() -> Self {
        let reader = |_| Reader {
            channel: 0,
            place: Place::Number(0),
            continuity: Continuity::Kept,
            pinned: Pinned::after(Cursor::ZERO),
            wait: None,
            registered: false,
            count: Count::new(),
            wakes: 0,
        };
        Self {
            store: Store::in_memory(RETENTION),
            now: NOON,
            channels: CHANNELS.iter().map(|_| Channel::default()).collect(),
            readers: (0..READERS).map(reader).collect(),
        }
    }

    fn take(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match *step {
            Step::Publish(channel, number) => self.publish(channel, number),
            Step::Close(channel) => {
                prop_assert_eq!(ready(self.store.close(self.now, &name(CHANNELS[channel]))), Ok(()));
                if !std::mem::replace(&mut self.channels[channel].ended, true) {
                    self.channels[channel].expire(self.now);
                    self.notify(channel);
                }
                Ok(())
            }
            Step::Pass(seconds) => {
                self.now = self.now.after(Duration::from_secs(seconds));
                Ok(())
            }
            Step::Sweep => {
                (0..200).for_each(|_| self.store.sweep(self.now, 10));
                self.channels.iter_mut().for_each(|channel| channel.expire(self.now));
                Ok(())
            }
            Step::Stand(reader, channel, start) => {
                self.stand(reader, channel, start);
                Ok(())
            }
            Step::Read(reader, limit) => self.read(reader, limit),
            Step::Wait(reader) => self.wait(reader),
            Step::Leave(reader) => {
                self.readers[reader].leave();
                Ok(())
            }
            Step::RingAll => {
                self.store.notifier().notify_all();
                self.readers.iter_mut().for_each(Reader::notified);
                Ok(())
            }
        }
    }

    fn notify(&mut self, channel: usize) {
        self.readers.iter_mut().filter(|reader| reader.channel == channel).for_each(Reader::notified);
    }

    fn publish(&mut self, index: usize, number: usize) -> Result<(), TestCaseError> {
        let published = send(&self.store, self.now, CHANNELS[index], Publish::many(vec![text(1); number]));
        let channel = &mut self.channels[index];
        if channel.ended {
            prop_assert_eq!(published, Err(PublishError::Closed));
            return Ok(());
        }
        for stamp in published.unwrap().stamps.iter() {
            let earliest =
                channel.all.last().map_or(Timestamp::ZERO, |at| at.after(Duration::from_micros(1)));
            channel.all.push(self.now.max(earliest));
            prop_assert_eq!(stamp.at, channel.all[channel.all.len() - 1]);
            prop_assert_eq!(
                stamp.cursor,
                cursor(*channel.epoch.get_or_insert(stamp.cursor.epoch), channel.newest())
            );
        }
        channel.expire(self.now);
        channel.evicted = channel.evicted.max(channel.newest().saturating_sub(RETENTION.messages));
        self.notify(index);
        Ok(())
    }

    fn stand(&mut self, reader: usize, index: usize, start: Start) {
        let channel = &self.channels[index];
        let newest = channel.newest();
        let within = |number| {
            let found = number <= newest;
            (
                Place::Number(if found { number } else { 0 }),
                if found { Continuity::Kept } else { Continuity::Reset },
            )
        };
        let kept = |place| (place, Continuity::Kept);
        let (position, (place, continuity)) = match (start, channel.epoch) {
            (Start::Oldest, _) => (Position::Start, kept(Place::Number(0))),
            (Start::Now, _) => (Position::End, kept(Place::Number(newest))),
            (Start::Cursor(number), Some(epoch)) => (Position::After(cursor(epoch, number)), within(number)),
            (Start::Number(number) | Start::Cursor(number), _) => {
                (Position::AfterSeq(Seq::new(number)), within(number))
            }
            (Start::Stranger(number), epoch) => {
                let other = Epoch::new(epoch.map_or(1, |epoch| epoch.get() ^ 2).max(1));
                (Position::After(cursor(other, number)), (Place::Number(0), Continuity::Reset))
            }
            (Start::Time(seconds), _) => {
                (Position::AfterTime(second(seconds)), kept(Place::Time(second(seconds))))
            }
        };
        let pinned = pin_at(&self.store, self.now, CHANNELS[index], position);
        let reader = &mut self.readers[reader];
        reader.leave();
        (reader.channel, reader.place, reader.continuity, reader.pinned) = (index, place, continuity, pinned);
    }

    fn read(&mut self, reader: usize, limit: usize) -> Result<(), TestCaseError> {
        let reader = &mut self.readers[reader];
        let channel = &mut self.channels[reader.channel];
        channel.expire(self.now);
        let name = name(CHANNELS[reader.channel]);
        let view = ready(self.store.read(self.now, &name, &reader.pinned, Limit::messages(limit))).unwrap();
        let position = reader.position(channel);
        let from = position.max(channel.evicted);
        let given: Vec<u64> = (from + 1..=channel.newest()).take(limit).collect();
        let next = given.last().copied().unwrap_or(from);
        prop_assert_eq!(&numbers(&view), &given);
        prop_assert_eq!(view.read_state.continuity, reader.continuity);
        let missed = (reader.continuity == Continuity::Kept).then_some(from - position);
        prop_assert_eq!(view.read_state.missed(), missed);
        prop_assert_eq!(view.next.seq.get(), next);
        prop_assert_eq!(view.next.epoch == Epoch::ZERO, !channel.is_born());
        prop_assert_eq!(view.is_closed(), channel.ended && next == channel.newest());
        prop_assert_eq!(ready(self.store.read_state(self.now, &name, &reader.pinned)), Ok(view.read_state));
        if view.batch.is_some() {
            reader.leave();
            reader.pinned = Pinned::after(view.next);
            (reader.place, reader.continuity) = (Place::Number(next), Continuity::Kept);
        }
        Ok(())
    }

    fn wait(&mut self, reader: usize) -> Result<(), TestCaseError> {
        let reader = &mut self.readers[reader];
        let channel = &self.channels[reader.channel];
        if let Some(mut wait) = reader.wait.take() {
            // It keeps waiting exactly until it is notified.
            prop_assert_eq!(poll(&mut wait, &reader.count).is_pending(), reader.registered);
            reader.wait = reader.registered.then_some(wait);
            return Ok(());
        }
        let mut wait = self.store.wait(&name(CHANNELS[reader.channel]), &reader.pinned, &self.store.lane());
        let retained = channel.evicted < channel.newest();
        let news = channel.ended || (retained && reader.position(channel) < channel.newest());
        prop_assert_eq!(poll(&mut wait, &reader.count).is_ready(), news);
        reader.registered = !news;
        reader.wait = reader.registered.then_some(wait);
        Ok(())
    }

    fn agrees(&self) -> Result<(), TestCaseError> {
        let registered = self.readers.iter().filter(|reader| reader.registered).count();
        prop_assert_eq!(self.store.notifier().waiting(), registered);
        for reader in &self.readers {
            prop_assert_eq!(reader.count.get(), reader.wakes);
        }
        let retained: u64 = self.channels.iter().map(|channel| channel.newest() - channel.evicted).sum();
        prop_assert_eq!(self.store.weight(), retained * text_weight());
        prop_assert_eq!(self.store.published(), self.channels.iter().map(Channel::newest).sum::<u64>());
        Ok(())
    }
}

fn text_weight() -> u64 {
    poll_core::Message::OVERHEAD_BYTES + 1
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]
    #[test]
    fn a_store_is_its_channels_in_a_plain_model(steps in steps()) {
        let mut world = World::new();
        for step in &steps {
            world.take(step)?;
            world.agrees()?;
        }
    }
}
