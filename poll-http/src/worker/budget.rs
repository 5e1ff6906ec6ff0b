//! Cooperative scheduling: how much a worker does before its sockets are polled again.
//!
//! A runtime polls its sockets when it is idle, or after a number of tasks; it cannot know that one task takes a million
//! times as long as another. So work is counted where it is done, by its cost, and once a turn has spent its budget every
//! connection waits for the next turn, whatever its work. Tasks that have not run in a turn go before those that have, in
//! order of arrival.

use std::cell::{Cell, RefCell};
use std::future::Future as _;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// The budget of a turn, in estimated nanoseconds of an ordinary core: a tenth of the 20 ms that a turn may take, as the
/// last piece of work begins before the budget is spent, and a busy machine is slower.
const BUDGET: u64 = 2_000_000;

/// The cost of work, in the same unit. Rough measurements: it is enough that none is off by a factor.
pub(crate) mod cost {
    /// One request and its response.
    pub(crate) const REQUEST: u64 = 5_000;
    /// A byte that is read from a socket or written to it.
    pub(crate) const BYTE: u64 = 1;
    /// A byte of JSON that is checked and made compact.
    pub(crate) const JSON_BYTE: u64 = 8;
    /// A byte of messages that is rendered, escapes and all.
    pub(crate) const RENDERED_BYTE: u64 = 3;
    /// A byte that is compressed.
    pub(crate) const DEFLATED_BYTE: u64 = 5;
    /// A message that is published.
    pub(crate) const MESSAGE: u64 = 1_000;
}

thread_local! {
    /// The cost of this thread's turn so far. Apart from the rest, because most requests touch nothing else.
    static SPENT: Cell<u64> = const { Cell::new(0) };
    static TURN: Arc<Turn> = Arc::default();
    static ENDED: RefCell<Option<Box<dyn Fn()>>> = const { RefCell::new(None) };
}

/// The tasks that wait for the next turn of a thread.
#[derive(Default)]
struct Turn {
    /// Held to add one waker or to take all, never while waking.
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    /// Tasks that have not run this turn.
    first: Vec<Waker>,
    /// Tasks that have run and yielded.
    last: Vec<Waker>,
    /// Whether the next turn was requested from the runtime.
    asked: bool,
}

/// Counts work that was done.
pub(crate) fn charge(cost: u64) {
    SPENT.set(SPENT.get().saturating_add(cost));
}

/// Whether this turn has spent its budget.
pub(crate) fn is_over() -> bool {
    SPENT.get() >= BUDGET
}

/// Ready within the budget, else in the next turn: for a task that begins its work.
pub(crate) fn poll_begin(cx: &mut Context<'_>) -> Poll<()> {
    if is_over() { wait(cx.waker(), |waiting| &mut waiting.first) } else { Poll::Ready(()) }
}

/// The same for a task that has run this turn.
pub(crate) fn poll_go_on(cx: &mut Context<'_>) -> Poll<()> {
    if is_over() { wait(cx.waker(), |waiting| &mut waiting.last) } else { Poll::Ready(()) }
}

#[cold]
fn wait(waker: &Waker, place: fn(&mut Waiting) -> &mut Vec<Waker>) -> Poll<()> {
    TURN.with(|turn| {
        let mut waiting = turn.waiting();
        place(&mut waiting).push(waker.clone());
        let asked = std::mem::replace(&mut waiting.asked, true);
        drop(waiting);
        if !asked {
            // The runtime wakes a task that yields after polling its sockets; outside a runtime, it is woken at once.
            let next = Waker::from(Arc::clone(turn));
            let _ = pin!(tokio::task::yield_now()).poll(&mut Context::from_waker(&next));
        }
    });
    Poll::Pending
}

/// Calls `ended` on this thread whenever a turn of it ends, to measure turns by.
pub fn watch_turns(ended: impl Fn() + 'static) {
    ENDED.set(Some(Box::new(ended)));
}

/// Ends the turn of this thread, which is idle and about to sleep. Without this, turns are shorter than necessary.
pub fn end_turn() {
    SPENT.set(0);
    ENDED.with_borrow(|ended| ended.iter().for_each(|ended| ended()));
}

impl Turn {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Nothing in here panics half-way.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Called when the runtime has polled its sockets: the next turn begins.
impl Wake for Turn {
    fn wake(self: Arc<Self>) {
        let Waiting { first, last, .. } = std::mem::take(&mut *self.waiting());
        end_turn();
        first.into_iter().chain(last).for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Does pieces of work that each take a whole turn, and notes when.
    async fn work(name: usize, pieces: usize, done: Arc<Mutex<Vec<usize>>>) {
        let mut left = pieces;
        poll_fn(|cx| {
            std::task::ready!(poll_begin(cx));
            while left > 0 {
                std::task::ready!(poll_go_on(cx));
                charge(BUDGET);
                done.lock().unwrap().push(name);
                left -= 1;
            }
            Poll::Ready(())
        })
        .await;
    }

    #[tokio::test]
    async fn those_who_wait_go_on_in_their_order() {
        let done = Arc::default();
        let tasks: Vec<_> = (0..5).map(|name| tokio::spawn(work(name, 4, Arc::clone(&done)))).collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*done.lock().unwrap(), [0, 1, 2, 3, 4].repeat(4));
    }

    #[tokio::test]
    async fn a_turn_that_is_over_ends_once_and_is_told() {
        let ended = Arc::new(AtomicUsize::new(0));
        let told = Arc::clone(&ended);
        watch_turns(move || {
            told.fetch_add(1, Ordering::Relaxed);
        });
        charge(BUDGET - 1);
        assert!(!is_over());
        charge(1);
        let waiters: Vec<_> = (0..3).map(|_| tokio::spawn(poll_fn(poll_begin))).collect();
        for waiter in waiters {
            waiter.await.unwrap();
        }
        assert_eq!(ended.load(Ordering::Relaxed), 1);
        assert!(!is_over());
        charge(BUDGET);
        end_turn();
        assert!(!is_over());
        assert_eq!(ended.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn outside_of_a_runtime_there_is_no_waiting() {
        charge(BUDGET);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(poll_begin(&mut cx).is_pending());
        assert!(poll_begin(&mut cx).is_ready());
    }
}
