//! The time of Redis, which gives messages their times, as this server sees it.
//!
//! The servers that share a log may have clocks that differ. Whatever compares a time with those of messages (their age, a
//! seal) therefore uses this clock: the server's own, corrected to that of Redis every second.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::environment::Environment;
use crate::types::Timestamp;

/// The server's clock and how far it is behind Redis' clock, in microseconds.
pub(crate) struct Clock {
    environment: Environment,
    behind: AtomicI64,
}

impl Clock {
    pub(crate) fn new(environment: Environment) -> Self {
        Self { environment, behind: AtomicI64::new(0) }
    }

    /// The time at Redis.
    pub(crate) fn now(&self) -> Timestamp {
        let here = micros(self.environment.now());
        Timestamp::from_micros(here.saturating_add(self.behind.load(Ordering::Relaxed)).max(0).unsigned_abs())
    }

    /// The server's own time, to be given to [`correct`](Self::correct).
    pub(crate) fn here(&self) -> Timestamp {
        self.environment.now()
    }

    /// How far the server's clock is behind that of a Redis, in microseconds, if Redis said `there` between `asked` and
    /// now. `known` is what was known before: it stays as it is as long as it can be right, so that an answer that was
    /// long on its way changes nothing.
    pub(crate) fn behind(&self, known: Option<i64>, asked: Timestamp, there: Timestamp) -> i64 {
        let (asked, there, here) = (micros(asked), micros(there), micros(self.environment.now()));
        let known = known.unwrap_or_else(|| self.behind.load(Ordering::Relaxed));
        // The server's own clock may have been set back meanwhile.
        let (least, most) = (there - here.max(asked), there - asked);
        known.clamp(least, most)
    }

    /// Sets how far the server's clock is behind.
    pub(crate) fn set(&self, behind: i64) {
        self.behind.store(behind, Ordering::Relaxed);
    }
}

fn micros(at: Timestamp) -> i64 {
    i64::try_from(at.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_off_is_corrected() {
        let at = |seconds: u64| Timestamp::from_millis(seconds * 1_000);
        let clock = Clock::new(Environment::system().with_clock(move || at(10_010)));
        clock.set(clock.behind(None, at(10_010), at(13_605)));
        assert_eq!(clock.now(), at(13_605));
        clock.set(clock.behind(None, at(10_010), at(6_405)));
        assert_eq!(clock.now(), at(6_405));
    }

    #[test]
    fn an_answer_that_was_long_on_its_way_changes_nothing() {
        let at = |seconds: u64| Timestamp::from_millis(seconds * 1_000);
        let clock = Clock::new(Environment::system().with_clock(move || at(10_010)));
        // Whether Redis answered at once or at last, or anywhere between.
        for there in [at(10_000), at(10_005), at(10_010)] {
            clock.set(clock.behind(None, at(10_000), there));
            assert_eq!(clock.now(), at(10_010));
        }
        // It cannot have said this.
        clock.set(clock.behind(None, at(10_000), at(10_012)));
        assert_eq!(clock.now(), at(10_012));
    }
}
