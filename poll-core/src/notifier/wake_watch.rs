//! Following the wakes of a [`Lane`](crate::Lane): what a worker needs to measure them by.
//!
//! Here a wake is a number. When it was, and what became of it, is the watcher's business: the notifier has no clock.

use std::num::NonZeroU64;

/// One notification of one channel. No two of a notifier are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wake(NonZeroU64);

/// Is told of the wakes of a lane. Called without any lock.
pub trait WakeWatch: Send + Sync {
    /// Waiters of the lane are about to be woken, because their channel was notified. Called by publishers, once for all of
    /// them, so it must be brief.
    fn woken(&self, wake: Wake);

    /// A waiter that was woken runs, and reads next. Also called for waiters that were woken for another reason, with a wake
    /// that [`woken`](Self::woken) was not told of.
    fn resumed(&self, wake: Wake);

    /// A waiter left before it could run.
    fn left(&self, wake: Wake);
}

impl Wake {
    pub(super) const fn new(number: NonZeroU64) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> NonZeroU64 {
        self.0
    }
}
