//! Streams of a connection that wait for one another, woken in order of arrival.
//!
//! A place in a queue is given up with its [`Ticket`]: the waker of a stream that is gone would keep the memory of it, and
//! be woken in place of one that still waits.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// See the [module](self).
#[derive(Default)]
pub(super) struct WaitQueue {
    /// Saves the lock if there are none.
    taken: AtomicBool,
    /// Locked to add or remove some, never across a wake.
    parked: Mutex<Parked>,
}

#[derive(Default)]
struct Parked {
    /// The number of the newest place.
    last: u64,
    /// By the numbers of their places.
    waiting: BTreeMap<u64, Waker>,
}

/// What a stream has in hand for one queue: its place, while it waits. Boxed, as most streams never do.
#[derive(Default)]
pub(super) struct Ticket(Option<Box<Place>>);

/// A place in a queue until it is dropped.
struct Place {
    queue: Arc<WaitQueue>,
    number: u64,
}

impl WaitQueue {
    pub(super) fn is_taken(&self) -> bool {
        self.taken.load(Ordering::Relaxed)
    }

    /// Waits to be woken: where it waits already, or as the last.
    pub(super) fn poll(self: &Arc<Self>, cx: &mut Context<'_>, ticket: &mut Ticket) -> Poll<()> {
        let mut parked = self.parked();
        let place = ticket.0.as_ref().and_then(|place| parked.waiting.get_mut(&place.number));
        if let Some(waker) = place {
            waker.clone_from(cx.waker());
            return Poll::Pending;
        }
        parked.last += 1;
        let number = parked.last;
        parked.waiting.insert(number, cx.waker().clone());
        self.taken.store(true, Ordering::Relaxed);
        // Giving up the place that it had takes the lock.
        drop(parked);
        ticket.0 = Some(Box::new(Place { queue: Arc::clone(self), number }));
        Poll::Pending
    }

    /// Wakes the first `count`; returns whether there were any.
    pub(super) fn wake(&self, count: usize) -> bool {
        let mut parked = self.parked();
        let waiting = &mut parked.waiting;
        let woken: Vec<_> = std::iter::from_fn(|| waiting.pop_first()).take(count).collect();
        self.taken.store(!waiting.is_empty(), Ordering::Relaxed);
        drop(parked);
        let any = !woken.is_empty();
        woken.into_iter().for_each(|(_, waker)| waker.wake());
        any
    }

    fn leave(&self, number: u64) {
        let mut parked = self.parked();
        parked.waiting.remove(&number);
        self.taken.store(!parked.waiting.is_empty(), Ordering::Relaxed);
    }

    fn parked(&self) -> MutexGuard<'_, Parked> {
        // Nothing in here panics half-way.
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// Waits no more.
    pub(super) fn ready(&mut self) -> Poll<()> {
        self.0 = None;
        Poll::Ready(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.queue.leave(self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Counter(AtomicUsize);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn wait(queue: &Arc<WaitQueue>, counter: &Arc<Counter>, ticket: &mut Ticket) {
        let waker = Waker::from(Arc::clone(counter));
        assert!(queue.poll(&mut Context::from_waker(&waker), ticket).is_pending());
    }

    fn woken(counters: &[Arc<Counter>]) -> Vec<usize> {
        counters.iter().map(|counter| counter.0.load(Ordering::Relaxed)).collect()
    }

    #[test]
    fn who_is_polled_again_keeps_one_place_and_who_leaves_keeps_none() {
        let queue = Arc::<WaitQueue>::default();
        let counters: Vec<_> = (0..4).map(|_| Arc::<Counter>::default()).collect();
        let mut tickets: Vec<_> = (0..4).map(|_| Ticket::default()).collect();
        for _ in 0..3 {
            for (counter, ticket) in counters.iter().zip(&mut tickets) {
                wait(&queue, counter, ticket);
            }
        }
        drop(tickets.remove(0));
        assert!(tickets[1].ready().is_ready());
        let kept: Vec<_> = counters.iter().map(|counter| Arc::strong_count(counter) - 1).collect();
        assert_eq!(kept, [0, 1, 0, 1], "wakers");
        assert!(queue.wake(1));
        assert_eq!(woken(&counters), [0, 1, 0, 0], "the first of those that still wait");
        // One that was woken waits again behind the others.
        wait(&queue, &counters[1], &mut tickets[0]);
        assert!(queue.wake(1));
        assert_eq!(woken(&counters), [0, 1, 0, 1]);
        assert!(queue.wake(9));
        assert_eq!(woken(&counters), [0, 2, 0, 1]);
        assert!(!queue.is_taken() && !queue.wake(1));
    }

    #[test]
    fn a_place_is_taken_until_the_last_has_left() {
        let queue = Arc::<WaitQueue>::default();
        let mut ticket = Ticket::default();
        wait(&queue, &Arc::default(), &mut ticket);
        assert!(queue.is_taken());
        drop(ticket);
        assert!(!queue.is_taken());
    }
}
