//! One reader of a broadcast, as its own body sees it: it joins, lends its socket, and takes it back.

use std::sync::{Arc, Weak};
use std::task::Waker;

use poll_core::{ChannelName, Cursor};

use crate::message::shared_writer::{Back, Lent, lock};
use crate::stream::broadcast::readers::{Broadcast, Broadcasts, Reader, Task};
use crate::stream::broadcast::task;
use crate::stream::style::Style;
use crate::worker::Worker;

/// Sockets on the list whose readers have left, before it is gone through for them alone, beside as many as are there:
/// a reader that leaves pays for a few places of the list, however long it is.
const MOST_GONE: usize = 64;

/// A reader of a broadcast.
pub(crate) struct Member {
    broadcast: Arc<Broadcast>,
    /// What is on the task's list, once the socket was lent.
    listed: Option<Reader>,
}

impl Broadcasts {
    /// Joins the broadcast of a channel.
    pub(crate) fn join(&self, worker: &Worker, channel: &ChannelName, style: Style) -> Member {
        Member { broadcast: self.enter(worker, channel, style), listed: None }
    }
}

impl Member {
    /// Lends the reader's socket, which `share` gives, if that is of any use. The reader was given everything up to
    /// `at`; `waker` wakes its connection.
    pub(crate) fn lend(&mut self, at: Cursor, share: &mut dyn FnMut() -> Weak<Lent>, waker: &Waker) -> bool {
        if self.broadcast.state().readers < 2 {
            return false;
        }
        let socket = self.listed.as_ref().map_or_else(share, |reader| reader.socket.clone());
        let Some(lent) = socket.upgrade() else { return false };
        let mut lending = lock(&lent);
        lending.lend(at, waker);
        let listed = self.listed.as_ref().is_some_and(|reader| reader.listing == lending.listing());
        let listing = if listed { lending.listing() } else { lending.relist() };
        drop(lending);
        let reader = Reader { socket, listing };
        if !listed {
            self.listed = Some(reader.clone());
        }
        self.expect(at, reader, !listed);
        true
    }

    /// Sees to it that the task serves a reader that is at `at`.
    fn expect(&self, at: Cursor, reader: Reader, new: bool) {
        let mut state = self.broadcast.state();
        if new {
            state.listed += 1;
            state.new.push(reader.clone());
        }
        match state.task {
            Task::Absent => {
                state.task = Task::Busy;
                drop(state);
                task::spawn(self.broadcast.clone());
            }
            // The task waits for what comes after just this position.
            Task::CaughtUp(caught_up) if caught_up == Some(at) => {}
            Task::Busy | Task::CaughtUp(_) => {
                state.late.push(reader);
                drop(state);
                self.broadcast.called.notify_one();
            }
        }
    }

    /// Takes the socket back, if it is lent.
    pub(crate) fn take_back(&mut self) -> Option<Back> {
        let socket = self.listed.as_ref()?.socket.upgrade()?;
        lock(&socket).take_back()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if let Some(socket) = self.listed.take().and_then(|reader| reader.socket.upgrade()) {
            let mut lent = lock(&socket);
            let _ = lent.take_back();
            lent.relist();
        }
        let mut state = self.broadcast.state();
        state.readers -= 1;
        state.stale |= state.readers == 0 || state.listed > 2 * state.readers + MOST_GONE;
        let call = state.stale && state.task != Task::Absent;
        drop(state);
        if call {
            self.broadcast.called.notify_one();
        }
    }
}
