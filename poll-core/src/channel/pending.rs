//! Publishes that the journal has not answered, and the times of their messages.
//!
//! A reader that continues from a time must not skip these messages, nor those that became visible only after that
//! time. Where the journal answers at once there are none.

use std::collections::VecDeque;
use std::time::Duration;

use super::phase::ChannelPhase;
use crate::life::{Bounds, Change};
use crate::types::{Ending, Fingerprint, IdempotencyKey, Timestamp};

/// A message that becomes visible this long after its time is remembered …
const LATE: Duration = Duration::from_secs(1);
/// … for this long: longer than readers ask back from now.
const REMEMBERED: Duration = Duration::from_secs(10);
/// Messages that become visible within this time count as one.
const TOGETHER: Duration = Duration::from_millis(100);

/// What a channel knows of a publish that the journal was handed and has not answered.
#[derive(Debug, Clone)]
pub(crate) struct Pending {
    /// Distinguishes it from the channel's other publishes.
    pub(crate) number: u64,
    /// What the channel was before it.
    pub(crate) before: ChannelPhase,
    /// When it was taken, by the publisher's clock.
    pub(crate) taken: Timestamp,
    /// Whether it closes the channel.
    pub(crate) ending: Ending,
    /// The publisher's key, and the hash of the payload.
    pub(crate) key: Option<(IdempotencyKey, Fingerprint)>,
    /// What it changes of the channel's life.
    pub(crate) change: Option<Box<Change>>,
    /// The channel's own bounds, if it has a life.
    pub(crate) bounds: Option<Bounds>,
}

/// The times of a channel's pending messages, and of those that came late.
#[derive(Debug, Default)]
pub(crate) struct PendingTimes(Option<Box<Queues>>);

#[derive(Debug, Default)]
struct Queues {
    /// For each pending publish that has messages, a time before all of theirs; oldest first.
    unseen: VecDeque<(u64, Timestamp)>,
    late: VecDeque<Late>,
}

/// Messages that came late.
#[derive(Debug)]
struct Late {
    /// The time of the first.
    at: Timestamp,
    /// When it became visible, or a little before.
    visible: Timestamp,
}

impl PendingTimes {
    /// A publish was handed over; none of its messages was taken before `earliest`. `None` where it has none.
    pub(crate) fn begin(&mut self, number: u64, earliest: Option<Timestamp>) {
        let unseen = earliest.map(|earliest| (number, earliest));
        self.0.get_or_insert_default().unseen.extend(unseen);
    }

    /// A publish is no longer pending: it is visible, or never will be. The time is `now` or later.
    pub(crate) fn end(&mut self, number: u64, now: Timestamp) {
        let Some(queues) = &mut self.0 else { return };
        // Usually the first: a journal answers in order.
        let index = queues.unseen.iter().position(|&(other, _)| other == number);
        let Some((_, at)) = index.and_then(|index| queues.unseen.remove(index)) else { return };
        if now.since(at) < LATE {
            return;
        }
        while queues.late.front().is_some_and(|late| now.since(late.visible) > REMEMBERED) {
            queues.late.pop_front();
        }
        if queues.late.back().is_none_or(|late| now.since(late.visible) > TOGETHER) {
            queues.late.push_back(Late { at, visible: now });
        }
    }

    /// A time before which no pending message was taken.
    pub(crate) fn first(&self) -> Option<Timestamp> {
        self.0.as_ref()?.unseen.front().map(|&(_, at)| at)
    }

    /// The same for messages that were pending at `time` and have become visible since.
    pub(crate) fn first_since(&self, time: Timestamp) -> Option<Timestamp> {
        self.0.as_ref()?.late.iter().find(|late| late.visible > time).map(|late| late.at)
    }
}
