//! Idle HTTP/1.1 connections to the one server a client talks to, kept for the next request.
//!
//! Why our own: hyper's client connection is one connection and nothing else, and a client of one server needs a
//! list, a bound and an age. The one used last is used next, so that those not needed grow old and go.
//!
//! What it leaves alone: opening connections, and whether a request may be sent twice.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::SendRequest;
use tokio::time::{Instant, timeout};

/// How long a kept connection may take to be ready for a request.
const READY_WITHIN: Duration = Duration::from_millis(100);

pub(crate) type Sender = SendRequest<Full<Bytes>>;

/// How many connections are kept, and how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keep {
    pub(crate) idle: usize,
    pub(crate) idle_for: Duration,
}

#[derive(Debug)]
pub(crate) struct Pool {
    keep: Keep,
    /// Oldest first. Held for a push or a pop, never over an await.
    shelf: Mutex<Shelf>,
}

#[derive(Debug, Default)]
struct Shelf {
    idle: Vec<Idle>,
    /// A task waits for the oldest to expire; it ends when the shelf is empty.
    reaper: Reaper,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Reaper {
    #[default]
    Absent,
    Running,
}

#[derive(Debug)]
struct Idle {
    sender: Sender,
    since: Instant,
}

impl Pool {
    pub(crate) fn new(keep: Keep) -> Arc<Self> {
        Arc::new(Self { keep, shelf: Mutex::default() })
    }

    /// A connection that was still open when last heard of.
    pub(crate) async fn take(&self) -> Option<Sender> {
        while let Some(mut sender) = self.pop() {
            // Its task may not have seen the end of the last answer yet; that is a moment, or something is wrong with it.
            if matches!(timeout(READY_WITHIN, sender.ready()).await, Ok(Ok(()))) {
                return Some(sender);
            }
        }
        None
    }

    fn pop(&self) -> Option<Sender> {
        let mut shelf = self.shelf();
        shelf.drop_expired(self.keep.idle_for);
        shelf.idle.pop().map(|idle| idle.sender)
    }

    /// Keeps a connection whose answer was read to its end.
    pub(crate) fn put(self: &Arc<Self>, sender: Sender) {
        if sender.is_closed() || self.keep.idle == 0 {
            return;
        }
        let mut shelf = self.shelf();
        shelf.drop_expired(self.keep.idle_for);
        if shelf.idle.len() >= self.keep.idle {
            shelf.idle.remove(0);
        }
        shelf.idle.push(Idle { sender, since: Instant::now() });
        if shelf.reaper == Reaper::Absent {
            shelf.reaper = Reaper::Running;
            tokio::spawn(reap(Arc::downgrade(self)));
        }
    }

    /// When the oldest expires; the reaper's leave to go if there is none.
    fn next_expiry(&self) -> Option<Instant> {
        let mut shelf = self.shelf();
        shelf.drop_expired(self.keep.idle_for);
        let oldest = shelf.idle.first().map(|idle| idle.since + self.keep.idle_for);
        if oldest.is_none() {
            shelf.reaper = Reaper::Absent;
        }
        oldest
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf {
    fn drop_expired(&mut self, idle_for: Duration) {
        self.idle.retain(|idle| idle.since.elapsed() < idle_for && !idle.sender.is_closed());
    }
}

/// Closes what grows old even when no request comes to notice it. Keeps nothing alive but itself.
async fn reap(pool: Weak<Pool>) {
    while let Some(at) = pool.upgrade().and_then(|pool| pool.next_expiry()) {
        tokio::time::sleep_until(at).await;
    }
}
