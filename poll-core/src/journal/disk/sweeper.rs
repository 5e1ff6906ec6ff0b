//! Visits all rows of a table in turn, a few at a time, then pauses.

use std::time::Duration;

use crate::types::Timestamp;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Sweeper {
    /// The row to continue with.
    pub(super) next: u64,
    finished: Option<Timestamp>,
}

impl Sweeper {
    /// Whether to leave the table alone, because the last row was visited less than `pause` ago.
    pub(super) fn pauses(&self, now: Timestamp, pause: Duration) -> bool {
        let is_recent = |finished: Timestamp| finished <= now && now.since(finished) < pause;
        self.next == 0 && self.finished.is_some_and(is_recent)
    }

    /// The last row was visited.
    pub(super) fn finish(&mut self, now: Timestamp) {
        *self = Self { next: 0, finished: Some(now) };
    }
}
