//! How many connections are open, in all and of an address, and how many may be.
//!
//! What: counts with bounds; a [`Held`] lives as long as its connection.
//! Why: beyond the bound accepting pauses (the kernel's queue holds the crowd), rather than running out of
//! descriptors in the middle of an answer; and no single address gets there alone.
//! Not here: who is accepted (`accept.rs`), who is silent for too long (`first_byte.rs`), what waits on a
//! connection (poll-http's admission).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use ipnet::IpNet;
use poll_http::{Cut, Metrics, counted_address};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use slab::Slab;
use tokio::sync::Notify;

use crate::config::{MaxSockets, MaxSocketsPerAddress};

/// Open connections of the whole process. Clones count together.
#[derive(Clone, Debug)]
pub(crate) struct Sockets(Arc<Inner>);

/// How many sockets may be open.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    /// In all.
    pub(crate) most: usize,
    /// Of one address…
    pub(crate) per_address: usize,
    /// … that is none of these.
    pub(crate) proxies: Vec<IpNet>,
}

#[derive(Debug)]
struct Inner {
    open: AtomicUsize,
    bounds: Bounds,
    /// Open sockets by address. Held to count one more or less.
    addresses: Mutex<HashMap<IpAddr, usize>>,
    /// Held to add or take a waker, never while waking.
    silent: Mutex<Silent>,
    metrics: Metrics,
    /// Rung at each close; nobody waits on it unless accepting is paused or the server drains.
    closed: Notify,
}

/// Connections on which nothing was said yet.
#[derive(Debug, Default)]
struct Silent {
    wakers: Slab<Waker>,
    /// How often all were woken: places of another round are no longer theirs.
    round: u64,
}

/// The place of a silent connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    key: usize,
    round: u64,
}

impl Sockets {
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

    pub(crate) fn open(&self) -> usize {
        self.0.open.load(Ordering::Acquire)
    }

    pub(crate) fn most(&self) -> usize {
        self.0.bounds.most
    }

    pub(crate) fn is_full(&self) -> bool {
        self.open() >= self.most()
    }

    /// Whether nine tenths of all sockets are in use.
    pub(crate) fn is_scarce(&self) -> bool {
        self.open() >= self.most() - self.most() / 10
    }

    /// Counts one more of this address; `None` when it has as many as it may have. Only the acceptor calls
    /// this, so `is_full` before it cannot be raced.
    pub(crate) fn hold(&self, peer: IpAddr, load: &Arc<AtomicUsize>) -> Option<Held> {
        let address = self.0.admit(peer)?;
        self.0.open.fetch_add(1, Ordering::AcqRel);
        load.fetch_add(1, Ordering::Relaxed);
        if self.is_scarce() {
            self.0.wake_silent();
        }
        Some(Held { sockets: self.0.clone(), address, load: load.clone() })
    }

    /// Has a silent connection woken once sockets become scarce; gives the place that it has until then.
    pub(crate) fn await_scarcity(&self, waker: &Waker) -> Place {
        let mut silent = self.0.silent();
        Place { key: silent.wakers.insert(waker.clone()), round: silent.round }
    }

    /// A silent connection no longer waits.
    pub(crate) fn leave(&self, place: Place) {
        let mut silent = self.0.silent();
        let waker = if silent.round == place.round { silent.wakers.try_remove(place.key) } else { None };
        drop(silent);
        // Dropping it may run a task's destructor: not under the lock.
        drop(waker);
    }

    /// A connection is closed because of a limit.
    pub(crate) fn cut(&self, cut: Cut) {
        self.0.metrics.cut(cut);
    }

    /// Returns once there is room for another.
    pub(crate) async fn until_room(&self) {
        self.until(|open| open < self.most()).await;
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

/// The address that an open socket counts for, unless none does.
type Counted = Option<IpAddr>;

impl Inner {
    /// Counts one more of this address; `None` if that is one too many.
    fn admit(&self, peer: IpAddr) -> Option<Counted> {
        if self.bounds.per_address == usize::MAX || self.bounds.proxies.iter().any(|net| net.contains(&peer))
        {
            return Some(None);
        }
        let address = counted_address(peer);
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

    // Nothing panics half-way under either lock.

    fn addresses(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn silent(&self) -> MutexGuard<'_, Silent> {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One open connection; dropping it says that the connection is closed.
#[derive(Debug)]
pub(crate) struct Held {
    sockets: Arc<Inner>,
    address: Counted,
    /// The share of the worker that serves it.
    load: Arc<AtomicUsize>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.load.fetch_sub(1, Ordering::Relaxed);
        self.address.into_iter().for_each(|address| self.sockets.leave(address));
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

/// The bound in force for one address, where there may be `most` in all.
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

    fn sockets(most: usize, per_address: usize, proxies: &[&str]) -> Sockets {
        let proxies = proxies.iter().map(|net| net.parse().unwrap()).collect();
        Sockets::new(Bounds { most, per_address, proxies }, Metrics::new())
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
    fn a_held_socket_counts_until_it_is_dropped() {
        let (sockets, load) = (sockets(1, usize::MAX, &[]), Arc::default());
        let held = sockets.hold(ip("192.0.2.1"), &load);
        assert!(sockets.is_full());
        assert_eq!(load.load(Ordering::Relaxed), 1);
        drop(held);
        assert_eq!((sockets.open(), load.load(Ordering::Relaxed)), (0, 0));
    }

    #[test]
    fn an_address_has_its_share_and_a_proxy_has_none() {
        let (sockets, load) = (sockets(100, 2, &["10.0.0.0/8"]), Arc::default());
        let hold = |address| sockets.hold(ip(address), &load);
        let first = hold("192.0.2.1").unwrap();
        let _second = hold("192.0.2.1").unwrap();
        assert!(hold("192.0.2.1").is_none());
        let _other = hold("192.0.2.2").unwrap();
        let _one_host = [hold("2001:db8::1").unwrap(), hold("2001:db8::2").unwrap()];
        assert!(hold("2001:db8::3").is_none() && hold("2001:db8:0:1::3").is_some());
        let _proxied: Vec<Held> = (0..10).map(|_| hold("10.1.2.3").unwrap()).collect();
        drop(first);
        assert!(hold("192.0.2.1").is_some());
        assert_eq!(load.load(Ordering::Relaxed), sockets.open());
    }

    #[test]
    fn sockets_are_scarce_at_nine_tenths() {
        for (most, scarce) in [(1, 1), (9, 9), (10, 9), (100, 90), (101, 91)] {
            let (sockets, load) = (sockets(most, usize::MAX, &[]), Arc::default());
            let mut held = Vec::new();
            while !sockets.is_scarce() {
                held.extend(sockets.hold(ip("192.0.2.1"), &load));
            }
            assert_eq!(held.len(), scarce, "of {most}");
        }
    }
}
