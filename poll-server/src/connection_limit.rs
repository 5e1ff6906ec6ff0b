//! How many connections are open, in all and from each address, and how many may be.
//!
//! What: counts with bounds; an [`OpenConnection`] is counted until it is dropped.
//! Why: at the bound, accepting pauses and the kernel queues the rest, instead of running out of file descriptors in the
//! middle of an answer. No single address can reach the bound alone.
//! Not here: accepting (`accept.rs`), how long a new connection may stay silent (`first_byte.rs`), what waits on a
//! connection (poll-http's admission).

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use ipnet::IpNet;
use poll_core::environment::KeyedMap;
use poll_http::{Cut, Metrics, rate_limit_address};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use slab::Slab;
use tokio::sync::Notify;

use crate::config::{MaxSockets, MaxSocketsPerAddress};

/// The open connections of the whole process. Clones count together.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionLimit(Arc<Inner>);

/// How many connections may be open.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    /// In all.
    pub(crate) max: usize,
    /// From one address…
    pub(crate) per_address: usize,
    /// … unless it is one of these.
    pub(crate) proxies: Vec<IpNet>,
}

#[derive(Debug)]
struct Inner {
    open: AtomicUsize,
    bounds: Bounds,
    /// Open connections by address. Locked to count one more or less.
    addresses: Mutex<KeyedMap<IpAddr, usize>>,
    /// Locked to add or remove a waker, never while waking.
    silent: Mutex<Silent>,
    metrics: Metrics,
    /// Notified at each close; waited for only while accepting is paused or the server drains.
    closed: Notify,
}

/// Connections whose peer has sent nothing yet.
#[derive(Debug, Default)]
struct Silent {
    wakers: Slab<Waker>,
    /// How often all were woken; registrations from before that are void.
    round: u64,
}

/// A silent connection's entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Registration {
    key: usize,
    round: u64,
}

impl ConnectionLimit {
    pub(crate) fn new(bounds: Bounds, metrics: Metrics) -> Self {
        Self(Arc::new(Inner {
            open: AtomicUsize::new(0),
            bounds,
            addresses: Mutex::default(),
            silent: Mutex::default(),
            metrics,
            closed: Notify::new(),
        }))
    }

    pub(crate) fn count(&self) -> usize {
        self.0.open.load(Ordering::Acquire)
    }

    pub(crate) fn max(&self) -> usize {
        self.0.bounds.max
    }

    pub(crate) fn is_full(&self) -> bool {
        self.count() >= self.max()
    }

    /// Whether nine tenths of the bound are in use.
    pub(crate) fn is_scarce(&self) -> bool {
        self.count() >= self.max() - self.max() / 10
    }

    /// Counts one more connection; `None` if its address has as many as it may. Only the acceptor calls this, so the count
    /// cannot grow between `is_full` and here.
    pub(crate) fn open(&self, peer: IpAddr, load: &Arc<AtomicUsize>) -> Option<OpenConnection> {
        let address = self.0.admit(peer)?;
        self.0.open.fetch_add(1, Ordering::AcqRel);
        load.fetch_add(1, Ordering::Relaxed);
        if self.is_scarce() {
            self.0.wake_silent();
        }
        Some(OpenConnection { limit: self.0.clone(), address, load: load.clone() })
    }

    /// Has a silent connection woken once connections become scarce.
    pub(crate) fn register_silent(&self, waker: &Waker) -> Registration {
        let mut silent = self.0.silent();
        Registration { key: silent.wakers.insert(waker.clone()), round: silent.round }
    }

    /// A silent connection no longer waits for that.
    pub(crate) fn unregister(&self, registration: Registration) {
        let mut silent = self.0.silent();
        let waker = if silent.round == registration.round {
            silent.wakers.try_remove(registration.key)
        } else {
            None
        };
        drop(silent);
        // Dropping a waker may run a task's destructor, which must not happen under the lock.
        drop(waker);
    }

    /// A connection is closed because of a limit.
    pub(crate) fn cut(&self, cut: Cut) {
        self.0.metrics.cut(cut);
    }

    /// Returns once there is room for another.
    pub(crate) async fn until_room(&self) {
        self.until(|open| open < self.max()).await;
    }

    /// Returns once the last one is closed.
    pub(crate) async fn until_none(&self) {
        self.until(|open| open == 0).await;
    }

    async fn until(&self, holds: impl Fn(usize) -> bool) {
        loop {
            let closed = self.0.closed.notified();
            let mut closed = std::pin::pin!(closed);
            // Register before looking, so that a close in between is not missed.
            closed.as_mut().enable();
            if holds(self.count()) {
                return;
            }
            closed.await;
        }
    }
}

/// The address that a connection counts for, if any.
type Counted = Option<IpAddr>;

impl Inner {
    /// Counts one more for this address; `None` if that is one too many.
    fn admit(&self, peer: IpAddr) -> Option<Counted> {
        if self.bounds.per_address == usize::MAX || self.bounds.proxies.iter().any(|net| net.contains(&peer))
        {
            return Some(None);
        }
        let address = rate_limit_address(peer);
        let mut addresses = self.addresses();
        let open = addresses.entry(address).or_default();
        if *open >= self.bounds.per_address {
            return None;
        }
        *open += 1;
        Some(Some(address))
    }

    fn leave(&self, address: IpAddr) {
        let mut addresses = self.addresses();
        if let Some(open) = addresses.get_mut(&address) {
            *open -= 1;
            if *open == 0 {
                addresses.remove(&address);
            }
        }
    }

    fn wake_silent(&self) {
        let mut silent = self.silent();
        if silent.wakers.is_empty() {
            return;
        }
        silent.round += 1;
        let wakers: Vec<Waker> = silent.wakers.drain().collect();
        drop(silent);
        wakers.into_iter().for_each(Waker::wake);
    }

