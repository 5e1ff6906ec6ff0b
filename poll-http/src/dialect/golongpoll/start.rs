//! Where a poll of `/events` starts: the client's time and id, compared with those of the channel.

use std::cmp::Ordering;

use poll_core::{Found, Position, Timestamp};
use uuid::Uuid;

use crate::dialect::format::Lookup;

/// A `since_time` in the future counts as this long ago.
const SLACK_MILLIS: u64 = 2_000;

/// Where a poll of `/events` resumes, as its client says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Since {
    /// The default: from now on.
    Now,
    /// Milliseconds since the epoch.
    Time(u64),
    /// The same, with the last event of that millisecond that the client has.
    Event(u64, Uuid),
}

/// What an answer must not split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Granularity {
    /// The client can name the last message it has.
    Message,
    /// The client resumes from a time, and would miss the rest of a millisecond that was split.
    Millisecond,
}

/// Where a poll starts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) position: Position,
    /// The `since_time` in effect, which a timeout returns.
    pub(super) since_time: u64,
    pub(super) granularity: Granularity,
}

/// Whether the last event that a client has is one of the channel's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LastEvent {
    Known,
    Unknown,
    /// It is later than all of them. The client may have it from another server that shares the log.
    Later,
}

impl Since {
    /// The position to look up before the poll can start.
    pub(super) fn position(self) -> Position {
        match self {
            Self::Event(_, last) => Position::AfterId(last),
            Self::Now | Self::Time(_) => Position::End,
        }
    }

    /// The millisecond up to which the channel has to be sealed before the poll can start.
    pub(super) fn settles(self, lookup: &Lookup) -> Option<u64> {
        let latest = latest(lookup);
        match self {
            Self::Now => Some(latest),
            Self::Time(millis) | Self::Event(millis, _) if millis > latest => {
                Some(lookup.now.as_millis().saturating_sub(SLACK_MILLIS))
            }
            Self::Time(0) | Self::Event(..) => None,
            // It may be read off a clock: whatever the clock does, events from now on must be later.
            Self::Time(millis) => Some(millis),
        }
    }

    /// Where the poll starts. The channel is sealed up to `settled`: the millisecond that was [asked
    /// for](Self::settles), or an earlier one if an event not later than that is being published.
    pub(super) fn start(self, lookup: &Lookup, settled: u64) -> Start {
        let end = &lookup.read_state;
        let (position, since_time, granularity) = match self {
            Self::Now => (Position::After(end.cursor()), settled, Granularity::Millisecond),
            // The client's clock is ahead, and would skip what is published meanwhile.
            Self::Time(millis) | Self::Event(millis, _) if millis > latest(lookup) => {
                (after_millis(settled), settled, Granularity::Millisecond)
            }
            Self::Time(0) => (Position::Start, 0, Granularity::Millisecond),
            Self::Event(0, _) => (Position::Start, 0, Granularity::Message),
            Self::Time(millis) => (after_millis(millis), millis, Granularity::Millisecond),
            Self::Event(millis, last) => {
                (after_event(millis, last, LastEvent::of(last, lookup)), millis, Granularity::Message)
            }
        };
        Start { position, since_time, granularity }
    }
}

impl LastEvent {
    fn of(last: Uuid, lookup: &Lookup) -> Self {
        match &lookup.message {
            Some(Found::Message(message, _, _)) if message.id == last => Self::Known,
            // The channel remembers that there was such an event.
            Some(Found::Gone) => Self::Known,
            _ if poll_core::time_of(last) > lookup.read_state.newest_at => Self::Later,
            Some(Found::Message(..) | Found::Never) | None => Self::Unknown,
        }
    }
}

/// The latest millisecond that an event can have had. A channel's times may be ahead of the clock. An event's time is
/// never in the future, or its client would get that event again.
fn latest(lookup: &Lookup) -> u64 {
    lookup.now.max(lookup.read_state.newest_at).as_millis()
}

/// After all events of a millisecond.
fn after_millis(millis: u64) -> Position {
    Position::AfterTime(Timestamp::end_of_millis(millis))
}

/// After an event of a millisecond. Ids sort as events do: a known one from another millisecond tells on which side of
/// this one the client is, an unknown one tells nothing. One that is still on its way here keeps its place, or the client
/// would get it again.
fn after_event(millis: u64, last: Uuid, known: LastEvent) -> Position {
    match (poll_core::time_of(last).as_millis().cmp(&millis), known) {
        (Ordering::Less, _) | (_, LastEvent::Unknown) | (Ordering::Greater, LastEvent::Later) => {
            Position::AfterTime(Timestamp::from_micros(millis.saturating_mul(1_000) - 1))
        }
        (Ordering::Equal, LastEvent::Known | LastEvent::Later) => Position::AfterId(last),
        (Ordering::Greater, LastEvent::Known) => after_millis(millis),
    }
}

#[cfg(test)]
mod tests {
    use poll_core::ReadState;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    #[test]
    fn an_event_that_is_not_here_yet_is_not_given_again() {
        let newest_at = Timestamp::from_millis(1_000);
        let lookup =
            Lookup { now: NOW, read_state: ReadState { newest_at, ..ReadState::EMPTY }, message: None };
        let start = |millis, last| Since::Event(millis, last).start(&lookup, 0).position;
        let later = poll_core::mint_id(Timestamp::from_micros(2_000_500), 7);
        assert_eq!(start(2_000, later), Position::AfterId(later));
        // All of a millisecond, if the event was never one of it.
        let all = |millis: u64| Position::AfterTime(Timestamp::from_micros(millis * 1_000 - 1));
        assert_eq!(start(1_999, later), all(1_999));
        let never = poll_core::mint_id(newest_at, 7);
        assert_eq!(start(1_000, never), all(1_000));
        assert_eq!(start(2_000, Uuid::nil()), all(2_000));
    }

    #[test]
    fn a_clock_from_the_future_counts_as_two_seconds_ago() {
        let read_state = ReadState { newest_at: NOW, ..ReadState::EMPTY };
        let lookup = Lookup { now: NOW, read_state, message: None };
        let used = |since: Since, sealed: u64| {
            let settled = since.settles(&lookup).map_or(0, |millis| millis.min(sealed));
            since.start(&lookup, settled).since_time
        };
        assert_eq!(used(Since::Time(1_000_001), u64::MAX), 998_000);
        assert_eq!(used(Since::Time(1_000_000), u64::MAX), 1_000_000);
        assert_eq!(used(Since::Time(0), u64::MAX), 0);
        assert_eq!(used(Since::Now, u64::MAX), 1_000_000);
        // An event being published is after a time that the server chose, not after one that the client chose.
        assert_eq!(used(Since::Time(1_000_001), 900_000), 900_000);
        assert_eq!(used(Since::Time(1_000_000), 900_000), 1_000_000);
        assert_eq!(used(Since::Now, 900_000), 900_000);
    }
}
