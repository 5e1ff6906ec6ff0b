//! The pool of idle HTTP/1.1 connections to the client's one server.
//!
//! The connection used last is used next, so that those not needed expire.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::SendRequest;
use tokio::time::{Instant, timeout};

/// How long an idle connection may take to become ready.
const READY_WITHIN: Duration = Duration::from_millis(100);

pub(crate) type Sender = SendRequest<Full<Bytes>>;

/// How many idle connections are kept, and how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keep {
    pub(crate) idle: usize,
    pub(crate) idle_for: Duration,
}

#[derive(Debug)]
pub(crate) struct Pool {
    keep: Keep,
    /// Locked for a push or a pop, never across an await.
    idle: Mutex<IdleConnections>,
}

#[derive(Debug, Default)]
struct IdleConnections {
    /// Oldest first.
    list: Vec<Idle>,
    /// The task that closes expired connections; it ends when there are none.
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
        Arc::new(Self { keep, idle: Mutex::default() })
    }

    /// An idle connection that is not known to be closed.
    pub(crate) async fn take(&self) -> Option<Sender> {
        while let Some(mut sender) = self.pop() {
            // Its task may still have to process the end of the last answer, which takes a moment.
            if matches!(timeout(READY_WITHIN, sender.ready()).await, Ok(Ok(()))) {
                return Some(sender);
            }
        }
        None
    }

    fn pop(&self) -> Option<Sender> {
        let mut idle = self.idle();
        idle.drop_expired(self.keep.idle_for);
        idle.list.pop().map(|idle| idle.sender)
    }

    /// Returns a connection whose answer was read to its end.
    pub(crate) fn put(self: &Arc<Self>, sender: Sender) {
        if sender.is_closed() || self.keep.idle == 0 {
            return;
        }
        let mut idle = self.idle();
        idle.drop_expired(self.keep.idle_for);
        if idle.list.len() >= self.keep.idle {
            idle.list.remove(0);
        }
        idle.list.push(Idle { sender, since: Instant::now() });
        if idle.reaper == Reaper::Absent {
            idle.reaper = Reaper::Running;
            tokio::spawn(reap(Arc::downgrade(self)));
        }
    }

    /// When the oldest connection expires. If there is none, the reaper ends.
    fn next_expiry(&self) -> Option<Instant> {
        let mut idle = self.idle();
        idle.drop_expired(self.keep.idle_for);
        let oldest = idle.list.first().map(|idle| idle.since + self.keep.idle_for);
        if oldest.is_none() {
            idle.reaper = Reaper::Absent;
        }
        oldest
    }

    fn idle(&self) -> MutexGuard<'_, IdleConnections> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl IdleConnections {
    fn drop_expired(&mut self, idle_for: Duration) {
        self.list.retain(|idle| idle.since.elapsed() < idle_for && !idle.sender.is_closed());
    }
}

/// Closes expired connections even when no request is made.
async fn reap(pool: Weak<Pool>) {
    while let Some(at) = pool.upgrade().and_then(|pool| pool.next_expiry()) {
        tokio::time::sleep_until(at).await;
    }
}
