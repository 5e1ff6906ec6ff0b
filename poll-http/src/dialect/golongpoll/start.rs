//! Where a poll of `/events` starts. What its client says of times and ids means something only beside those that the
//! channel has.

use std::cmp::Ordering;

use poll_core::{Found, Position, ReadState, Timestamp};
use uuid::Uuid;

/// How far back a client's clock from the future counts.
const SLACK_MILLIS: u64 = 2_000;

/// Where a poll of `/events` goes on from, as its client put it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Since {
    /// Nothing said: from now on.
    Now,
    /// Milliseconds since the epoch.
    Time(u64),
    /// The same, and the last event the client has of that millisecond.
    Event(u64, Uuid),
}

/// What an answer must not cut through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grain {
    /// Messages: the client can name the last one it has.
    Message,
    /// Milliseconds: the client goes on from a time, and would miss the rest of one that was cut.
    Millisecond,
}

/// Where a poll starts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) position: Position,
    /// The `since_time` that it really uses, which is what a timeout gives back.
    pub(super) used: u64,
    pub(super) grain: Grain,
}

/// Whether the event that a client has last is one of its channel's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    Known,
    Unknown,
}

impl Since {
    /// The position that has to be looked up before it can be said where the poll starts.
    pub(super) fn position(self) -> Position {
        match self {
            Self::Event(_, last) => Position::AfterId(last),
            Self::Now | Self::Time(_) => Position::End,
        }
    }

    /// Where a poll starts that came `now`, when its channel's newest event was as `end` says and its last one was
    /// found as that. `settle` seals the channel up to a millisecond or, where an event is on its way that is not later,
    /// an earlier one, and says which. It is called behind the look at the end, so that what shows up in between is
    /// after it, and given.
    pub(super) fn start(
        self,
        found: Option<&Found>,
        now: Timestamp,
        end: &ReadState,
        settle: impl Fn(u64) -> u64,
    ) -> Start {
        // The time of an event is not in the future, even where the channel's times are ahead of the clock: a client
        // must not be given again what it had.
        let latest = now.max(end.newest_at).as_millis();
        let (position, used, grain) = match self {
            Self::Now => (Position::After(end.cursor()), settle(latest), Grain::Millisecond),
            // By a client's clock that runs ahead, and would skip what comes meanwhile.
            Self::Time(millis) | Self::Event(millis, _) if millis > latest => {
                let used = settle(now.as_millis().saturating_sub(SLACK_MILLIS));
                (after_millis(used), used, Grain::Millisecond)
            }
            Self::Time(0) => (Position::Start, 0, Grain::Millisecond),
            Self::Event(0, _) => (Position::Start, 0, Grain::Message),
            Self::Time(millis) => {
                // It may be a clock's: what comes from now on is later, whatever the clock does.
                settle(millis);
                (after_millis(millis), millis, Grain::Millisecond)
            }
            Self::Event(millis, last) => {
                (after_event(millis, last, Last::of(last, found)), millis, Grain::Message)
            }
        };
        Start { position, used, grain }
    }
}

impl Last {
    fn of(last: Uuid, found: Option<&Found>) -> Self {
        match found {
            Some(Found::Message(message, _, _)) if message.id == last => Self::Known,
            // What it was is forgotten, but that it was is not.
            Some(Found::Gone) => Self::Known,
            Some(Found::Message(..) | Found::Never) | None => Self::Unknown,
        }
    }
}

/// After all events of this millisecond.
fn after_millis(millis: u64) -> Position {
    Position::AfterTime(Timestamp::end_of_millis(millis))
}

/// After an event of this millisecond. Ids sort as events do; a known one that is not of this millisecond says
/// only on which side of it the client is, an unknown one nothing.
fn after_event(millis: u64, last: Uuid, known: Last) -> Position {
    match (poll_core::time_of(last).as_millis().cmp(&millis), known) {
        (Ordering::Less, _) | (_, Last::Unknown) => {
            Position::AfterTime(Timestamp::from_micros(millis.saturating_mul(1_000) - 1))
        }
        (Ordering::Equal, Last::Known) => Position::AfterId(last),
        (Ordering::Greater, Last::Known) => after_millis(millis),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    #[test]
    fn a_clock_from_the_future_counts_as_two_seconds_ago() {
        let end = ReadState { newest_at: NOW, ..ReadState::EMPTY };
        let used = |since: Since, sealed: u64| since.start(None, NOW, &end, |millis| millis.min(sealed)).used;
        assert_eq!(used(Since::Time(1_000_001), u64::MAX), 998_000);
        assert_eq!(used(Since::Time(1_000_000), u64::MAX), 1_000_000);
        assert_eq!(used(Since::Time(0), u64::MAX), 0);
        assert_eq!(used(Since::Now, u64::MAX), 1_000_000);
        // What is on its way lies ahead of a time that is the server's, not of one that is the client's.
        assert_eq!(used(Since::Time(1_000_001), 900_000), 900_000);
        assert_eq!(used(Since::Time(1_000_000), 900_000), 1_000_000);
        assert_eq!(used(Since::Now, 900_000), 900_000);
    }
}
