//! Where hoarding goes, how long, and what the server said to it.

use std::cell::Cell;
use std::net::SocketAddr;

use tokio::time::Instant;

/// A server, and how it answered one kind of hoarding.
pub(super) struct Target {
    pub(super) address: SocketAddr,
    pub(super) until: Instant,
    pub(super) requests: Cell<u64>,
    /// 408, 429, 503, 507 and refused streams.
    pub(super) refused: Cell<u64>,
    /// Connections that the server closed.
    pub(super) cut: Cell<u64>,
}

impl Target {
    pub(super) fn new(address: SocketAddr, until: Instant) -> Self {
        let (requests, refused, cut) = (Cell::new(0), Cell::new(0), Cell::new(0));
        Self { address, until, requests, refused, cut }
    }

    pub(super) fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }

    /// Counts an answer.
    pub(super) fn told(&self, status: u16) {
        count(&self.requests);
        if matches!(status, 408 | 429 | 503 | 507) {
            count(&self.refused);
        }
    }
}

pub(super) fn count(counter: &Cell<u64>) {
    counter.set(counter.get() + 1);
}
