//! Figures of what the journal has done.

use std::sync::atomic::{AtomicU64, Ordering};

/// What is counted since the journal was connected.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) publishes: AtomicU64,
    pub(crate) batches: AtomicU64,
    pub(crate) in_flight: AtomicU64,
    pub(crate) reconnects: AtomicU64,
    pub(crate) generations: AtomicU64,
    pub(crate) resyncs: AtomicU64,
}

/// What the journal has done since it was connected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Publishes that were sent.
    pub publishes: u64,
    /// Batches that they were sent in.
    pub batches: u64,
    /// Publishes that are on their way now.
    pub in_flight: u64,
    /// Bytes of publishes that wait or are on their way now.
    pub queued_bytes: u64,
    /// Connections that ended or could not be opened.
    pub reconnects: u64,
    /// Generations that this server began because Redis had lost something, or was new.
    pub generations: u64,
    /// Comparisons of channels in memory with the log, after something may have been missed.
    pub resyncs: u64,
}

impl Counters {
    pub(crate) fn figures(&self, queued_bytes: u64) -> Figures {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Figures {
            publishes: get(&self.publishes),
            batches: get(&self.batches),
            in_flight: get(&self.in_flight),
            queued_bytes,
            reconnects: get(&self.reconnects),
            generations: get(&self.generations),
            resyncs: get(&self.resyncs),
        }
    }
}
