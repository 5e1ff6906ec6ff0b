//! What a channel drops: messages that are too old, too many, or too much when memory runs low.

use std::time::Duration;

use super::memory_limit::MemoryLimit;
use super::state::ChannelState;
use crate::life::Bounds;
use crate::memory::{Charge, Kind, Memory};
use crate::types::{Retention, Seq, Timestamp};

impl ChannelState {
    /// Frees memory, oldest message first, until `enough` bytes are freed or `least` messages are left. Returns the
    /// bytes freed.
    pub(crate) fn evict(&mut self, limit: MemoryLimit, enough: u64, least: usize, memory: &Memory) -> u64 {
        let mut freed = 0;
        if matches!(limit, MemoryLimit::Retained(_)) && self.keeps_everything() {
            return 0;
        }
        while freed < enough && self.in_memory() > least {
            let weight = match limit {
                MemoryLimit::Retained(_) => self.log.evict(),
                MemoryLimit::Tail(_) => self.log.trim(self.kept),
            };
            let Some(weight) = weight else { break };
            freed += weight;
        }
        self.evicted(memory);
        freed
    }

    /// Whether the channel has anything to free.
    pub(crate) fn can_evict(&self, limit: MemoryLimit) -> bool {
        match limit {
            MemoryLimit::Retained(_) => !self.log.is_empty() && !self.keeps_everything(),
            MemoryLimit::Tail(_) => self.in_memory() > 1 && self.kept >= self.log.tail(),
        }
    }

    fn in_memory(&self) -> usize {
        usize::try_from(self.log.newest().next().get() - self.log.tail().get()).unwrap_or(usize::MAX)
    }

    /// Drops what exceeds this channel's own bounds. Returns the bytes freed in memory.
    pub(crate) fn retain(&mut self, now: Timestamp, retention: &Retention, memory: &Memory) -> u64 {
        let mut freed = self.log.expire(self.cutoff(now, retention));
        let bounds = self.bounds();
        let most = bounds.map_or_else(|| retention.messages(), |bounds| bounds.messages(retention));
        while self.log.len() > most {
            freed += self.log.evict().unwrap_or_default();
        }
        self.evicted(memory);
        freed
    }

    /// Drops the oldest messages until those in memory are within the channel's own bound in bytes. Returns the bytes
    /// freed. For a log that is all in memory.
    pub(crate) fn retain_bytes(&mut self, memory: &Memory) -> u64 {
        let Some(most) = self.bounds().map(|bounds| bounds.bytes()) else { return 0 };
        let over = self.log.weight().saturating_sub(most);
        let mut freed = 0;
        while freed < over {
            freed += self.log.evict().unwrap_or(over);
        }
        self.evicted(memory);
        freed
    }

    /// Drops everything. Returns the bytes freed in memory.
    pub(crate) fn purge(&mut self, memory: &Memory) -> u64 {
        self.raise(self.log.newest().next(), self.log.newest_at(), memory)
    }

    /// What was taken before this is too old.
    pub(crate) fn cutoff(&self, now: Timestamp, retention: &Retention) -> Timestamp {
        self.bounds().map_or_else(|| retention.cutoff(now), |bounds| bounds.cutoff(now, retention))
    }

    /// How long a message is retained; `None` where age is no bound.
    pub(crate) fn age(&self, retention: &Retention) -> Option<Duration> {
        self.bounds().map_or_else(|| retention.age(), |bounds| bounds.age(retention))
    }

    /// Whether nothing of the channel is ever evicted.
    pub(crate) fn keeps_everything(&self) -> bool {
        self.bounds().is_some_and(|bounds| bounds.keep_everything())
    }

    /// The channel's own bounds, if it has a life.
    pub(super) fn bounds(&self) -> Option<Bounds> {
        self.ledger.as_ref().map(|ledger| ledger.life().bounds)
    }

    /// Drops what was taken before `cutoff`. Returns the bytes freed in memory.
    pub(crate) fn expire(&mut self, cutoff: Timestamp, memory: &Memory) -> u64 {
        let freed = self.log.expire(cutoff);
        self.evicted(memory);
        freed
    }

    /// Nothing before `oldest` is retained any more; see [`Log::raise`](super::log::Log::raise).
    pub(crate) fn raise(&mut self, oldest: Seq, since: Timestamp, memory: &Memory) -> u64 {
        let freed = self.log.raise(oldest, since);
        self.evicted(memory);
        freed
    }

    /// Follows up on evictions: receipts go with their messages, and the times that evicted messages leave behind are
    /// charged. Those times only make counts more exact, so they are forgotten where there is no memory for them.
    fn evicted(&mut self, memory: &Memory) {
        if let Some(receipts) = &mut self.receipts {
            receipts.forget_before(self.log.oldest());
            if receipts.is_empty() {
                self.receipts = None;
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
