//! The time of Redis, which gives messages their times, as this server sees it.
//!
//! The servers that share a log may have clocks that differ. Whatever compares a time with those of messages (their age, a
//! seal) therefore uses this clock: the server's own, corrected to that of Redis every second.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::environment::Environment;
use crate::types::Timestamp;

/// The server's clock and how far it is behind Redis' clock, in microseconds.
pub(super) struct Clock {
    environment: Environment,
    behind: AtomicI64,
}

impl Clock {
    pub(super) fn new(environment: Environment) -> Self {
        Self { environment, behind: AtomicI64::new(0) }
    }

    /// The time at Redis.
    pub(super) fn now(&self) -> Timestamp {
        let here = micros(self.environment.now());
        Timestamp::from_micros(here.saturating_add(self.behind.load(Ordering::Relaxed)).max(0).unsigned_abs())
    }

    /// The server's own time, to be given to [`correct`](Self::correct).
    pub(super) fn here(&self) -> Timestamp {
        self.environment.now()
    }

    /// How far the server's clock is behind that of a Redis, in microseconds, if Redis said `there` between `asked` and now.
    pub(super) fn behind(&self, asked: Timestamp, there: Timestamp) -> i64 {
        let (asked, here) = (micros(asked), micros(self.environment.now()));
        micros(there) - (asked + (here - asked) / 2)
    }

    /// Sets how far the server's clock is behind.
    pub(super) fn set(&self, behind: i64) {
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
        // Asked at 10 000 s and answered at 10 010 s, Redis said 13 605 s in the middle.
        let behind = clock.behind(at(10_000), at(13_605));
        clock.set(behind);
        assert_eq!(clock.now(), at(13_610));
        clock.set(clock.behind(at(10_000), at(6_405)));
        assert_eq!(clock.now(), at(6_410));
    }
}
