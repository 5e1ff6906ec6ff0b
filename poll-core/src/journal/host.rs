//! What a journal may tell the store above it.

use std::sync::{Arc, Weak};

use crate::channel::{Channel, ChannelPhase};
use crate::notifier::Heard;
use crate::residents::Residents;
use crate::types::{ChannelName, Ending, Epoch, Followed, Retention, Run, Seq, Timestamp};

/// The store, as its journal sees it. Does not keep the store alive: calls have no effect once it is gone. No call waits,
/// but those that wake waiters may run their executor's code, so none may be made under a lock that it could need.
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

    /// A shared log has this: it becomes visible and waiters are woken, if the channel is in memory and the run comes
    /// next there. What is known already is dropped; a run with a hole before it is refused as a whole. The only way by
    /// which messages of a [`SharedJournal`](super::SharedJournal) become visible.
    pub fn follow(&self, channel: &ChannelName, run: &Run<'_>) -> Followed {
        self.residents.upgrade().map_or(Followed::NotInMemory, |residents| residents.follow(channel, run))
    }

    /// How far a channel in memory is visible: its incarnation, the number of the newest message, and whether it has
    /// ended. [`Epoch::ZERO`] before its first message; `None` if it is not in memory.
    #[must_use]
    pub fn newest(&self, channel: &ChannelName) -> Option<(Epoch, Seq, Ending)> {
        let channel = self.residents.upgrade()?.get(channel)?;
        let state = channel.state.lock();
        let Some(log) = state.visible_log() else { return Some((Epoch::ZERO, Seq::ZERO, Ending::Open)) };
        let ending = if log.is_ended() { Ending::Close } else { Ending::Open };
        Some((log.epoch(), log.newest(), ending))
    }

    /// The channels in memory, of which there may be 100 000: those that are read here, and some that were until
    /// recently.
    #[must_use]
    pub fn in_memory(&self) -> Vec<ChannelName> {
        self.residents.upgrade().map_or_else(Vec::new, |residents| residents.directory.names())
    }

    /// What is in memory of the channel counts no longer: its incarnation is over, or it fell so far behind that the
    /// next messages are no longer retained. It leaves memory and its waiters are woken; they load it again, and learn
    /// whether they were reset or what they missed.
    pub fn reset(&self, channel: &ChannelName) {
        if let Some(residents) = self.residents.upgrade() {
            residents.reset(channel);
        }
    }

    /// The channel was changed in a shared log, by this server or another, whether it is in memory or not.
    pub fn announced(&self, channel: &ChannelName) {
        self.tell(Heard::Announced(channel));
    }

    /// Changes of any channel of a shared log may have been missed; there are none before this call that cannot be read.
    pub fn missed(&self) {
        self.tell(Heard::Missed);
    }

    fn tell(&self, heard: Heard<'_>) {
        if let Some(residents) = self.residents.upgrade() {
            residents.notifier.tell(heard);
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
            let cutoff = state.cutoff(now, &self.retention);
            freed = state.expire(cutoff, &residents.memory);
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
