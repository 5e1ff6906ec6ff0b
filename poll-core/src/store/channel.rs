//! One channel inside the store: its log, what is minted but not visible yet, and its lock.

use std::sync::Arc;

use uuid::Uuid;

use super::append::{Append, Ending, Published, Stamp};
use crate::batch::Tails;
use crate::channel::ChannelName;
use crate::cursor::{Cursor, Epoch, Seq};
use crate::idempotency::Keys;
use crate::log::Log;
use crate::message::{Message, Payload, mint_id};
use crate::retention::Retention;
use crate::sync::Mutex;
use crate::time::Timestamp;

pub(crate) struct Channel {
    name: ChannelName,
    /// Held to mint and hand a publish to the journal (which queues it and returns), to apply one, or to take
    /// a view. No other lock, no wake and no await inside.
    pub(super) state: Mutex<State>,
}

pub(super) struct State {
    pub(super) log: Log,
    /// The newest number and time given out; ahead of the log while the journal has publishes.
    minted: Seq,
    minted_at: Timestamp,
    /// Publishes that the journal has taken and not answered.
    pending: usize,
    pub(super) stage: Stage,
    pub(super) keys: Keys,
    pub(super) tails: Tails,
    /// When somebody last published or read.
    pub(super) used: Timestamp,
}

/// Whether a publish may be minted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Open,
    /// A publish that ends the channel is on its way, or has arrived.
    Closing,
    /// The journal failed a publish: numbers behind it are void, so none are given out until all are back.
    Failing,
    /// The channel was taken out of the directory; whoever still holds it looks it up again.
    Forgotten,
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
                pending: 0,
                stage: Stage::Open,
                keys: Keys::default(),
                tails: Tails::default(),
                used: Timestamp::ZERO,
            }),
        }
    }

    pub(crate) fn name(&self) -> &ChannelName {
        &self.name
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

    /// Gives each payload its number, time and id, in one order.
    pub(super) fn mint(
        &mut self,
        now: Timestamp,
        payloads: Vec<Payload>,
        ending: Ending,
    ) -> Vec<Arc<Message>> {
        self.pending += 1;
        if ending == Ending::Close {
            self.stage = Stage::Closing;
        }
        let mut one = |payload| {
            self.minted = self.minted.next();
            self.minted_at = now.max(Timestamp::from_micros(self.minted_at.as_micros() + 1));
            let id: Uuid = mint_id(self.minted_at, rand::random());
            Arc::new(Message { seq: self.minted, id, at: self.minted_at, payload })
        };
        payloads.into_iter().map(&mut one).collect()
    }

    /// Makes a kept publish visible and gives its answer. Retention is the caller's next step.
    pub(super) fn apply(&mut self, append: &Append) -> Published {
        let epoch = self.epoch();
        let stamp = |message: &Arc<Message>| Stamp {
            cursor: Cursor { epoch, seq: message.seq },
            id: message.id,
            at: message.at,
        };
        let stamps: Arc<[Stamp]> = append.messages().iter().map(stamp).collect();
        for message in append.messages() {
            self.log.append(message.clone());
        }
        if append.ending() == Ending::Close {
            self.log.end_now();
        }
        if let Some((key, _)) = append.key() {
            self.keys.keep(key, stamps.clone());
        }
        self.returned();
        Published { stamps, repeated: false }
    }

    /// Takes a failed publish back.
    pub(super) fn fail(&mut self, append: &Append) {
        if let Some((key, _)) = append.key() {
            self.keys.fail(key);
        }
        self.stage = Stage::Failing;
        self.returned();
    }

    fn returned(&mut self) {
        self.pending -= 1;
        if self.pending == 0 && self.stage == Stage::Failing {
            self.minted = self.log.newest();
            self.stage = if self.log.is_ended() { Stage::Closing } else { Stage::Open };
        }
    }

    /// Drops what is over this channel's own bounds and gives its weight.
    pub(super) fn retain(&mut self, now: Timestamp, retention: &Retention) -> u64 {
        let mut freed = self.expire(now, retention);
        while self.log.len() > retention.messages() {
            freed += self.log.evict().unwrap_or_default();
        }
        freed
    }

    /// Drops what is too old and gives its weight.
    pub(super) fn expire(&mut self, now: Timestamp, retention: &Retention) -> u64 {
        retention.age().map_or(0, |age| self.log.expire(now.before(age)))
    }
}
