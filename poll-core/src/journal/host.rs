//! What a journal may tell the store above it.

use std::sync::{Arc, Weak};

use crate::channel::{Channel, ChannelPhase};
use crate::residents::Residents;
use crate::types::{ChannelName, Epoch, Retention, Seq, Timestamp};

/// The store, as its journal sees it. Does not keep the store alive: calls have no effect once it is gone.
#[derive(Clone)]
pub struct Host {
    residents: Weak<Residents>,
    retention: Retention,
}

impl Host {
    pub(crate) fn of(residents: &Arc<Residents>) -> Self {
        Self { residents: Arc::downgrade(residents), retention: residents.retention }
    }

    /// The bounds in force.
    #[must_use]
    pub fn retention(&self) -> &Retention {
        &self.retention
    }

    /// The journal evicted everything of the channel before `oldest`.
    pub fn evicted(&self, channel: &ChannelName, epoch: Epoch, oldest: Seq) {
        if let Some(residents) = self.residents.upgrade() {
            residents.raise(channel, epoch, (oldest, Timestamp::ZERO));
        }
    }

    /// Whether the channel may be forgotten. If it is in memory it is taken out, unless it was used after `unused` or
    /// has publishes pending.
    #[must_use]
    pub fn agrees_to_forget(&self, channel: &ChannelName, now: Timestamp, unused: Timestamp) -> bool {
        let Some(residents) = self.residents.upgrade() else { return false };
        let Some(channel) = residents.get(channel) else { return true };
        let mut freed = 0;
        let agrees = |channel: &Channel| {
            let mut state = channel.state.lock();
            state.keys.forget(now, &self.retention);
            freed = state.expire(self.retention.cutoff(now), &residents.memory);
            let agrees = state.is_idle() && state.is_kept() && state.unused_since(now) < unused;
            if agrees {
                state.phase = ChannelPhase::Forgotten;
            }
            agrees
        };
        let gone = residents.directory.remove(&channel, agrees);
        residents.release_weight(freed);
        gone
    }
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").field("retention", &self.retention).finish_non_exhaustive()
    }
}
