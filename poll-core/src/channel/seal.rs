//! Sealing time: a promise that no message up to this time will follow. Stream processors call it a watermark.
//!
//! Some readers continue from a time in milliseconds and cannot name the last message they have. A message that was
//! minted before they were answered, or is on its way through the journal, may carry that time and would never be asked
//! for. So a time is sealed before such a reader may continue from it. Where it cannot be sealed, the reader
//! gets an earlier time, or its answer waits.
//!
//! A seal raises the channel's time and lives in memory only. It need not be kept: a channel that is loaded starts
//! after the millisecond of its newest message, and is not unloaded in the millisecond of its last use.

use std::sync::Arc;
use std::time::Duration;

use super::state::ChannelState;
use crate::types::{Message, Timestamp};

/// How often a channel's time may be sealed ahead of the clock. A seal takes a millisecond at most, so no number of
/// readers makes the channel run away from the clock.
const LEAD: Duration = Duration::from_millis(1);

/// Whether a millisecond could be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seal {
    /// No message after this one has its millisecond, or ever will.
    Closed,
    /// One may: it is on its way, or visible already.
    Open,
}

impl ChannelState {
    /// Seals the millisecond of `message`, unless a later message has that millisecond or may still turn out to have
    /// it.
    pub(crate) fn seal(&mut self, now: Timestamp, message: &Message) -> Seal {
        let millis = message.at.as_millis();
        self.seal_before_next(message, |state| state.close(now, millis) == millis)
    }

    /// The same where times are given out elsewhere: whether the millisecond has been sealed.
    pub(crate) fn is_sealed(&mut self, message: &Message) -> Seal {
        let millis = message.at.as_millis();
        self.seal_before_next(message, |state| state.sealed() >= millis)
    }

    /// The last whole message's millisecond is closed by `close`, another one's by the whole message after it.
    fn seal_before_next(&mut self, message: &Message, close: impl FnOnce(&mut Self) -> bool) -> Seal {
        let next = self.log.first_after(message.seq);
        let closed = if self.log.oldest() > message.seq.next() {
            // What was evicted may have had its millisecond.
            false
        } else if next <= self.log.newest() {
            let later = |next: &Arc<Message>| next.at.as_millis() > message.at.as_millis();
            self.log.get(next).is_some_and(later)
        } else {
            close(self)
        };
        if closed { Seal::Closed } else { Seal::Open }
    }

    /// The last millisecond that is sealed.
    pub(crate) fn sealed(&self) -> u64 {
        self.minted_at.next().as_millis().saturating_sub(1)
    }

    /// The shared journal sealed the time up to the end of `millis`.
    pub(crate) fn sealed_elsewhere(&mut self, millis: u64) {
        self.minted_at = self.minted_at.max(Timestamp::end_of_millis(millis));
    }

    /// Seals the time up to the end of `millis`. Returns the newest millisecond of which everything was visible by then
    /// and into which nothing will follow.
    pub(crate) fn settle(&mut self, now: Timestamp, millis: u64) -> u64 {
        let closed = self.close(now, millis);
        let since = self.pending_times.first_since(Timestamp::end_of_millis(millis));
        since.map_or(closed, |at| closed.min(before(at)))
    }

    /// Seals milliseconds up to `millis`, as far as possible. Returns the last one.
    fn close(&mut self, now: Timestamp, millis: u64) -> u64 {
        let sealed = self.sealed();
        let reach = if millis > now.as_millis() && !self.may_lead(now) { now.as_millis() } else { millis };
        if reach > sealed {
            self.minted_at = Timestamp::end_of_millis(reach);
            if reach > now.as_millis() {
                self.led = now;
            }
        }
        let closed = millis.min(reach.max(sealed));
        self.pending_times.first().map_or(closed, |at| closed.min(before(at)))
    }

    /// Whether time may be sealed ahead of the clock.
    fn may_lead(&mut self, now: Timestamp) -> bool {
        if now < self.led {
            // The clock went back: start over.
            self.led = now;
            return false;
        }
        now.since(self.led) >= LEAD
    }
}

/// The last millisecond before the one of `at`.
fn before(at: Timestamp) -> u64 {
    at.as_millis().saturating_sub(1)
}
