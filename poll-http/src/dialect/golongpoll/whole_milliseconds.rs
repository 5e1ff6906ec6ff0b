//! Whole milliseconds: what may be given to a client that goes on from a time alone, and would miss the rest of a
//! millisecond that was cut.
//!
//! A millisecond is whole once a later one has begun in its channel, or once the store has sealed it. It is given no
//! earlier than a millisecond after its newest message, so that what comes at the same time comes with it and a seal
//! costs nothing. What was published before the poll came is waited for; what comes later may be left to the next poll.

use std::time::Duration;

use poll_core::{ChannelName, Message, Seal, Seq, Store, Timestamp, View};

use crate::dialect::format::Cut;

/// How long behind its time a poll waits for a millisecond to be whole, before it is answered without: the journal does
/// not come to an end with what may share it. The client then asks from where it was, so nothing is lost by it.
const GRACE: Duration = Duration::from_secs(1);

/// How long a millisecond stays open.
const MILLISECOND: Duration = Duration::from_millis(1);

/// The longest pause between two looks at a millisecond that the journal keeps open.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// What one poll has seen of its channel's milliseconds.
#[derive(Debug, Default)]
pub(super) struct WholeMilliseconds {
    /// The newest message at the first look: all that was published before must be given.
    known: Option<Seq>,
    /// Whether messages were held back that are ahead of the clock. Their time does not say how long they have been
    /// there.
    held_ahead: bool,
}

impl WholeMilliseconds {
    /// Where a view has to be cut.
    pub(super) fn cut(&mut self, store: &Store, channel: &ChannelName, view: &View, now: Timestamp) -> Cut {
        let known = *self.known.get_or_insert(view.read_state.newest);
        let Some(batch) = &view.batch else { return Cut::Nowhere };
        let (messages, newest) = (batch.messages(), batch.newest());
        let whole = messages.partition_point(|message| message.at.as_millis() < newest.at.as_millis());
        if newest.seq < view.read_state.newest {
            // A channel takes no more than 1000 messages a millisecond, so with any number of bytes all fit.
            return if whole == 0 { Cut::TooShort } else { Cut::Behind(whole) };
        }
        let Some(pause) = self.pause(store, channel, newest, now) else { return Cut::Nowhere };
        if whole > 0 && messages[whole - 1].seq >= known {
            return Cut::Behind(whole);
        }
        Cut::Held { pause, grace: GRACE, first: whole }
    }

    /// How long to hold the newest message back; `None` once its millisecond is sealed.
    fn pause(
        &mut self,
        store: &Store,
        channel: &ChannelName,
        newest: &Message,
        now: Timestamp,
    ) -> Option<Duration> {
        if newest.at > now && !self.held_ahead {
            self.held_ahead = true;
            return Some(MILLISECOND);
        }
        let age = now.since(newest.at);
        if newest.at <= now && age < MILLISECOND {
            return Some(MILLISECOND - age);
        }
        if store.seal(now, channel, newest) == Seal::Closed {
            return None;
        }
        Some((age / 4).clamp(MILLISECOND, LONGEST_PAUSE))
    }
}
