//! What a journal may tell the store above it.

use std::sync::{Arc, Weak};

use super::Inner;
use super::channel::{Channel, Stage};
use crate::types::{ChannelName, Epoch, Retention, Seq, Timestamp};

/// The store, as its journal sees it. Never holds it up: a store that is gone is told nothing.
#[derive(Clone)]
pub struct Host {
    store: Weak<Inner>,
    retention: Retention,
}

impl Host {
    pub(super) fn of(store: &Arc<Inner>) -> Self {
        Self { store: Arc::downgrade(store), retention: store.retention }
    }

    /// The bounds in force.
    #[must_use]
    pub fn retention(&self) -> &Retention {
        &self.retention
    }

    /// The journal evicted everything of the channel before `oldest`.
    pub fn evicted(&self, channel: &ChannelName, epoch: Epoch, oldest: Seq) {
        let Some(store) = self.store.upgrade() else { return };
        let Some(channel) = store.directory.get(channel) else { return };
        let mut state = channel.state.lock();
        if state.epoch() == epoch {
            let freed = state.raise(oldest, Timestamp::ZERO, &store.memory);
            drop(state);
            store.lighten(freed);
        }
    }

    /// Whether the channel may be forgotten: if it is in memory it is taken out, unless it was used after
    /// `unused` or something of it is on its way.
    #[must_use]
    pub fn agrees_to_forget(&self, channel: &ChannelName, now: Timestamp, unused: Timestamp) -> bool {
        let Some(store) = self.store.upgrade() else { return false };
        let Some(channel) = store.directory.get(channel) else { return true };
        let mut freed = 0;
        let agrees = |channel: &Channel| {
            let mut state = channel.state.lock();
            state.keys.forget(now, &self.retention);
            freed = state.expire(self.retention.cutoff(now), &store.memory);
            let agrees = state.is_idle() && state.is_kept() && state.unused_since(now) < unused;
            if agrees {
                state.stage = Stage::Forgotten;
            }
            agrees
        };
        let gone = store.directory.remove(&channel, agrees);
        store.lighten(freed);
        gone
    }
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").field("retention", &self.retention).finish_non_exhaustive()
    }
}
