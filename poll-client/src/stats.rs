//! Counters of a subscription or a client, to be read while it runs.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of one subscription, or of a client's single requests.
#[derive(Debug, Default)]
pub struct Stats {
    pub(crate) requests: Counter,
    pub(crate) empty_answers: Counter,
    pub(crate) body_bytes: Counter,
    pub(crate) messages: Counter,
    pub(crate) missed: Counter,
    pub(crate) retries: Counter,
    pub(crate) pushed: Counter,
}

#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

/// A snapshot of [`Stats`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests, including retries.
    pub requests: u64,
    /// Answers to polls without a message: 304, or an empty list.
    pub empty_answers: u64,
    /// Bytes of answers' bodies, pushed ones included, without heads and framing.
    pub body_bytes: u64,
    /// Messages returned.
    pub messages: u64,
    /// Messages missed, as far as the server could count them.
    pub missed: u64,
    /// Failures that were retried.
    pub retries: u64,
    /// Those of `messages` that came by HTTP/2 push.
    pub pushed: u64,
}

impl Stats {
    /// Reads the counters, not atomically as a whole.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let read = |counter: &Counter| counter.0.load(Ordering::Relaxed);
        Counts {
            requests: read(&self.requests),
            empty_answers: read(&self.empty_answers),
            body_bytes: read(&self.body_bytes),
            messages: read(&self.messages),
            missed: read(&self.missed),
            retries: read(&self.retries),
            pushed: read(&self.pushed),
        }
    }
}

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }
}
