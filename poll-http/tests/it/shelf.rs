//! A journal for the service's tests: every channel has the same few messages, of which some are damaged, and none is
//! in memory before it is asked for. It answers when the test lets it. A channel whose name says so is `broken`, or gives
//! no messages because it is `torn`.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use poll_core::journal::{
    Archive, Damage, Health, KeptKey, Landmark, Loaded, Located, Mint, Piece, Reply, SoleArchive, Stretch,
    Tail, Taken,
};
use poll_core::life::{Producer, ProducerId};
use poll_core::{
    Append, ChannelName, Epoch, Journal, JournalError, Message, Payload, Retention, Seq, Store, Timestamp,
};
use tokio::sync::watch;

use crate::world::BEGIN;

pub(crate) const EPOCH: Epoch = Epoch::new(0xE);

/// What a message holds: a step of a job, which every door shows.
pub(crate) fn content(number: u64) -> serde_json::Value {
    serde_json::json!({"n": number, "step": number, "total": 9})
}

type Answer = Box<dyn FnOnce() + Send>;

#[derive(Default)]
pub(crate) struct Shelf {
    messages: Vec<Arc<Message>>,
    damaged: BTreeSet<u64>,
    /// What waits to be answered, while nothing is.
    held: Mutex<Option<Vec<Answer>>>,
    pub(crate) health: watch::Sender<Health>,
}

impl Shelf {
    /// A store with so many messages in each channel, a second apart, the last just before the test begins.
    pub(crate) fn store(count: u64, damaged: &[u64]) -> (Arc<Self>, Store) {
        let before_begin: Vec<u64> = (1..=count).rev().map(|seconds| seconds * 1_000).collect();
        Self::store_of(&before_begin, damaged)
    }

    /// A store with a message in each channel at each of these times, in milliseconds before the test begins.
    pub(crate) fn store_of(before_begin: &[u64], damaged: &[u64]) -> (Arc<Self>, Store) {
        let message = |(millis, number): (&u64, u64)| {
            // Within a millisecond, as close as times can be.
            let earlier = before_begin.iter().zip(1..number).filter(|(at, _)| *at == millis).count();
            let at = Timestamp::from_micros((BEGIN - millis) * 1_000 + earlier as u64);
            let payload = Payload::json(content(number).to_string().as_bytes()).unwrap();
            let id = uuid::Uuid::from_u64_pair(at.as_millis() << 16 | 0x7000, 0b10 << 62 | number);
            Arc::new(Message { seq: Seq::new(number), id, at, payload })
        };
        let messages = before_begin.iter().zip(1..).map(message).collect();
        let damaged = damaged.iter().copied().collect();
        let shelf = Arc::new(Self { messages, damaged, ..Self::default() });
        (shelf.clone(), Store::new(shelf, Retention { age: Duration::ZERO, ..Retention::default() }))
    }

    pub(crate) fn id(&self, number: u64) -> uuid::Uuid {
        self.messages[usize::try_from(number).unwrap() - 1].id
    }

    pub(crate) fn at(&self, number: u64) -> Timestamp {
        self.messages[usize::try_from(number).unwrap() - 1].at
    }

    /// Answers nothing from now on.
    pub(crate) fn hold(&self) {
        self.held.lock().unwrap().get_or_insert_default();
    }

    /// How many questions wait for their answer.
    pub(crate) fn asked(&self) -> usize {
        self.held.lock().unwrap().as_ref().map_or(0, Vec::len)
    }

    /// Answers all that was asked, and whatever is from now on.
    pub(crate) fn let_go(&self) {
        let held = self.held.lock().unwrap().take();
        held.into_iter().flatten().for_each(|answer| answer());
    }

    fn answer<T: Send + 'static>(&self, reply: Reply<T>, answer: Result<T, JournalError>) {
        let mut held = self.held.lock().unwrap();
        if let Some(held) = &mut *held {
            return held.push(Box::new(move || reply(answer)));
        }
        drop(held);
        reply(answer);
    }

    fn whole(&self, seq: u64) -> Option<&Arc<Message>> {
        self.messages
            .get(usize::try_from(seq).unwrap().checked_sub(1)?)
            .filter(|_| !self.damaged.contains(&seq))
    }

    /// Number and time of the oldest that is whole.
    fn oldest(&self) -> (Seq, Timestamp) {
        let oldest = (1..).find_map(|seq| self.whole(seq)).unwrap();
        (oldest.seq, oldest.at)
    }
}

