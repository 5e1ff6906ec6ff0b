//! What waits to be read from the file.

use std::collections::VecDeque;

use tokio::sync::Notify;

use super::fault::unavailable;
use crate::sync::Mutex;
use crate::types::JournalError;

/// A read, which answers by itself. Called with an error, it answers with that instead.
pub(super) type Read = Box<dyn FnOnce(Result<(), JournalError>) + Send>;

/// The queue of all readers.
#[derive(Default)]
pub(super) struct ReadQueue {
    state: Mutex<State>,
    /// Wakes one reader, or keeps the notification for the next that comes.
    notify: Notify,
}

#[derive(Default)]
struct State {
    reads: VecDeque<Read>,
    closed: bool,
}

impl ReadQueue {
    pub(super) fn push(&self, read: Read) {
        let mut state = self.state.lock();
        if state.closed {
            drop(state);
            return read(Err(unavailable("it is closed")));
        }
        state.reads.push_back(read);
        drop(state);
        self.notify.notify_one();
    }

    /// Accepts nothing more, and fails what is still waiting.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        let left = std::mem::take(&mut state.reads);
        drop(state);
        self.notify.notify_waiters();
        left.into_iter().for_each(|read| read(Err(unavailable("it is closed"))));
    }

    /// The next one; `None` once the queue is closed.
    pub(super) async fn next(&self) -> Option<Read> {
        loop {
            // Made before the queue is looked at, so that what comes after that is noticed.
            let notified = self.notify.notified();
            {
                let mut state = self.state.lock();
                let next = state.reads.pop_front();
                if next.is_some() || state.closed {
                    return next;
                }
            }
            notified.await;
        }
    }
}
