//! Showing a publish: one place, wherever it was minted and whenever it was kept.

use std::ops::DerefMut;
use std::sync::atomic::Ordering;

use super::table::Residents;
use crate::channel::{Channel, ChannelState, Messages, Pending};
use crate::types::{Epoch, Published};

impl Residents {
    /// Shows a publish that the journal kept after it was queued; `None` if it does not come next.
    pub(crate) fn show_kept(
        &self,
        channel: &Channel,
        publish: &Pending,
        epoch: Epoch,
        messages: Messages,
    ) -> Option<Published> {
        let mut state = channel.state.lock();
        if !state.is_next(epoch, &messages) {
            return None;
        }
        if let Some(newest) = messages.last() {
            state.kept_to(newest.seq);
        }
        Some(self.show(channel, state, publish, messages))
    }

    /// Shows a publish and does what follows: apply the channel's bounds, wake its waiters, apply the bounds of all.
    pub(crate) fn show(
        &self,
        channel: &Channel,
        mut state: impl DerefMut<Target = ChannelState>,
        publish: &Pending,
        messages: Messages,
    ) -> Published {
        let (published, added) = state.apply(publish, messages);
        let count = published.stamps.len();
        let freed = state.retain(publish.taken, &self.retention, &self.memory);
        self.add_weight(added);
        self.release_weight(freed);
        // A publish that only ends the channel adds nothing.
        let over = if added > 0 { self.over() } else { 0 };
        // The publisher's own channel is evicted from first, down to what was just published.
        let own = state.evict(self.limit, over, count, &self.memory);
        self.release_weight(own);
        drop(state);
        self.published.fetch_add(count as u64, Ordering::Relaxed);
        self.notifier.notify(channel.name());
        if over > own {
            self.make_room(channel.name());
        }
        published
    }
}
