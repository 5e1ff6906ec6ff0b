//! Whether the store accepts messages, as far as the streams of a worker are told.
//!
//! One task a worker watches the store's health (`Worker::drive`). On a change it wakes the worker's streams, and each
//! compares what it last said with what holds now: that is one byte a stream. Changes that cancel out before a stream
//! looks are not told.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};

use poll_core::journal::Health;
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

/// Whether the store accepts messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Intake {
    Open,
    Stalled,
}

/// A worker's knowledge of it. A clone is the same one.
#[derive(Clone, Default)]
pub(crate) struct IntakeWatch(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// How often it changed. It starts open, so odd is stalled.
    changes: AtomicU32,
    /// Notifies streams that read from the archive; those that wait for messages are woken through their lane.
    changed: Arc<Notify>,
}

impl IntakeWatch {
    pub(crate) fn now(&self) -> Intake {
        if self.changes().is_multiple_of(2) { Intake::Open } else { Intake::Stalled }
    }

    /// The number of changes so far, by which several changes are told from none.
    pub(crate) fn changes(&self) -> u32 {
        self.0.changes.load(Ordering::Acquire)
    }

    /// Takes the store's health over. Returns whether streams have to be woken. Called by one task.
    pub(crate) fn set(&self, health: &Health) -> bool {
        let intake = if *health == Health::Ready { Intake::Open } else { Intake::Stalled };
        if intake == self.now() {
            return false;
        }
        self.0.changes.fetch_add(1, Ordering::AcqRel);
        self.0.changed.notify_waiters();
        true
    }

    pub(crate) fn wait(&self) -> IntakeWait {
        IntakeWait { watch: self.clone(), notified: Box::pin(self.0.changed.clone().notified_owned()) }
    }
}

/// Waits for changes, for a stream that is not registered with a channel.
pub(crate) struct IntakeWait {
    watch: IntakeWatch,
    notified: Pin<Box<OwnedNotified>>,
}

impl IntakeWait {
    /// Ready once for each change, or for several together.
    pub(crate) fn poll_changed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let polled = self.notified.as_mut().poll(cx);
        if polled.is_ready() {
            self.notified = Box::pin(self.watch.0.changed.clone().notified_owned());
        }
        polled
    }
}
