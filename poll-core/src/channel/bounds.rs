//! What a channel drops: messages that are too old, too many, or in the way when memory runs low.

use super::memory_limit::MemoryLimit;
use super::state::ChannelState;
use crate::memory::{Charge, Kind, Memory};
use crate::types::{Retention, Seq, Timestamp};

impl ChannelState {
    /// Frees memory, oldest message first, until `enough` bytes are freed or `least` messages are left. Returns the
    /// bytes freed.
    pub(crate) fn evict(&mut self, limit: MemoryLimit, enough: u64, least: usize, memory: &Memory) -> u64 {
        let mut freed = 0;
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
            MemoryLimit::Retained(_) => !self.log.is_empty(),
            MemoryLimit::Tail(_) => self.in_memory() > 1 && self.kept >= self.log.tail(),
        }
    }

    fn in_memory(&self) -> usize {
        usize::try_from(self.log.newest().next().get() - self.log.tail().get()).unwrap_or(usize::MAX)
    }

    /// Drops what exceeds this channel's own bounds. Returns the bytes freed in memory.
    pub(crate) fn retain(&mut self, now: Timestamp, retention: &Retention, memory: &Memory) -> u64 {
        let mut freed = self.log.expire(retention.cutoff(now));
        while self.log.len() > retention.messages() {
            freed += self.log.evict().unwrap_or_default();
        }
        self.evicted(memory);
        freed
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
