//! What peers have begun to send and not finished: handshakes, and records.
//!
//! What: when their share of the account is used up, those that began first give way to a new one.
//! Why those: an honest peer is done within a few round trips, and one that only holds memory is older than that.
//! Not here: how long one may take while there is room (`handshake.rs`, `stream.rs`).

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use poll_core::{Charge, OverBudget};

/// All of a server. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unfinished(Arc<Mutex<Queue>>);

/// In the order in which they began.
#[derive(Debug, Default)]
struct Queue {
    next: u64,
    all: BTreeMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    bytes: u64,
    waker: Waker,
}

/// One of them, until this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    unfinished: Unfinished,
    number: u64,
}

/// Why a connection is closed that gives way.
pub(super) fn displaced() -> io::Error {
    io::Error::new(io::ErrorKind::OutOfMemory, "what it had begun gave way to newer ones")
}

impl Unfinished {
    /// The newest, with nothing held yet.
    pub(super) fn begin(&self, cx: &mut Context<'_>) -> Place {
        let mut queue = self.lock();
        let number = queue.next;
        queue.next += 1;
        queue.all.insert(number, Entry { bytes: 0, waker: cx.waker().clone() });
        drop(queue);
        Place { unfinished: self.clone(), number }
    }

    /// Charges more; where there is no room, what began first gives way.
    ///
    /// # Errors
    /// When nothing is left that could.
    pub(super) fn grow(&self, charge: &mut Charge, more: u64) -> Result<(), OverBudget> {
        let Err(full) = charge.grow(more) else { return Ok(()) };
        let (mut freed, mut wakers) = (0, Vec::new());
        let mut queue = self.lock();
        while freed < more
            && let Some((_, oldest)) = queue.all.pop_first()
        {
            freed += oldest.bytes;
            wakers.push(oldest.waker);
        }
        drop(queue);
        // Each gives back what it holds once it runs; until then this is more than the share.
        wakers.into_iter().for_each(Waker::wake);
        if freed < more {
            return Err(full);
        }
        charge.grow_unbounded(more);
        Ok(())
    }

    /// Locked for a look or a change only, and no waker is dropped or woken meanwhile.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Ready when it has to give way; until then it is known to hold so much.
    pub(super) fn poll_displaced(&self, bytes: u64, cx: &mut Context<'_>) -> Poll<()> {
        let mut queue = self.unfinished.lock();
        let Some(entry) = queue.all.get_mut(&self.number) else { return Poll::Ready(()) };
        entry.bytes = bytes;
        let former = (!entry.waker.will_wake(cx.waker()))
            .then(|| std::mem::replace(&mut entry.waker, cx.waker().clone()));
        drop(queue);
        drop(former);
        Poll::Pending
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let entry = self.unfinished.lock().all.remove(&self.number);
        drop(entry);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::Wake;

    use poll_core::{Kind, Memory};

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicU32);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn those_that_began_first_give_way_and_only_as_many_as_needed() {
        let memory = Memory::new(1_600);
        let unfinished = Unfinished::default();
        let woken: [Arc<Woken>; 3] = Default::default();
        let holders: Vec<_> = woken
            .iter()
            .map(|woken| {
                let waker = Waker::from(Arc::clone(woken));
                let cx = &mut Context::from_waker(&waker);
                let place = unfinished.begin(cx);
                let charge = memory.charge(Kind::TlsBuffers, 30).unwrap();
                assert!(place.poll_displaced(charge.bytes(), cx).is_pending());
                (place, charge)
            })
            .collect();
        let mut charge = memory.charge(Kind::TlsBuffers, 10).unwrap();
        unfinished.grow(&mut charge, 40).unwrap();
        assert_eq!(woken.each_ref().map(|woken| woken.0.load(Ordering::Relaxed)), [1, 1, 0]);
        let cx = &mut Context::from_waker(Waker::noop());
        let displaced: Vec<_> =
            holders.iter().map(|(place, _)| place.poll_displaced(30, cx).is_ready()).collect();
        assert_eq!(displaced, [true, true, false]);
        // There is one left, which is too little.
        assert!(unfinished.grow(&mut charge, 50).is_err());
        assert_eq!(charge.bytes(), 50);
        drop(holders);
        assert_eq!(unfinished.lock().all.len(), 0);
        assert!(unfinished.grow(&mut charge, 50).is_ok(), "there is room");
    }
}
