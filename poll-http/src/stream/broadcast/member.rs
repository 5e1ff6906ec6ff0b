//! One reader of a broadcast, as seen by its body: it joins, hands its socket over, and takes it back.

use std::sync::{Arc, Weak};
use std::task::Waker;

use crate::message::shared_writer::{Returned, SharedWriter, lock};
use crate::stream::broadcast::readers::{Broadcast, Broadcasts, Reader, Task};
use crate::stream::broadcast::task;
use crate::stream::style::Style;
use crate::stream::subject::Subject;
use crate::worker::Worker;

/// The list is cleaned once entries of readers that have left outnumber the readers by this many: so a reader that leaves
/// pays for a few entries, however long the list is.
const MOST_GONE: usize = 64;

/// A reader of a broadcast.
pub(crate) struct Member<S: Subject> {
    broadcast: Arc<Broadcast<S>>,
    /// Its entry in the task's list, once its socket was shared.
    listed: Option<Reader>,
}

impl<S: Subject> Broadcasts<S> {
    /// Joins the broadcast of a subject.
    pub(crate) fn join(&self, worker: &Worker, subject: &S, style: Style) -> Member<S> {
        Member { broadcast: self.enter(worker, subject, style), listed: None }
    }
}

impl<S: Subject> Member<S> {
    /// Hands over the reader's socket, obtained from `share`, unless the reader is alone. The reader has everything up to
    /// `at`; `waker` wakes its connection.
    pub(crate) fn hand_over(
        &mut self,
        at: &S::At,
        share: &mut dyn FnMut() -> Weak<SharedWriter>,
        waker: &Waker,
    ) -> bool {
        if self.broadcast.state().readers < 2 {
            return false;
        }
        let socket = self.listed.as_ref().map_or_else(share, |reader| reader.socket.clone());
        let Some(shared) = socket.upgrade() else { return false };
        let mut writer = lock(&shared);
        writer.hand_over(at.clone().into(), waker);
        let listed = self.listed.as_ref().is_some_and(|reader| reader.listing == writer.listing());
        let listing = if listed { writer.listing() } else { writer.leave_lists() };
        drop(writer);
        let reader = Reader { socket, listing };
        if !listed {
            self.listed = Some(reader.clone());
        }
        self.expect(at, reader, !listed);
        true
    }

    /// Makes sure that the task serves a reader at `at`.
    fn expect(&self, at: &S::At, reader: Reader, new: bool) {
        let mut state = self.broadcast.state();
        if new {
            state.listed += 1;
            state.new.push(reader.clone());
        }
        match &state.task {
            Task::Absent => {
                state.task = Task::Busy;
                let intake_changes = self.broadcast.worker.intake().changes();
                drop(state);
                task::spawn(self.broadcast.clone(), intake_changes);
            }
            // The task waits for messages after this very position.
            Task::CaughtUp(caught_up) if caught_up.as_ref() == Some(at) => {}
            Task::Busy | Task::CaughtUp(_) => {
                state.late.push(reader);
                drop(state);
                self.broadcast.called.notify_one();
            }
        }
    }

    /// Takes the socket back, if it was handed over.
    pub(crate) fn take_back(&mut self) -> Option<Returned> {
        let socket = self.listed.as_ref()?.socket.upgrade()?;
        lock(&socket).take_back()
    }
}

impl<S: Subject> Drop for Member<S> {
    fn drop(&mut self) {
        if let Some(socket) = self.listed.take().and_then(|reader| reader.socket.upgrade()) {
            let mut writer = lock(&socket);
            let _ = writer.take_back();
            writer.leave_lists();
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
