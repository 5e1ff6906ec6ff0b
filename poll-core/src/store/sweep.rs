//! Expiry: messages that are too old, and channels that hold nothing when there would be too many.

use super::handle::{Sole, Store};
use crate::channel::{Channel, ChannelPhase, Due};
use crate::types::Timestamp;

impl Store {
    /// Drops what is too old in the next channels, at most `most`. Repeated calls visit all of them; reading does the
    /// same for the channel that is read.
    pub fn sweep(&self, now: Timestamp, most: usize) {
        if let Some(archive) = self.archive() {
            archive.sweep(now);
        }
        let (residents, shared) = (self.residents(), self.shared().is_some());
        let idle = self.archive().map(|archive| now.before(archive.tail().idle));
        for channel in residents.directory.next_page(most) {
            let mut state = channel.state.lock();
            state.unused_since(now);
            let cutoff = state.cutoff(now, &residents.retention);
            let freed = state.expire(cutoff, &residents.memory);
            state.keys.forget(now, &residents.retention);
            // Other servers see a use only once the journal has it.
            if shared && state.is_sliding() && self.notifier().has_waiters(channel.name()) {
                state.use_life(now);
            }
            let due = state.ledger.is_some().then(|| state.due(now, idle)).flatten();
            drop(state);
            // A shared log says itself which channels are hidden, to one server at a time.
            if let Some(due) = due.filter(|due| !shared || *due != Due::Hidden) {
                self.0.due.lock().push((channel.name().clone(), due));
            }
            residents.release_weight(freed);
            if let Some(idle) = idle {
                self.0.unload(&channel, now, idle);
            }
        }
    }

    /// Forgets one channel that holds nothing and has not been used for longer than anything is promised. A reader that
    /// still has a cursor of it gets a reset.
    pub(super) fn forget_one(&self, sole: &Sole, now: Timestamp) -> bool {
        let residents = self.residents();
        let unused = now.before(residents.retention.idempotency.max(residents.retention.age));
        let agrees = |channel: &Channel| {
            let mut state = channel.state.lock();
            state.keys.forget(now, &residents.retention);
            let cutoff = state.cutoff(now, &residents.retention);
            let freed = state.expire(cutoff, &residents.memory);
            residents.release_weight(freed);
            let agrees = state.is_idle() && state.unused_since(now) < unused;
            if agrees {
                state.phase = ChannelPhase::Forgotten;
                // Before the name is free: an incarnation that begins after this must not be forgotten with it.
                sole.journal.forget(channel.name());
            }
            agrees
        };
        let mut sample = residents.sample();
        sample.sort_by_key(|(used, _)| *used);
        sample.iter().any(|(_, channel)| residents.directory.remove(channel, agrees))
    }
}
