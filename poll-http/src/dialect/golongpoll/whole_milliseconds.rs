//! Whole milliseconds: a client that resumes from a time would miss the rest of a millisecond that was split.
//!
//! A millisecond is whole once the channel has a message of a later one, or once the store has sealed it. It is sent a
//! millisecond after its newest message at the earliest, so that messages of the same time are sent together and a seal
//! costs nothing. A poll waits for what was published before it arrived; the rest may be left to the next poll.
//!
//! A damaged message ends a read, and the next poll would begin behind the rest of its millisecond. So the answer has what is
//! behind the damage, too, if it has the same millisecond. Damage between two milliseconds is left to the next poll.

use std::sync::Arc;
use std::time::Duration;

use poll_core::{ChannelName, Message, Seal, Seq, Store, Timestamp, View};

use crate::dialect::format::Ready;

/// How long beyond its timeout a poll waits for a millisecond that a hanging commit keeps open. It is then answered
/// without; the client resumes from where it was, so nothing is lost.
const GRACE: Duration = Duration::from_secs(1);

const MILLISECOND: Duration = Duration::from_millis(1);

/// The longest pause between two looks at a millisecond that a commit keeps open.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// What one poll has seen so far.
#[derive(Debug, Default)]
pub(super) struct WholeMilliseconds {
    /// The newest message at the first look: it and all before it must be sent.
    known: Option<Seq>,
    /// Whether messages ahead of the clock were held back once; their time does not tell their age.
    held_ahead: bool,
}

impl WholeMilliseconds {
    /// How much of a view may be sent.
    pub(super) fn ready(
        &mut self,
        store: &Store,
        channel: &ChannelName,
        view: &View,
        now: Timestamp,
    ) -> Ready {
        let known = *self.known.get_or_insert(view.read_state.newest);
        let Some(batch) = &view.batch else { return Ready::All };
        let (messages, newest) = (batch.messages(), batch.newest());
        if let Some(end) = first_gap_between_milliseconds(messages) {
            return Ready::First(end);
        }
        let whole = messages.partition_point(|message| message.at.as_millis() < newest.at.as_millis());
        if view.next.seq < view.read_state.newest {
            // A channel takes no more than 1000 messages a millisecond, so reading on ends.
            return if whole == 0 { Ready::TooShort } else { Ready::First(whole) };
        }
        let Some(pause) = self.pause(store, channel, newest, now) else { return Ready::All };
        if whole > 0 && messages[whole - 1].seq >= known {
            return Ready::First(whole);
        }
        Ready::NotYet { pause, grace: GRACE, first: whole }
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

/// How many messages are in front of the first gap that is not within a millisecond.
fn first_gap_between_milliseconds(messages: &[Arc<Message>]) -> Option<usize> {
    let is_gap = |pair: &[Arc<Message>]| {
        pair[1].seq > pair[0].seq.next() && pair[1].at.as_millis() > pair[0].at.as_millis()
    };
    Some(messages.windows(2).position(is_gap)? + 1)
}