impl Journal for Shelf {
    fn append(&self, append: Append, mint: &mut Mint<'_>) -> Taken {
        Taken::Kept(mint.mint(append))
    }

    fn archive(self: Arc<Self>) -> Option<Arc<dyn SoleArchive>> {
        Some(self)
    }
}

impl Archive for Shelf {
    /// As little of the tail as may be.
    fn load(&self, channel: &ChannelName, _: Timestamp, reply: Reply<Option<Loaded>>) {
        if channel.as_str().contains("broken") {
            return self.answer(reply, Err(JournalError::Damaged("its row".to_owned())));
        }
        let newest = self.messages.len() as u64;
        let tail: Vec<_> = self.whole(newest).cloned().into_iter().collect();
        let damaged = tail.is_empty().then(|| (Seq::new(newest), Seq::new(newest)));
        let (oldest, newest, ended) = (self.oldest(), (Seq::new(newest), self.at(newest)), false);
        self.answer(
            reply,
            Ok(Some(Loaded { epoch: EPOCH, oldest, newest, ended, tail, damaged, life: None })),
        );
    }

    fn read(&self, stretch: Stretch, reply: Reply<Option<Piece>>) {
        if stretch.channel.as_str().contains("torn") {
            return self.answer(reply, Err(JournalError::Damaged("what leads to it".to_owned())));
        }
        let first = stretch.after.get() + 1;
        let last = self.messages.len() as u64;
        let given = (first..=last).map_while(|seq| self.whole(seq).cloned()).take(stretch.limit.messages);
        let damaged = (first..=last).take_while(|seq| self.whole(*seq).is_none()).last().map(Seq::new);
        let piece = Piece { oldest: self.oldest(), messages: given.collect(), damaged };
        self.answer(reply, Ok(Some(piece)));
    }

    fn locate(&self, _: &ChannelName, _: Epoch, landmark: Landmark, reply: Reply<Option<Located>>) {
        let seen = |message: &&Arc<Message>| match landmark {
            Landmark::Time(time) => message.at <= time,
            Landmark::Id(id) => message.id <= id,
        };
        let whole = || (1..=self.messages.len() as u64).filter_map(|seq| self.whole(seq));
        let before = whole().filter(seen).last().map(|message| message.seq);
        let after = whole().find(|message| !seen(message)).map(|message| (message.seq, message.at));
        let end = Seq::new(self.messages.len() as u64 + 1);
        self.answer(reply, Ok(Some(Located { before, after, end })));
    }

    fn sweep(&self, _: Timestamp) {}

    fn channels(&self) -> u64 {
        1
    }

    fn tail(&self) -> Tail {
        Tail::default()
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    fn damage(&self) -> watch::Receiver<Damage> {
        watch::Sender::new(Damage::default()).subscribe()
    }

    fn close(&self, reply: Reply<()>) {
        reply(Ok(()));
    }
}

impl SoleArchive for Shelf {
    fn keys(&self, _: &ChannelName, _: Timestamp, reply: Reply<Vec<KeptKey>>) {
        self.answer(reply, Ok(Vec::new()));
    }

    fn has_forks(&self, _: &ChannelName, reply: Reply<bool>) {
        self.answer(reply, Ok(false));
    }

    fn lapsed(&self, _: Timestamp, reply: Reply<Vec<ChannelName>>) {
        self.answer(reply, Ok(Vec::new()));
    }

    fn producers(&self, _: &ChannelName, reply: Reply<Vec<(ProducerId, Producer)>>) {
        self.answer(reply, Ok(Vec::new()));
    }

    fn admit(&self, _: u64) -> bool {
        true
    }

    fn dismiss(&self) {}

    fn make_room(&self, _: Timestamp, reply: Reply<bool>) {
        self.answer(reply, Ok(false));
    }
}
