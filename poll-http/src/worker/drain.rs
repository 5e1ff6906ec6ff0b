//! The phases of a graceful shutdown.
//!
//! Readiness ends first (a load balancer stops sending), then connections are asked to finish. One value holds the phase for
//! all; what it leads to is decided elsewhere: `poll-server/src/drain.rs` changes it; `Worker::drive` wakes all waiters and
//! `Worker::random_drain_delay` spreads them (`worker/shared.rs`); `pattern/long_poll.rs` and `stream/channel_reader.rs`
//! answer; `service` refuses requests, and `transport` closes idle connections.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use slab::Slab;

const SERVING: u8 = 0;
const UNREADY: u8 = 1;
const DRAINING: u8 = 2;

/// The server's phase. Clones are handles to the same one; it only ever moves forward.
#[derive(Clone)]
pub struct Drain {
    shared: Arc<Shared>,
}

struct Shared {
    /// Read on hot paths, so apart from the lock; written only under it.
    phase: AtomicU8,
    /// Held to add, move or take one waker, never while waking.
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    wakers: Slab<Waker>,
    spread: Duration,
}

/// The phase of a [`Drain`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Every request is served.
    Serving,
    /// Every request is served, but `/readyz` is 503: a load balancer sends no more.
    Unready,
    /// Idle connections close, waiting requests are answered, streams end.
    Draining {
        /// The time over which responses are spread, because clients should not all reconnect at once.
        spread: Duration,
    },
}

impl Default for Drain {
    fn default() -> Self {
        Self::new()
    }
}

impl Drain {
    /// Starts in [`Phase::Serving`].
    #[must_use]
    pub fn new() -> Self {
        Self {
            shared: Arc::new(Shared {
                phase: AtomicU8::new(SERVING),
                waiting: Mutex::new(Waiting::default()),
            }),
        }
    }

    /// From [`Phase::Serving`] to [`Phase::Unready`]; no effect in a later phase.
    pub fn begin_unready(&self) {
        let waiting = self.waiting();
        if self.shared.phase.load(Ordering::Relaxed) == SERVING {
            self.shared.phase.store(UNREADY, Ordering::Release);
        }
        drop(waiting);
    }

    /// To [`Phase::Draining`], waking everything that waits for it; no effect if already there.
    pub fn begin(&self, spread: Duration) {
        let mut waiting = self.waiting();
        if self.shared.phase.load(Ordering::Relaxed) == DRAINING {
            return;
        }
        waiting.spread = spread;
        self.shared.phase.store(DRAINING, Ordering::Release);
        let wakers: Vec<Waker> = waiting.wakers.drain().collect();
        drop(waiting);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// The phase now.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.shared.phase.load(Ordering::Acquire) {
            SERVING => Phase::Serving,
            UNREADY => Phase::Unready,
            _ => Phase::Draining { spread: self.waiting().spread },
        }
    }

    /// Whether the phase is [`Phase::Draining`]: one load.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.shared.phase.load(Ordering::Acquire) == DRAINING
    }

    /// Completes once the phase is [`Phase::Draining`].
    pub fn wait_draining(&self) -> WaitDraining {
        WaitDraining::new(self.clone())
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Nothing in here panics half-way, so a poisoned list is still whole.
        self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Drain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Drain").field(&self.phase()).finish()
    }
}

/// Future of [`Drain::wait_draining`]. Small and without allocation: every connection and every waiter holds one.
/// Polling it again takes no lock unless the task's waker has changed.
#[must_use = "futures do nothing unless polled"]
pub struct WaitDraining {
    drain: Drain,
    /// The key in the list, and the waker that is there.
    registered: Option<(usize, Waker)>,
}

impl WaitDraining {
    pub(crate) fn new(drain: Drain) -> Self {
        Self { drain, registered: None }
    }

    /// Whether the wait is over.
    pub(crate) fn is_draining(&self) -> bool {
        self.drain.is_draining()
    }
}

impl Future for WaitDraining {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.drain.is_draining() {
            self.registered = None;
            return Poll::Ready(());
        }
        if self.registered.as_ref().is_some_and(|(_, waker)| waker.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        let this = &mut *self;
        let mut waiting = this.drain.waiting();
        // Once more under the lock, under which `begin` empties the list.
        if this.drain.is_draining() {
            drop(waiting);
            this.registered = None;
            return Poll::Ready(());
        }
        let waker = cx.waker().clone();
        let replaced = match &this.registered {
            Some((key, _)) => Some(std::mem::replace(&mut waiting.wakers[*key], waker.clone())),
            None => {
                this.registered = Some((waiting.wakers.insert(waker.clone()), waker.clone()));
                None
            }
        };
        drop(waiting);
        // A waker's drop may run a task's destructor: not under the lock.
        drop(replaced);
        if let Some((_, registered)) = &mut this.registered {
            *registered = waker;
        }
        Poll::Pending
    }
}

impl Drop for WaitDraining {
    fn drop(&mut self) {
        let Some((key, waker)) = self.registered.take() else { return };
        let mut waiting = self.drain.waiting();
        // `begin` has emptied the list if the phase has come; a key is valid only before that.
        let taken = if self.drain.is_draining() { None } else { waiting.wakers.try_remove(key) };
        drop(waiting);
        drop((taken, waker));
    }
}

impl std::fmt::Debug for WaitDraining {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WaitDraining").field("drain", &self.drain).finish_non_exhaustive()
    }
}
