//! The reader's position on a channel, and a check that no message is lost unnoticed.
//!
//! The server reports missed messages. Within an epoch numbers have no gaps, so an unannounced gap is reported as missed
//! too, and a message that is repeated after a reconnect is dropped.

use std::collections::VecDeque;

use poll_core::{ChannelName, Cursor, Epoch};

use crate::channels::Begin;
use crate::message::{Event, Message};
use crate::stats::Stats;

#[derive(Debug, Clone)]
pub(crate) struct Tracker {
    channel: ChannelName,
    begin: Begin,
    /// After the last message queued, or as the server said.
    position: Option<Cursor>,
    next: Next,
}

/// Which number the next message may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// The position's successor.
    Follows,
    /// Any, because the server has announced a gap.
    Any,
}

impl Tracker {
    pub(crate) fn new(channel: ChannelName, begin: Begin) -> Self {
        let position = match begin {
            Begin::After(cursor) => Some(cursor),
            Begin::Oldest | Begin::Now | Begin::Perhaps(_) => None,
        };
        Self { channel, begin, position, next: Next::Follows }
    }

    pub(crate) fn begin(&self) -> Begin {
        self.begin
    }

    pub(crate) fn position(&self) -> Option<Cursor> {
        self.position
    }

    /// Moves to a position without a gap.
    pub(crate) fn stands_at(&mut self, cursor: Cursor) {
        self.position = Some(cursor);
        self.next = Next::Follows;
    }

    /// A stream's start, which only the server knew.
    pub(crate) fn connected(&mut self, cursor: Cursor) {
        if self.position.is_none() && self.begin != Begin::Oldest {
            self.stands_at(cursor);
        }
    }

    /// Whether the cursor belongs to another epoch of the channel.
    pub(crate) fn is_foreign(&self, cursor: Cursor) -> bool {
        self.position.is_some_and(|at| at.epoch != cursor.epoch && at.epoch != Epoch::ZERO)
    }

    /// Messages were missed. Reading continues at `cursor`, if given.
    pub(crate) fn missed(
        &mut self,
        count: Option<u64>,
        reset: bool,
        cursor: Option<Cursor>,
        events: &mut VecDeque<Event>,
        stats: &Stats,
    ) {
        stats.missed.add(count.unwrap_or(0));
        events.push_back(Event::Missed { channel: self.channel.clone(), count, reset });
        self.position = cursor.or(self.position);
        self.next = Next::Any;
    }

    /// A message arrived.
    pub(crate) fn message(&mut self, message: Message, events: &mut VecDeque<Event>, stats: &Stats) {
        if self.next == Next::Follows {
            let before = match self.position {
                // Before its first message a channel has no epoch.
                Some(at) if at.epoch == message.cursor.epoch || at.epoch == Epoch::ZERO => Some(at.seq.get()),
                Some(_) => {
                    self.missed(None, true, None, events, stats);
                    None
                }
                None if self.begin == Begin::Oldest => Some(0),
                None => None,
            };
            if let Some(before) = before {
                if message.seq.get() <= before {
                    return;
                }
                let hole = message.seq.get() - before - 1;
                if hole > 0 {
                    self.missed(Some(hole), false, None, events, stats);
                }
            }
        }
        self.stands_at(message.cursor);
        stats.messages.add(1);
        events.push_back(Event::Message(message));
    }
}

#[cfg(test)]
mod tests {
    use poll_core::{Seq, Timestamp};
    use proptest::prelude::*;

    use super::*;
    use crate::message::Content;

    fn at(epoch: u64, seq: u64) -> Cursor {
        Cursor { epoch: Epoch::new(epoch), seq: Seq::new(seq) }
    }

    fn channel() -> ChannelName {
        ChannelName::parse("c").unwrap()
    }

    fn message(epoch: u64, seq: u64) -> Message {
        let (channel, content) = (channel(), Content::Binary(Default::default()));
        Message {
            channel,
            seq: Seq::new(seq),
            id: None,
            cursor: at(epoch, seq),
            at: Timestamp::ZERO,
            content,
        }
    }

    /// Messages as their numbers, missed ones as negative counts, a reset as -1000.
    fn given(events: &VecDeque<Event>) -> Vec<i64> {
        events
            .iter()
            .map(|event| match event {
                Event::Message(message) => message.seq.get() as i64,
                Event::Missed { reset: true, .. } => -1000,
                Event::Missed { count, .. } => -(count.unwrap() as i64),
                Event::Refused { .. } | Event::Closed { .. } => 0,
            })
            .collect()
    }

    fn run(begin: Begin, seqs: &[(u64, u64)]) -> Vec<i64> {
        let (mut tracker, mut events, stats) =
            (Tracker::new(channel(), begin), VecDeque::new(), Stats::default());
        for &(epoch, seq) in seqs {
            tracker.message(message(epoch, seq), &mut events, &stats);
        }
        given(&events)
    }

    #[test]
    fn repeats_are_dropped_and_holes_reported() {
        assert_eq!(run(Begin::Oldest, &[(7, 1), (7, 2), (7, 2), (7, 1), (7, 5)]), [1, 2, -2, 5]);
        assert_eq!(run(Begin::Oldest, &[(7, 4)]), [-3, 4]);
        assert_eq!(run(Begin::Now, &[(7, 4), (7, 5)]), [4, 5]);
        assert_eq!(run(Begin::After(at(7, 4)), &[(7, 4), (7, 5)]), [5]);
        assert_eq!(run(Begin::After(Cursor::ZERO), &[(7, 1)]), [1]);
        assert_eq!(run(Begin::After(at(7, 9)), &[(8, 1), (8, 2)]), [-1000, 1, 2]);
        assert_eq!(run(Begin::Perhaps(at(7, 9)), &[(8, 1), (8, 2)]), [1, 2]);
    }

    #[test]
    fn what_the_server_announced_is_not_reported_twice() {
        let (mut tracker, mut events, stats) =
            (Tracker::new(channel(), Begin::After(at(7, 4))), VecDeque::new(), Stats::default());
        tracker.missed(Some(5), false, Some(at(7, 9)), &mut events, &stats);
        tracker.message(message(7, 10), &mut events, &stats);
        tracker.missed(None, true, None, &mut events, &stats);
        tracker.message(message(8, 3), &mut events, &stats);
        tracker.message(message(8, 4), &mut events, &stats);
        assert_eq!(given(&events), [-5, 10, -1000, 3, 4]);
        assert_eq!((stats.counts().missed, stats.counts().messages), (5, 3));
    }

    proptest! {
        /// Whatever repeats and holes come within an epoch, messages given and messages reported missed add up.
        #[test]
        fn every_number_is_given_once_or_reported(seqs in prop::collection::vec(1u64..30, 0..40)) {
            let numbered: Vec<_> = seqs.iter().map(|&seq| (3, seq)).collect();
            let mut next = 1;
            for given in run(Begin::Oldest, &numbered) {
                if given < 0 { next += -given } else { prop_assert_eq!(given, next); next += 1 }
            }
            prop_assert_eq!(next as u64, seqs.iter().max().copied().unwrap_or(0) + 1);
        }
    }
}
