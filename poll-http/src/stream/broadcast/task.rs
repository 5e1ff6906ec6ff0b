//! The task of a broadcast: it waits for messages, makes a pass, and waits again.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, Waker};

use crate::message::shared_writer::lock;
use crate::stream::broadcast::pass::{Pass, Reason};
use crate::stream::broadcast::readers::{Broadcast, Reader, Task};
use crate::stream::subject::Subject;
use crate::worker::budget;

/// A running task. If it is dropped before its end, as when its runtime shuts down, the connections take over.
struct Running<S: Subject> {
    broadcast: Arc<Broadcast<S>>,
    pass: Pass<S>,
    /// It has finished, and recorded that.
    ended: bool,
}

/// Starts the task of a broadcast, whose state is `Busy` already.
pub(super) fn spawn<S: Subject>(broadcast: Arc<Broadcast<S>>, intake_changes: u32) {
    let running = Running { broadcast, pass: Pass::new(intake_changes), ended: false };
    // Exempt from tokio's cooperative budget: its slices are its own.
    tokio::spawn(tokio::task::unconstrained(run(running)));
}

async fn run<S: Subject>(mut running: Running<S>) {
    let broadcast = running.broadcast.clone();
    let mut wait: Option<S::Wait> = None;
    let mut reason = Reason::News;
    loop {
        if !running.pass.begin(&broadcast, reason) {
            running.ended = true;
            return;
        }
        while running.pass.slice(&broadcast) {
            // Lets the runtime poll sockets.
            if budget::is_over() {
                poll_fn(budget::poll_go_on).await;
            } else {
                tokio::task::yield_now().await;
            }
        }
        let Some(caught_up) = running.pass.end(&broadcast) else {
            broadcast.called.notified().await;
            reason = Reason::Called;
            continue;
        };
        let wait = wait.get_or_insert_with(|| broadcast.key.0.wait(&broadcast.worker, &caught_up));
        S::wait_again(wait, &caught_up);
        let mut waited = false;
        let news = poll_fn(|cx| {
            // Drain and intake are checked after registering, as their changes wake registered waiters just once.
            let woken = Pin::new(&mut *wait).poll(cx).is_ready()
                || broadcast.worker.drain().is_draining()
                || running.pass.is_outdated(&broadcast);
            waited |= !woken;
            if woken { Poll::Ready(()) } else { Poll::Pending }
        });
        reason = tokio::select! {
            biased;
            () = news => Reason::News,
            () = broadcast.called.notified() => Reason::Called,
        };
        if !waited {
            // Messages may be published faster than passes are made, and a pass may be less than a slice.
            tokio::task::yield_now().await;
        }
    }
}

impl<S: Subject> Drop for Running<S> {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let mut state = self.broadcast.state();
        let mut readers = self.pass.take_readers();
        readers.append(&mut state.new);
        (state.task, state.listed) = (Task::Absent, 0);
        state.late.clear();
        drop(state);
        for Reader { socket, listing } in readers {
            let Some(socket) = socket.upgrade() else { continue };
            let mut writer = lock(&socket);
            if writer.listing() == listing {
                writer.leave_lists();
                let waker = writer.hand_back();
                drop(writer);
                waker.into_iter().for_each(Waker::wake);
            }
        }
    }
}
