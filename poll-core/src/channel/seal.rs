//! Sealing time: a promise that no message will follow with a time up to here.
//!
//! Some readers go on from a time in milliseconds and cannot name the last message they have. What was minted
//! before they were answered, or is on its way through the journal, may have that time and would never be asked for. So
//! a time is sealed before it is given to such a reader as the one to go on from, and where it cannot be, an earlier one
//! is given, or the answer waits.
//!
//! A seal raises the channel's time and is forgotten with it. It need not be kept: a channel that is loaded begins
//! behind the millisecond of its newest message, and is not let go of in the millisecond in which it was used.

use std::time::Duration;

use super::state::ChannelState;
use crate::types::{Message, Timestamp};

/// How often a channel's time may be sealed ahead of the clock. As a seal takes a millisecond at most, no number of
/// readers makes the channel run away from the clock.
const LEAD: Duration = Duration::from_millis(1);

/// Whether a millisecond could be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seal {
    /// No message behind this one has or will have its millisecond.
    Closed,
    /// One may: it is on its way, or visible already.
    Open,
}

impl ChannelState {
    /// Seals the millisecond of `message`, if nothing behind it has that millisecond or may yet show up with it.
    pub(crate) fn seal(&mut self, now: Timestamp, message: &Message) -> Seal {
        let millis = message.at.as_millis();
        let closed = if self.log.newest() > message.seq {
            self.log.get(message.seq.next()).is_some_and(|next| next.at.as_millis() > millis)
        } else {
            self.close(now, millis) == millis
        };
        if closed { Seal::Closed } else { Seal::Open }
    }

    /// Seals the time up to the end of `millis`; gives the newest millisecond of which everything was visible by then and
    /// into which nothing will follow.
    pub(crate) fn settle(&mut self, now: Timestamp, millis: u64) -> u64 {
        let closed = self.close(now, millis);
        let since = self.pending_times.first_since(Timestamp::end_of_millis(millis));
        since.map_or(closed, |at| closed.min(before(at)))
    }

    /// Closes milliseconds up to `millis`, as far as that can be; gives the last.
    fn close(&mut self, now: Timestamp, millis: u64) -> u64 {
        let sealed = self.minted_at.next().as_millis().saturating_sub(1);
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
            // The clock went back, and time is counted anew.
            self.led = now;
            return false;
        }
        now.since(self.led) >= LEAD
    }
}

/// The last millisecond before that of a message.
fn before(at: Timestamp) -> u64 {
    at.as_millis().saturating_sub(1)
}
