//! Messages on their way: minted, in the journal's hands, and not visible yet.
//!
//! A reader who goes on from a time must find them ahead of it, and those that became visible only after that time as
//! well. A channel whose journal answers at once has none.

use std::collections::VecDeque;
use std::time::Duration;

use crate::cursor::Seq;
use crate::time::Timestamp;

/// A message that becomes visible so long after its time is remembered, …
const LATE: Duration = Duration::from_secs(1);
/// … for so long: longer than readers ask back from now.
const REMEMBERED: Duration = Duration::from_secs(10);
/// Those that become visible within so much time count as one.
const TOGETHER: Duration = Duration::from_millis(100);

/// What of one channel is on its way, and what came late.
#[derive(Debug, Default)]
pub(super) struct Transit(Option<Box<Queues>>);

#[derive(Debug, Default)]
struct Queues {
    /// Of each publish that is on its way, the number before it and the time of its first message; oldest first.
    unseen: VecDeque<(Seq, Timestamp)>,
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

impl Transit {
    /// A publish behind `after` is on its way; `first` is the time of its first message, if it has any.
    pub(super) fn begin(&mut self, after: Seq, first: Option<Timestamp>) {
        let first = first.map(|first| (after, first));
        self.0.get_or_insert_default().unseen.extend(first);
    }

    /// The publish behind `after` is not on its way any more: it is visible, or will never be. It is `now`, or later.
    pub(super) fn end(&mut self, after: Seq, now: Timestamp) {
        let Some(queues) = &mut self.0 else { return };
        // The first, as a rule: a journal answers in order.
        let index = queues.unseen.iter().position(|&(other, _)| other == after);
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

    /// The time of the first message that is on its way.
    pub(super) fn first(&self) -> Option<Timestamp> {
        self.0.as_ref()?.unseen.front().map(|&(_, at)| at)
    }

    /// The time of the first message that was on its way at `time` and has come since.
    pub(super) fn first_since(&self, time: Timestamp) -> Option<Timestamp> {
        self.0.as_ref()?.late.iter().find(|late| late.visible > time).map(|late| late.at)
    }
}
