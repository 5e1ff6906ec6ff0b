//! Showing a publish: the only place that does, for publishes of this process and of others.

use std::ops::DerefMut;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::table::Residents;
use crate::channel::{Channel, ChannelPhase, ChannelState, MemoryLimit, Messages, Pending};
use crate::life::{Content, Origin};
use crate::types::{ChannelName, Epoch, Followed, Published, Run, Timestamp};

impl Residents {
    /// Shows a publish that the journal kept after it was queued; `None` if it does not come next.
    pub(crate) fn show_kept(
        &self,
        channel: &Arc<Channel>,
        publish: &Pending,
        epoch: Epoch,
        messages: Messages,
    ) -> Option<Published> {
        let mut state = channel.state.lock();
        state.begin_log(publish);
        if !state.is_next(epoch, &messages) {
            return None;
        }
        if let Some(newest) = messages.last() {
            state.kept_to(newest.seq);
        }
        Some(self.show(channel, state, publish, messages))
    }

    /// Shows what a shared log has next, if the channel is in memory. That is no use of the channel: one that is not
    /// read here leaves memory however much is published to it. Ages are judged by the log's own times.
    pub(crate) fn follow(&self, name: &ChannelName, run: &Run<'_>) -> Followed {
        let Some(channel) = self.get(name) else { return Followed::NotInMemory };
        let mut state = channel.state.lock();
        match state.follow(run) {
            Ok(Some((count, added))) => {
                let now = state.log.newest_at();
                self.finish(&channel, state, now, count, added);
                Followed::Shown
            }
            Ok(None) => Followed::Shown,
            Err(refused) => refused,
        }
    }

    /// Shows a publish of this process.
    pub(crate) fn show(
        &self,
        channel: &Arc<Channel>,
        mut state: impl DerefMut<Target = ChannelState>,
        publish: &Pending,
        messages: Messages,
    ) -> Published {
        let (published, added) = state.apply(publish, messages);
        let count = published.stamps.len();
        let settled = state.settled();
        let content = publish.change.as_ref().map_or(Content::Same, |change| change.content);
        if content == Content::Purged {
            let freed = state.purge(&self.memory);
            self.release_weight(freed);
        }
        if content == Content::Removed && state.is_ahead() {
            self.empty(channel, state);
        } else if content == Content::Removed {
            drop(state);
            self.take_out(channel);
        } else {
            self.finish(channel, state, publish.taken, count, added);
        }
        drop(settled);
        self.count_published(count);
        published
    }

    /// What follows once `count` messages were added, which weigh `added` bytes: apply the channel's bounds, wake its
    /// waiters, apply the bounds of all.
    fn finish(
        &self,
        channel: &Channel,
        mut state: impl DerefMut<Target = ChannelState>,
        now: Timestamp,
        count: usize,
        added: u64,
    ) {
        let mut freed = state.retain(now, &self.retention, &self.memory);
        if state.ledger.is_some() {
            freed += self.finish_life(&mut state);
        }
        self.add_weight(added);
        self.release_weight(freed);
        // A publish that only ends the channel adds nothing.
        let over = if added > 0 { self.over() } else { 0 };
        // The publisher's own channel is evicted from first, down to what was just published.
        let own = state.evict(self.limit, over, count, &self.memory);
        self.release_weight(own);
        drop(state);
        self.notifier.notify(channel.name());
        if over > own {
            self.make_room(channel.name());
        }
    }

    /// The same for a channel with a life, which may have a bound of its own or never be evicted from. Returns the bytes
    /// freed.
    fn finish_life(&self, state: &mut ChannelState) -> u64 {
        let freed = match self.limit {
            MemoryLimit::Retained(_) => state.retain_bytes(&self.memory),
            MemoryLimit::Tail(_) => 0,
        };
        self.count_unevictable(state);
        freed
    }

    /// The channel is gone: it leaves memory and the count of forks, and its waiters look again.
    fn take_out(&self, channel: &Arc<Channel>) {
        let (mut freed, mut origin) = (0, None);
        let forget = |channel: &Channel| {
            let mut state = channel.state.lock();
            state.phase = ChannelPhase::Forgotten;
            freed = state.log.weight();
            origin = state.ledger.as_ref().and_then(|ledger| ledger.life().origin.clone());
            self.uncount_unevictable(&mut state);
            state.clear_removed();
            true
        };
        self.directory.remove(channel, forget);
        self.removed(channel, freed, origin);
    }

    /// The same where the journal has yet to keep that, and would load the channel again at the next look: it stays in memory
    /// until then, as one that is not there.
    fn empty(&self, channel: &Channel, mut state: impl DerefMut<Target = ChannelState>) {
        let freed = state.log.weight();
        let origin = state.ledger.as_ref().and_then(|ledger| ledger.life().origin.clone());
        self.uncount_unevictable(&mut state);
        state.begin_anew(self.new_epoch());
        drop(state);
        self.removed(channel, freed, origin);
    }

    /// What follows when a channel was removed that held so many bytes, and was forked from this.
    fn removed(&self, channel: &Channel, freed: u64, origin: Option<Origin>) {
        self.release_weight(freed);
        let source = origin.and_then(|origin| Some((self.get(&origin.source)?, origin.epoch)));
        if let Some((source, epoch)) = source {
            let mut state = source.state.lock();
            if state.epoch() == epoch {
                let ledger = state.ledger();
                ledger.forks = ledger.forks.saturating_sub(1);
            }
        }
        self.notifier.notify(channel.name());
    }

    /// This process published `count` messages.
    pub(crate) fn count_published(&self, count: usize) {
        self.published.fetch_add(count as u64, Ordering::Relaxed);
    }
}
