//! What goes from a channel: by age, by number, and for room in memory.

use super::memory_limit::MemoryLimit;
use super::state::ChannelState;
use crate::memory::{Charge, Kind, Memory};
use crate::types::{Retention, Seq, Timestamp};

impl ChannelState {
    /// Makes room in memory, oldest first, until `enough` is freed or `least` messages are left; gives what was
    /// freed.
    pub(crate) fn give(&mut self, limit: MemoryLimit, enough: u64, least: usize, memory: &Memory) -> u64 {
        let mut freed = 0;
        while freed < enough && self.in_memory() > least {
            let given = match limit {
                MemoryLimit::Retained(_) => self.log.evict(),
                MemoryLimit::Tail(_) => self.log.trim(self.kept),
            };
            let Some(weight) = given else { break };
            freed += weight;
        }
        self.evicted(memory);
        freed
    }

    /// Whether the channel has something to give for room in memory.
    pub(crate) fn gives(&self, limit: MemoryLimit) -> bool {
        match limit {
            MemoryLimit::Retained(_) => !self.log.is_empty(),
            MemoryLimit::Tail(_) => self.in_memory() > 1 && self.kept >= self.log.tail(),
        }
    }

    fn in_memory(&self) -> usize {
        usize::try_from(self.log.newest().next().get() - self.log.tail().get()).unwrap_or(usize::MAX)
    }

    /// Drops what is over this channel's own bounds and gives its weight.
    pub(crate) fn retain(&mut self, now: Timestamp, retention: &Retention, memory: &Memory) -> u64 {
        let mut freed = self.log.expire(retention.cutoff(now));
        while self.log.len() > retention.messages() {
            freed += self.log.evict().unwrap_or_default();
        }
        self.evicted(memory);
        freed
    }

    /// Drops what was taken before `cutoff` and gives its weight.
    pub(crate) fn expire(&mut self, cutoff: Timestamp, memory: &Memory) -> u64 {
        let freed = self.log.expire(cutoff);
        self.evicted(memory);
        freed
    }

    /// Nothing before `oldest` is retained any more; see [`Log::raise`].
    pub(crate) fn raise(&mut self, oldest: Seq, since: Timestamp, memory: &Memory) -> u64 {
        let freed = self.log.raise(oldest, since);
        self.evicted(memory);
        freed
    }

    /// Follows up on evictions: what was noted of messages goes with them, and the times that they leave behind are
    /// charged. Those are a help and no promise, so where there is no memory for them they are forgotten.
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
