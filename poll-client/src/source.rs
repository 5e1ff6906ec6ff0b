//! Where a subscription's events come from. A source makes the requests and knows nothing of retries.
//!
//! The source of channels is in `reading.rs`, that of a job's steps in `pattern/progress.rs`.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;

use crate::backoff::Backoff;
use crate::error::Error;
use crate::message::{Closed, Event};
use crate::stats::Stats;

/// How requests are made.
pub(crate) trait Source: Send + 'static {
    type Item: Send + 'static;

    /// Makes a request, or reads a piece of the open answer. After an error the next step makes a new request at the same
    /// position.
    fn step(&mut self, out: &mut Out<Self::Item>) -> impl Future<Output = Result<(), Error>> + Send;

    /// Called before an item is taken from the queue, from which it may take those no longer wanted.
    fn refresh(&mut self, out: &mut Out<Self::Item>) {
        let _ = out;
    }

    /// Called for each item that is returned.
    fn returned(&mut self, item: &Self::Item) {
        let _ = item;
    }

    /// Called when all items have been returned.
    fn returned_all(&mut self) {}
}

/// The output of steps.
pub(crate) struct Out<T> {
    pub(crate) queue: VecDeque<T>,
    pub(crate) backoff: Backoff,
    pub(crate) stats: Arc<Stats>,
    phase: Phase,
    pub(crate) health: Health,
}

/// Whether the last request succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    Fine,
    Failing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    Ended,
}

impl<T> Out<T> {
    pub(crate) fn new(backoff: Backoff, stats: Arc<Stats>) -> Self {
        Self { queue: VecDeque::new(), backoff, stats, phase: Phase::Running, health: Health::Fine }
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.phase == Phase::Ended
    }

    /// Ends the subscription once the queue is empty.
    pub(crate) fn end(&mut self) {
        self.phase = Phase::Ended;
    }

    pub(crate) fn has_news(&self) -> bool {
        !self.queue.is_empty() || self.has_ended()
    }
}

impl Out<Event> {
    /// The channel ended.
    pub(crate) fn close(&mut self) {
        self.queue.push_back(Event::Closed { reason: Closed::Ended });
        self.end();
    }
}
