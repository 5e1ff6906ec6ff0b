//! Freeing memory: the channels unused for longest are evicted from first.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::table::Residents;
use crate::channel::{Channel, ChannelPhase, MemoryLimit};
use crate::life::Ledger;
use crate::types::{ChannelName, Timestamp};

/// How many channels are sampled to find one that has not been used for long.
const SAMPLE: usize = 16;

/// From how many channels one publish evicts at most; the next publish continues.
const VICTIMS: usize = 8;

impl Residents {
    /// By how many bytes channels and their logs exceed the limit.
    pub(crate) fn over(&self) -> u64 {
        let channels = self.directory.weight().saturating_sub(MemoryLimit::UNCOUNTED);
        self.weight.load(Ordering::Relaxed).saturating_add(channels).saturating_sub(self.limit.bytes())
    }

    /// Evicts from channels that have not been used for long until all together are within the limit.
    pub(crate) fn make_room(&self, publisher: &ChannelName) {
        for _ in 0..VICTIMS {
            let over = self.over();
            if over == 0 {
                return;
            }
            let mut sample = self.sample();
            // Empty channels are unused the longest, but have nothing to free.
            let can_evict = |channel: &Channel| channel.state.lock().can_evict(self.limit);
            sample.retain(|(_, channel)| channel.name() != publisher && can_evict(channel));
            let Some((_, victim)) = sample.into_iter().min_by_key(|(used, _)| *used) else { continue };
            let mut state = victim.state.lock();
            let freed = state.evict(self.limit, over, 0, &self.memory);
            drop(state);
            self.release_weight(freed);
        }
    }

    /// Some channels picked at random, with when each was last used.
    pub(crate) fn sample(&self) -> Vec<(Timestamp, Arc<Channel>)> {
        let sample = self.directory.sample(self.environment.random(), SAMPLE).into_iter();
        sample.map(|channel| (channel.state.lock().used, channel.clone())).collect()
    }

    /// Drops a channel from memory, if it was not used after `until` and the journal has all of it.
    pub(crate) fn unload(&self, channel: &Arc<Channel>, now: Timestamp, until: Timestamp) -> bool {
        let mut freed = 0;
        let agrees = |channel: &Channel| {
            let mut state = channel.state.lock();
            let has_receipts = state.receipts.is_some();
            let unused = state.unused_since(now) <= until;
            let newest_at = state.log.newest_at();
            let unkept = |ledger: &Ledger| ledger.unkept_use(newest_at).is_some();
            let has_unkept_use = state.ledger.as_deref().is_some_and(unkept);
            let agrees = !has_unkept_use
                && state.is_kept()
                && unused
                && state.phase != ChannelPhase::Failing
                && !has_receipts;
            if agrees {
                state.phase = ChannelPhase::Forgotten;
                freed = state.log.weight();
            }
            agrees
        };
        let gone = self.directory.remove(channel, agrees);
        self.release_weight(freed);
        gone
    }
}