    // Nothing panics while it holds either lock.

    fn addresses(&self) -> MutexGuard<'_, KeyedMap<IpAddr, usize>> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn silent(&self) -> MutexGuard<'_, Silent> {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One open connection; it is closed when this is dropped.
#[derive(Debug)]
pub(crate) struct OpenConnection {
    limit: Arc<Inner>,
    address: Counted,
    /// The number of connections of the worker that serves it.
    load: Arc<AtomicUsize>,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.load.fetch_sub(1, Ordering::Relaxed);
        self.address.into_iter().for_each(|address| self.limit.leave(address));
        self.limit.open.fetch_sub(1, Ordering::AcqRel);
        self.limit.closed.notify_waiters();
    }
}

/// Raises this process's soft limit on open files to the hard one, and returns the limit in force, if there is one.
pub(crate) fn raise_open_files() -> Option<u64> {
    let before = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: before.maximum, maximum: before.maximum };
    match setrlimit(Resource::Nofile, wanted) {
        Ok(()) => before.maximum,
        Err(error) => {
            let files = before.current;
            tracing::warn!(files, %error, "the open-file limit stays at {files:?}: {error}");
            before.current
        }
    }
}

/// The limit that results from a setting and `files` open files.
pub(crate) fn bound(asked: MaxSockets, files: Option<u64>) -> usize {
    let bound = match asked {
        MaxSockets::Unlimited => u64::MAX,
        MaxSockets::ShareOfFiles => files.map_or(u64::MAX, |files| (files / 10 * 9).max(1)),
        MaxSockets::At(most) => {
            if files.is_some_and(|files| most.get() >= files) {
                tracing::warn!(
                    most,
                    files,
                    "max-sockets {most} is more than the open-file limit {files:?} allows"
                );
            }
            most.get()
        }
    };
    usize::try_from(bound).unwrap_or(usize::MAX)
}

/// The limit for one address that results from a setting and a total of `most`.
pub(crate) fn bound_per_address(asked: MaxSocketsPerAddress, most: usize) -> usize {
    match asked {
        MaxSocketsPerAddress::HalfOfAll if most == usize::MAX => usize::MAX,
        MaxSocketsPerAddress::HalfOfAll => (most / 2).max(1),
        MaxSocketsPerAddress::Unlimited => usize::MAX,
        MaxSocketsPerAddress::At(most) => usize::try_from(most.get()).unwrap_or(usize::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU64;

    fn limit(max: usize, per_address: usize, proxies: &[&str]) -> ConnectionLimit {
        let proxies = proxies.iter().map(|net| net.parse().unwrap()).collect();
        let bounds = Bounds { max, per_address, proxies };
        ConnectionLimit::new(bounds, Metrics::new())
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_share_is_nine_tenths_and_never_nothing() {
        assert_eq!(bound(MaxSockets::ShareOfFiles, Some(1_024)), 918);
        assert_eq!(bound(MaxSockets::ShareOfFiles, Some(3)), 1);
        assert_eq!(bound(MaxSockets::ShareOfFiles, None), usize::MAX);
        assert_eq!(bound(MaxSockets::At(NonZeroU64::MIN), Some(1_024)), 1);
    }

    #[test]
    fn an_address_gets_half_unless_something_else_is_said() {
        let half = MaxSocketsPerAddress::HalfOfAll;
        assert_eq!([1, 2, 918].map(|most| bound_per_address(half, most)), [1, 1, 459]);
        assert_eq!(bound_per_address(half, usize::MAX), usize::MAX);
        assert_eq!(bound_per_address(MaxSocketsPerAddress::Unlimited, 10), usize::MAX);
        assert_eq!(bound_per_address(MaxSocketsPerAddress::At(NonZeroU64::MIN), 10), 1);
    }

    #[test]
    fn a_connection_counts_until_it_is_dropped() {
        let (limit, load) = (limit(1, usize::MAX, &[]), Arc::default());
        let open = limit.open(ip("192.0.2.1"), &load);
        assert!(limit.is_full());
        assert_eq!(load.load(Ordering::Relaxed), 1);
        drop(open);
        assert_eq!((limit.count(), load.load(Ordering::Relaxed)), (0, 0));
    }

    #[test]
    fn an_address_has_its_share_and_a_proxy_has_none() {
        let (limit, load) = (limit(100, 2, &["10.0.0.0/8"]), Arc::default());
        let open = |address| limit.open(ip(address), &load);
        let first = open("192.0.2.1").unwrap();
        let _second = open("192.0.2.1").unwrap();
        assert!(open("192.0.2.1").is_none());
        let _other = open("192.0.2.2").unwrap();
        let _one_host = [open("2001:db8::1").unwrap(), open("2001:db8::2").unwrap()];
        assert!(open("2001:db8::3").is_none() && open("2001:db8:0:1::3").is_some());
        let _proxied: Vec<OpenConnection> = (0..10).map(|_| open("10.1.2.3").unwrap()).collect();
        drop(first);
        assert!(open("192.0.2.1").is_some());
        assert_eq!(load.load(Ordering::Relaxed), limit.count());
    }

    #[test]
    fn connections_are_scarce_at_nine_tenths() {
        for (most, scarce) in [(1, 1), (9, 9), (10, 9), (100, 90), (101, 91)] {
            let (limit, load) = (limit(most, usize::MAX, &[]), Arc::default());
            let mut open = Vec::new();
            while !limit.is_scarce() {
                open.extend(limit.open(ip("192.0.2.1"), &load));
            }
            assert_eq!(open.len(), scarce, "of {most}");
        }
    }
}
