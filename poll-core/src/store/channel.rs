//! One channel inside the store: its log, what is minted but not visible yet, and its lock.

use std::sync::Arc;

use super::notes::Notes;
use super::transit::{Pending, Transit};
use crate::batch::{Messages, Tails};
use crate::idempotency::{Fingerprint, IdempotencyKey, Keys, Numbers};
use crate::journal::Loaded;
use crate::log::Log;
use crate::memory::{Charge, Kind, Memory};
use crate::sync::Mutex;
use crate::types::{
    ChannelName, Cursor, Ending, Epoch, Message, Payload, Published, Retention, Seq, Stamp, Stamps,
    Timestamp, mint_id,
};
use smallvec::SmallVec;

pub(crate) struct Channel {
    name: ChannelName,
    /// Held to mint and hand a publish to the journal (which queues it and returns), to apply one, or to take
    /// a view. No other lock, no wake and no await inside.
    pub(super) state: Mutex<State>,
}

/// In this order, so that what a publish or a look touches is of one piece.
#[repr(C)]
pub(super) struct State {
    pub(super) stage: Stage,
    /// The newest number and time given out; ahead of the log while the journal has publishes.
    minted: Seq,
    pub(super) minted_at: Timestamp,
    /// When time was last sealed ahead of the clock; see `seal.rs`.
    pub(super) led: Timestamp,
    /// Up to here the journal has everything, so memory may let go of it. Behind the log only where publishes
    /// are shown before they are kept.
    kept: Seq,
    /// Publishes that were shown and are not kept yet.
    unkept: usize,
    /// Publishes that the journal was handed and has not answered.
    pending: usize,
    /// Publishes that it was ever handed.
    handed: u64,
    /// Those of them that a time must not be sealed behind.
    pub(super) transit: Transit,
    /// When somebody last published or read.
    pub(super) used: Timestamp,
    pub(super) log: Log,
    pub(super) tails: Tails,
    pub(super) keys: Keys,
    /// Few channels have any.
    pub(super) notes: Option<Box<Notes>>,
    /// For the times that evicted messages left behind.
    times: Option<Charge>,
}

/// Whether a publish may be minted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Open,
    /// A publish that ends the channel is on its way, or has arrived.
    Closing,
    /// The journal failed a publish, or does not know what became of it: numbers behind it are void, so none are
    /// given out until all are back.
    Failing,
    /// The channel was taken out of the directory; whoever still holds it looks it up again.
    Forgotten,
}

/// What the bound on memory is a bound of, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// All that is retained: what goes from memory is gone.
    Retained(u64),
    /// The tail of what the journal keeps: what goes from memory can be read again.
    Tail(u64),
}

impl Room {
    pub(super) fn bytes(self) -> u64 {
        match self {
            Self::Retained(bytes) | Self::Tail(bytes) => bytes,
        }
    }

    /// How much the channels themselves may take, beside their logs: messages always have a quarter.
    pub(super) fn for_channels(self) -> u64 {
        (self.bytes() / 4 * 3).max(Self::UNCOUNTED)
    }

    /// Up to here channels do not count, beside their logs: a small bound is one on messages.
    pub(super) const UNCOUNTED: u64 = 1 << 20;
}

impl Channel {
    pub(super) fn new(name: ChannelName) -> Self {
        let epoch = Epoch::new(rand::random::<u64>().max(1));
        Self {
            name,
            state: Mutex::new(State {
                log: Log::new(epoch),
                minted: Seq::ZERO,
                minted_at: Timestamp::ZERO,
                led: Timestamp::ZERO,
                kept: Seq::ZERO,
                unkept: 0,
                pending: 0,
                handed: 0,
                transit: Transit::default(),
                stage: Stage::Open,
                keys: Keys::default(),
                notes: None,
                times: None,
                tails: Tails::default(),
                used: Timestamp::ZERO,
            }),
        }
    }

    /// A channel as the journal kept it, used last at `now`.
    pub(super) fn resumed(name: ChannelName, loaded: Option<Loaded>, now: Timestamp) -> Self {
        let channel = Self::new(name);
        let mut state = channel.state.lock();
        state.used = now;
        if let Some(loaded) = loaded {
            let (newest, newest_at) = loaded.newest;
            state.log = Log::resumed(loaded.epoch, loaded.oldest, loaded.newest);
            loaded.tail.into_iter().rev().for_each(|message| state.log.recall(message));
            state.keys = Keys::not_loaded();
            if let Some((first, last)) = loaded.damaged {
                state.log.note_damaged(first, last);
            }
            (state.minted, state.kept) = (newest, newest);
            // A seal is not kept, so the last millisecond may have been sealed.
            state.minted_at = Timestamp::end_of_millis(newest_at.as_millis());
            if loaded.ended {
                state.log.end_now();
                state.stage = Stage::Closing;
            }
        }
        drop(state);
        channel
    }

