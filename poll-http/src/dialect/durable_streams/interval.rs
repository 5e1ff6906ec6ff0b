//! The cursor of live reads: the number of a 20-second interval, which changes the address of a request so that a cache does
//! not answer it with what it kept.
//!
//! A reader that comes with a cursor must leave with a greater one, or a cache could answer it with its own question again.

use poll_core::Timestamp;

/// An interval in microseconds.
const INTERVAL: u64 = 20_000_000;
/// 2024-10-09T00:00:00Z, where intervals begin, in microseconds since the Unix epoch.
const FIRST: u64 = 1_728_432_000_000_000;
/// The most that a cursor is moved on at once, in intervals: an hour.
const MOST_AHEAD: u64 = 180;
/// Numbers beyond this are not ours, and not exact in JavaScript.
const LARGEST: u64 = 1 << 53;

/// The number of an interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Interval(u64);

impl Interval {
    /// Reads the cursor of a request. One that is none of ours is as good as none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        crate::message::query::number(text).filter(|number| *number <= LARGEST).map(Self)
    }

    /// The cursor of an answer: the interval of `now`, or one after the cursor `asked` with if that is not before it.
    pub(crate) fn answer(now: Timestamp, asked: Option<Self>, random: u64) -> Self {
        let current = Self(now.as_micros().saturating_sub(FIRST) / INTERVAL);
        match asked {
            Some(Self(asked)) if asked >= current.0 => Self(asked + 1 + random % MOST_AHEAD),
            _ => current,
        }
    }

    pub(crate) fn get(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_never_comes_back_the_same_or_smaller() {
        let now = Timestamp::from_micros(FIRST + 7 * INTERVAL + 1);
        assert_eq!(Interval::answer(now, None, 5), Interval(7));
        assert_eq!(Interval::answer(now, Some(Interval(6)), 5), Interval(7));
        for asked in [7, 8, 1_000, LARGEST] {
            for random in [0, 1, 179, 180, u64::MAX] {
                let answer = Interval::answer(now, Some(Interval(asked)), random).get();
                assert!((asked + 1..=asked + MOST_AHEAD).contains(&answer), "{asked} {answer}");
            }
        }
        assert_eq!(Interval::answer(Timestamp::ZERO, None, 0), Interval(0));
    }

    #[test]
    fn only_numbers_are_cursors() {
        assert_eq!(Interval::parse("12"), Some(Interval(12)));
        for other in ["", "-1", "+1", "1.0", "x", "9007199254740993", "99999999999999999999"] {
            assert_eq!(Interval::parse(other), None, "{other}");
        }
    }
}
