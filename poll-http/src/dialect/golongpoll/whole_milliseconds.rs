//! Whole milliseconds: what may be given to somebody who goes on from a time alone, and would miss the rest of a
//! millisecond that was cut.
//!
//! A millisecond is whole once a later one has begun in its channel, or once the store has sealed it. It is given no
//! earlier than a millisecond after its newest message, so that what comes at the same time comes with it and a seal
//! costs nothing. What was published before the poll came is waited for; what comes later may be left to the next poll.

use std::sync::Arc;
use std::time::Duration;

use poll_core::{Message, Seal, Timestamp, View};

use crate::dialect::question::Grain;
use crate::pattern::long_poll::LongPoll;
use crate::service::router::Action;

/// How long behind its time a poll waits for a millisecond to be whole, before it is answered without. The asker then
/// asks from where it was, so nothing is lost by it.
pub(super) const STUCK: Duration = Duration::from_secs(1);

/// How long a millisecond stays open.
const MILLISECOND: Duration = Duration::from_millis(1);

/// The longest pause between two looks at a millisecond that the journal keeps open.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// How a view cuts through milliseconds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// Not at all.
    None,
    /// Its last millisecond is open: look again after that time. So many messages are before it.
    Growing(Duration, usize),
    /// After this many messages it would not.
    Behind(usize),
    /// Not even its first millisecond is whole.
    TooShort,
}

/// Whether a poll has held messages back that are ahead of the clock. Their time does not say how long they have been
/// there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    Never,
    Once,
}

impl<W> LongPoll<W> {
    /// Where a view has to be cut.
    pub(super) fn cut(&mut self, view: &View, now: Timestamp) -> Cut {
        // Who asks for the head is given no messages, and at once.
        if self.question.grain == Grain::Message || self.action == Action::Head {
            return Cut::None;
        }
        let known = *self.known.get_or_insert(view.read_state.newest);
        let Some(batch) = &view.batch else { return Cut::None };
        let (messages, newest) = (batch.messages(), batch.newest());
        let whole = messages.partition_point(|message| message.at.as_millis() < newest.at.as_millis());
        if newest.seq < view.read_state.newest {
            return if whole == 0 { Cut::TooShort } else { Cut::Behind(whole) };
        }
        let Some(pause) = self.pause(newest, now) else { return Cut::None };
        if whole > 0 && messages[whole - 1].seq >= known {
            return Cut::Behind(whole);
        }
        Cut::Growing(pause, whole)
    }

    /// How long to hold the newest message back; `None` once its millisecond is sealed.
    fn pause(&mut self, newest: &Message, now: Timestamp) -> Option<Duration> {
        if newest.at > now && self.held == Held::Never {
            self.held = Held::Once;
            return Some(MILLISECOND);
        }
        let age = now.since(newest.at);
        if newest.at <= now && age < MILLISECOND {
            return Some(MILLISECOND - age);
        }
        if self.service.store().seal(now, &self.question.channel, newest) == Seal::Closed {
            return None;
        }
        Some((age / 4).clamp(MILLISECOND, LONGEST_PAUSE))
    }
}

/// The first messages of a view.
pub(super) fn first(view: &View, count: usize) -> Vec<Arc<Message>> {
    view.batch.as_ref().map_or_else(Vec::new, |batch| batch.messages()[..count].to_vec())
}