    pub(crate) fn name(&self) -> &ChannelName {
        &self.name
    }

    /// What a channel weighs beside its log, in bytes: its record, its places in tables, and its name.
    pub(super) fn weight_of(name: &ChannelName) -> u64 {
        const RECORD: u64 = 640;
        RECORD + name.as_str().len() as u64
    }
}

impl State {
    /// The log as readers may know it: a channel is born with its first message.
    pub(super) fn born(&self) -> Option<&Log> {
        (self.log.newest() > Seq::ZERO || self.log.is_ended()).then_some(&self.log)
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.log.epoch()
    }

    /// Whether forgetting the channel would take nothing from anybody: nothing retained, on its way or known.
    pub(super) fn is_idle(&self) -> bool {
        self.log.is_empty() && self.pending == 0 && self.keys.is_empty()
    }

    /// Whether the journal has all there is to know, so that the channel can be loaded again.
    pub(super) fn is_kept(&self) -> bool {
        self.pending == 0 && self.unkept == 0
    }

    /// Since when nobody has used the channel. A use later than `now` was by a clock that has gone back since: it counts
    /// as one of now, or a clock that leapt ahead would keep the channel in use for as long.
    pub(super) fn unused_since(&mut self, now: Timestamp) -> Timestamp {
        self.used = self.used.min(now);
        self.used
    }

    /// The newest number given out.
    pub(super) fn minted(&self) -> Seq {
        self.minted
    }

    /// Whether the next publish is the channel's first.
    pub(super) fn is_unborn(&self) -> bool {
        self.minted == Seq::ZERO && self.pending == 0 && self.born().is_none()
    }

    /// The journal has everything up to `newest`.
    pub(super) fn kept_to(&mut self, newest: Seq) {
        self.kept = self.kept.max(newest);
    }

    /// A publish is shown and not kept yet: it will be [written](Self::written).
    pub(super) fn shown(&mut self) {
        self.unkept += 1;
    }

    /// What was shown before, up to `newest`, is kept now.
    pub(super) fn written(&mut self, newest: Seq) {
        self.unkept = self.unkept.saturating_sub(1);
        self.kept_to(newest);
    }

    /// A publish is handed to the journal.
    pub(super) fn hand_over(
        &mut self,
        ending: Ending,
        key: Option<(IdempotencyKey, Fingerprint)>,
    ) -> Pending {
        self.pending += 1;
        self.handed += 1;
        if ending == Ending::Close {
            self.stage = Stage::Closing;
        }
        Pending { number: self.handed, ending, key }
    }

    /// Gives each payload its number, time and id, in one order. Times are the clock's, or, where that shows no later
    /// one than was given out, grow by as little as they can: however much is published at once, times run ahead by a
    /// microsecond a message, and the clock catches up.
    pub(super) fn mint(&mut self, now: Timestamp, payloads: SmallVec<[Payload; 1]>) -> Messages {
        let mut messages = Messages::with_capacity(payloads.len());
        for payload in payloads {
            self.minted = self.minted.next();
            self.minted_at = now.max(self.minted_at.next());
            let id = mint_id(self.minted_at, rand::random());
            messages.push(Arc::new(Message { seq: self.minted, id, at: self.minted_at, payload }));
        }
        messages
    }

    /// Whether messages come next in the log, in this life of the channel. If it is not born, `epoch` becomes its life.
    pub(super) fn is_next(&mut self, epoch: Epoch, messages: &[Arc<Message>]) -> bool {
        if self.epoch() != epoch && self.born().is_none() {
            self.log = Log::new(epoch);
        }
        let (mut seq, mut at) = (self.log.newest(), self.log.newest_at());
        self.epoch() == epoch
            && messages.iter().all(|message| {
                let follows = message.seq == seq.next() && message.at > at;
                (seq, at) = (message.seq, message.at);
                follows
            })
    }

