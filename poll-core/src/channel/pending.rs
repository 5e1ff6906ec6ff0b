//! Publishes in the journal's hands, and the times of their messages.
//!
//! A reader who goes on from a time must find these messages ahead of it, and those that became visible only after that
//! time as well. A channel whose journal answers at once has none.

use std::collections::VecDeque;
use std::time::Duration;

use crate::types::{Ending, Fingerprint, IdempotencyKey, Timestamp};

/// A message that becomes visible so long after its time is remembered, …
const LATE: Duration = Duration::from_secs(1);
/// … for so long: longer than readers ask back from now.
const REMEMBERED: Duration = Duration::from_secs(10);
/// Those that become visible within so much time count as one.
const TOGETHER: Duration = Duration::from_millis(100);

/// A publish that was handed to the journal and is not answered, as its channel knows it.
#[derive(Debug, Clone)]
pub(crate) struct Pending {
    /// Tells it from the channel's others.
    pub(crate) number: u64,
    /// When it was taken, by the publisher's clock.
    pub(crate) taken: Timestamp,
    /// Whether the channel is closed with it.
    pub(crate) ending: Ending,
    /// The publisher's key and what tells its payload from others.
    pub(crate) key: Option<(IdempotencyKey, Fingerprint)>,
}

/// What of one channel is on its way, and what came late.
#[derive(Debug, Default)]
pub(crate) struct PendingTimes(Option<Box<Queues>>);

#[derive(Debug, Default)]
struct Queues {
    /// Of each publish that is on its way and has messages, before which time none of them was taken; oldest first.
    unseen: VecDeque<(u64, Timestamp)>,
    late: VecDeque<Late>,
}

/// Messages that came late.
#[derive(Debug)]
struct Late {
    /// The time of the first.
    at: Timestamp,
    /// When it became visible, or some time before.
    visible: Timestamp,
}

impl PendingTimes {
    /// A publish is on its way; no message of it was taken before `earliest`, if it has any.
    pub(crate) fn begin(&mut self, number: u64, earliest: Option<Timestamp>) {
        let unseen = earliest.map(|earliest| (number, earliest));
        self.0.get_or_insert_default().unseen.extend(unseen);
    }

    /// A publish is not on its way any more: it is visible, or will never be. It is `now`, or later.
    pub(crate) fn end(&mut self, number: u64, now: Timestamp) {
        let Some(queues) = &mut self.0 else { return };
        // The first, as a rule: a journal answers in order.
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

    /// Before which time no message was taken that is on its way.
    pub(crate) fn first(&self) -> Option<Timestamp> {
        self.0.as_ref()?.unseen.front().map(|&(_, at)| at)
    }

    /// The same of what was on its way at `time` and has come since.
    pub(crate) fn first_since(&self, time: Timestamp) -> Option<Timestamp> {
        self.0.as_ref()?.late.iter().find(|late| late.visible > time).map(|late| late.at)
    }
}
