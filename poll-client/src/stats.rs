//! Counters of a subscription or a client, to be read while it runs.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of one subscription, or of a client's single requests.
#[derive(Debug, Default)]
pub struct Stats {
    requests: AtomicU64,
    empty_answers: AtomicU64,
    body_bytes: AtomicU64,
    messages: AtomicU64,
    missed: AtomicU64,
    retries: AtomicU64,
    pushed: AtomicU64,
}

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
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
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

    pub(crate) fn request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn empty_answer(&self) {
        self.empty_answers.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn body(&self, bytes: usize) {
        self.body_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn message(&self) {
        self.messages.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn missed(&self, messages: u64) {
        self.missed.fetch_add(messages, Ordering::Relaxed);
    }

    pub(crate) fn retry(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn pushed(&self) {
        self.pushed.fetch_add(1, Ordering::Relaxed);
    }
}
