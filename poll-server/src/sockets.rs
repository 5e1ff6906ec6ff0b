//! How many connections are open, and how many may be.
//!
//! What: a count with a bound; a [`Held`] lives as long as its connection.
//! Why: beyond the bound accepting pauses (the kernel's queue holds the crowd), rather than running out of
//! descriptors in the middle of an answer.
//! Not here: who is accepted (`accept.rs`), what waits on a connection (poll-http's admission).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::Notify;

use crate::config::MaxSockets;

/// Open connections of the whole process. Clones count together.
#[derive(Clone, Debug)]
pub(crate) struct Sockets(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    open: AtomicUsize,
    most: usize,
    /// Rung at each close; nobody waits on it unless accepting is paused or the server drains.
    closed: Notify,
}

impl Sockets {
    pub(crate) fn new(most: usize) -> Self {
        Self(Arc::new(Inner { open: AtomicUsize::new(0), most, closed: Notify::new() }))
    }

    pub(crate) fn open(&self) -> usize {
        self.0.open.load(Ordering::Acquire)
    }

    pub(crate) fn most(&self) -> usize {
        self.0.most
    }

    pub(crate) fn is_full(&self) -> bool {
        self.open() >= self.0.most
    }

    /// Counts one more. Only the acceptor calls this, so `is_full` before it cannot be raced.
    pub(crate) fn hold(&self, load: &Arc<AtomicUsize>) -> Held {
        self.0.open.fetch_add(1, Ordering::AcqRel);
        load.fetch_add(1, Ordering::Relaxed);
        Held { sockets: self.0.clone(), load: load.clone() }
    }

    /// Returns once there is room for another.
    pub(crate) async fn until_room(&self) {
        self.until(|open| open < self.0.most).await;
    }

    /// Returns once the last one is closed.
    pub(crate) async fn until_none(&self) {
        self.until(|open| open == 0).await;
    }

    async fn until(&self, holds: impl Fn(usize) -> bool) {
        loop {
            let closed = self.0.closed.notified();
            let mut closed = std::pin::pin!(closed);
            // Listen first, look then: a close in between is heard.
            closed.as_mut().enable();
            if holds(self.open()) {
                return;
            }
            closed.await;
        }
    }
}

/// One open connection; dropping it says that the connection is closed.
#[derive(Debug)]
pub(crate) struct Held {
    sockets: Arc<Inner>,
    /// The share of the worker that serves it.
    load: Arc<AtomicUsize>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.load.fetch_sub(1, Ordering::Relaxed);
        self.sockets.open.fetch_sub(1, Ordering::AcqRel);
        self.sockets.closed.notify_waiters();
    }
}

/// Raises this process's soft limit of open files to the hard one and returns what is in force, if limited.
pub(crate) fn raise_open_files() -> Option<u64> {
    let before = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: before.maximum, maximum: before.maximum };
    match setrlimit(Resource::Nofile, wanted) {
        Ok(()) => before.maximum,
        Err(error) => {
            tracing::warn!("the open-file limit stays at {:?}: {error}", before.current);
            before.current
        }
    }
}

/// The bound in force for `asked` under an open-file limit of `files`.
pub(crate) fn bound(asked: MaxSockets, files: Option<u64>) -> usize {
    let bound = match asked {
        MaxSockets::Unlimited => u64::MAX,
        MaxSockets::ShareOfFiles => files.map_or(u64::MAX, |files| (files / 10 * 9).max(1)),
        MaxSockets::At(most) => {
            if files.is_some_and(|files| most.get() >= files) {
                tracing::warn!("max-sockets {most} is more than the open-file limit {files:?} allows");
            }
            most.get()
        }
    };
    usize::try_from(bound).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU64;

    #[test]
    fn the_share_is_nine_tenths_and_never_nothing() {
        assert_eq!(bound(MaxSockets::ShareOfFiles, Some(1_024)), 918);
        assert_eq!(bound(MaxSockets::ShareOfFiles, Some(3)), 1);
        assert_eq!(bound(MaxSockets::ShareOfFiles, None), usize::MAX);
        assert_eq!(bound(MaxSockets::At(NonZeroU64::MIN), Some(1_024)), 1);
    }

    #[test]
    fn a_held_socket_counts_until_it_is_dropped() {
        let (sockets, load) = (Sockets::new(1), Arc::default());
        let held = sockets.hold(&load);
        assert!(sockets.is_full());
        assert_eq!(load.load(Ordering::Relaxed), 1);
        drop(held);
        assert_eq!((sockets.open(), load.load(Ordering::Relaxed)), (0, 0));
    }
}