    /// Makes a publish visible whose messages come next; gives its answer, and what it weighs. Retention is the caller's
    /// next step.
    pub(super) fn apply(&mut self, publish: &Pending, messages: Messages) -> (Published, u64) {
        let (epoch, after, before) = (self.epoch(), self.log.newest(), self.log.weight());
        let mut stamps = Stamps::with_capacity(messages.len());
        for message in messages {
            let cursor = Cursor { epoch, seq: message.seq };
            stamps.push(Stamp { cursor, id: message.id, at: message.at });
            self.log.append(message);
        }
        // Behind what was given out elsewhere, if it was.
        self.minted = self.minted.max(self.log.newest());
        self.minted_at = self.minted_at.max(self.log.newest_at());
        if publish.ending == Ending::Close {
            self.log.end_now();
        }
        if let Some((key, _)) = &publish.key {
            let count = u32::try_from(stamps.len()).unwrap_or(u32::MAX);
            self.keys.keep(key, Numbers { after, count });
        }
        self.returned(publish);
        (Published { stamps, gone: Vec::new(), repeated: false }, self.log.weight() - before)
    }

    /// Takes a failed publish back.
    pub(super) fn fail(&mut self, publish: &Pending) {
        if let Some((key, _)) = &publish.key {
            self.keys.fail(key);
        }
        self.stage = Stage::Failing;
        self.returned(publish);
    }

    /// A publish is still in the journal's hands, and may be kept or not.
    pub(super) fn doubt(&mut self, publish: &Pending) {
        if let Some((key, _)) = &publish.key {
            self.keys.doubt(key);
        }
        self.stage = Stage::Failing;
    }

    /// Takes back a publish that was handed over just now and that the journal did not take.
    pub(super) fn refuse(&mut self, publish: &Pending) {
        if let Some((key, _)) = &publish.key {
            self.keys.fail(key);
        }
        if publish.ending == Ending::Close {
            self.stage = Stage::Open;
        }
        self.pending -= 1;
    }

    /// Makes room in memory, oldest first, until `enough` is freed or `least` messages are left; gives what was
    /// freed.
    pub(super) fn give(&mut self, room: Room, enough: u64, least: usize, memory: &Memory) -> u64 {
        let mut freed = 0;
        while freed < enough && self.in_memory() > least {
            let given = match room {
                Room::Retained(_) => self.log.evict(),
                Room::Tail(_) => self.log.trim(self.kept),
            };
            let Some(weight) = given else { break };
            freed += weight;
        }
        self.evicted(memory);
        freed
    }

    /// Whether the channel has something to give for room in memory.
    pub(super) fn gives(&self, room: Room) -> bool {
        match room {
            Room::Retained(_) => !self.log.is_empty(),
            Room::Tail(_) => self.in_memory() > 1 && self.kept >= self.log.tail(),
        }
    }

    fn in_memory(&self) -> usize {
        usize::try_from(self.log.newest().next().get() - self.log.tail().get()).unwrap_or(usize::MAX)
    }

    fn returned(&mut self, publish: &Pending) {
        self.pending -= 1;
        self.transit.end(publish.number, self.used);
        if self.pending == 0 && self.stage == Stage::Failing {
            self.minted = self.log.newest();
            self.stage = if self.log.is_ended() { Stage::Closing } else { Stage::Open };
        }
    }

    /// Drops what is over this channel's own bounds and gives its weight.
    pub(super) fn retain(&mut self, now: Timestamp, retention: &Retention, memory: &Memory) -> u64 {
        let mut freed = self.log.expire(retention.cutoff(now));
        while self.log.len() > retention.messages() {
            freed += self.log.evict().unwrap_or_default();
        }
        self.evicted(memory);
        freed
    }

    /// Drops what was taken before `cutoff` and gives its weight.
    pub(super) fn expire(&mut self, cutoff: Timestamp, memory: &Memory) -> u64 {
        let freed = self.log.expire(cutoff);
        self.evicted(memory);
        freed
    }

    /// Nothing before `oldest` is retained any more; see [`Log::raise`].
    pub(super) fn raise(&mut self, oldest: Seq, since: Timestamp, memory: &Memory) -> u64 {
        let freed = self.log.raise(oldest, since);
        self.evicted(memory);
        freed
    }

    /// Follows up on evictions: what was noted of messages goes with them, and the times that they leave behind are
    /// charged. Those are a help and no promise, so where there is no memory for them they are forgotten.
    fn evicted(&mut self, memory: &Memory) {
        if let Some(notes) = &mut self.notes {
            notes.forget_before(self.log.oldest());
            if notes.is_empty() {
                self.notes = None;
            }
        }
        let bytes = self.log.remembered() as u64 * size_of::<Timestamp>() as u64;
        let charged = self.times.as_ref().map_or(0, Charge::bytes);
        if bytes == charged {
            return;
        }
        let times = self.times.get_or_insert_with(|| memory.charge_unbounded(Kind::Times, 0));
        times.shrink(charged.saturating_sub(bytes));
        if bytes > charged && times.grow(bytes - charged).is_err() {
            self.log.forget_evicted();
            self.times = None;
        }
    }
}
