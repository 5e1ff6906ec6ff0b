//! A gate that holds syncs for as long as a test wants.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

/// Whether syncs pass at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Free,
    /// This many pass, then each waits to be let through.
    Held(u64),
    /// One waits.
    Waiting,
    /// The one that waits may pass; the next is held again.
    Passing,
}

impl Gate {
    /// Holds syncs after `count` more.
    pub(crate) fn hold_after(&self, count: u64) {
        *self.lock() = State::Held(count);
    }

    /// Waits until a sync is held.
    pub(crate) fn wait_for_sync(&self) {
        drop(self.wait_while(self.lock(), |state| *state != State::Waiting));
    }

    /// Whether a sync is held.
    pub(crate) fn is_waited_at(&self) -> bool {
        *self.lock() == State::Waiting
    }

    /// Lets the held sync pass; the next is held again.
    pub(crate) fn pass_one(&self) {
        *self.lock() = State::Passing;
        self.changed.notify_all();
    }

    /// Lets all syncs pass from now on.
    pub(crate) fn free(&self) {
        *self.lock() = State::Free;
        self.changed.notify_all();
    }

    /// Called by each sync; returns once it may proceed.
    pub(super) fn enter(&self) {
        let mut state = self.lock();
        match *state {
            State::Held(0) => {
                *state = State::Waiting;
                self.changed.notify_all();
                state = self.wait_while(state, |state| *state == State::Waiting);
                if *state == State::Passing {
                    *state = State::Held(0);
                }
            }
            State::Held(left) => *state = State::Held(left - 1),
            State::Free | State::Waiting | State::Passing => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while<'a>(
        &self,
        state: MutexGuard<'a, State>,
        condition: impl Fn(&mut State) -> bool,
    ) -> MutexGuard<'a, State> {
        self.changed.wait_while(state, condition).unwrap_or_else(PoisonError::into_inner)
    }
}
