//! Bugs that are planted on purpose, to show that the simulation finds such.
//!
//! Only a build with `--cfg poll_planted` has them, which is that of `cargo xtask simulate`, and in it only a thread that calls
//! `plant`. In any other build [`is`] is `false` before it is called, and the compiler leaves nothing of them.

#[cfg(poll_planted)]
use std::cell::Cell;

/// A bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// A publish is acknowledged when it is written, and not synced.
    EarlyAcknowledgement,
    /// A record counts whatever its checksum.
    SkippedChecksum,
    /// One of several waiters is not woken.
    LostWakeUp,
    /// Recovery begins one segment too late.
    OffByOne,
    /// A reader to whom nothing was given is told the time of day as its position.
    CursorFromTheClock,
}

#[cfg(poll_planted)]
thread_local! {
    static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
}

/// Plants a bug on this thread, in place of any other.
#[cfg(poll_planted)]
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

/// Whether this bug is planted on this thread.
#[cfg(poll_planted)]
#[must_use]
pub fn is(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

/// Never.
#[cfg(not(poll_planted))]
#[must_use]
#[inline(always)]
pub const fn is(_: Bug) -> bool {
    false
}
