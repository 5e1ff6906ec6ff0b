//! Between requests whose token names a key that is not there, and the keeper that fetches keys.
//!
//! Requests wait for the fetch that answers them, all for the same one, a bounded number and time. A fetch is begun for
//! them at most once in five seconds: a client that invents key names costs others nothing.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use poll_http::KeyFetch;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};

use super::key_set;

/// Between two fetches for unknown keys.
const INTERVAL: Duration = Duration::from_secs(5);
/// A request waits for one fetch that is under way at most, and for its own.
const PATIENCE: Duration = Duration::from_secs(2 * key_set::TIMEOUT.as_secs() + 1);
/// Requests that wait: each holds its head, and its content if that has arrived.
const MOST_WAITING: usize = 256;

pub(super) struct Asking {
    /// Held for a moment, and to count oneself among those who wait for the fetch that is due.
    state: Mutex<State>,
    due: Notify,
    fetched: watch::Sender<u64>,
    waiting: Arc<AtomicUsize>,
}

#[derive(Default)]
struct State {
    /// A fetch was asked for, and has not ended.
    is_due: bool,
    /// When the last one was asked for.
    asked_at: Option<Instant>,
}

/// One who waits.
struct Waiting(Arc<AtomicUsize>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Asking {
    pub(super) fn new() -> Arc<Self> {
        let (fetched, _) = watch::channel(0);
        Arc::new(Self { state: Mutex::default(), due: Notify::new(), fetched, waiting: Arc::default() })
    }

    /// Asks for a fetch, unless one has just been made.
    pub(super) fn ask(&self) -> KeyFetch {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.is_due {
            if state.asked_at.is_some_and(|at| at.elapsed() < INTERVAL) {
                return KeyFetch::Nothing;
            }
            *state = State { is_due: true, asked_at: Some(Instant::now()) };
            self.due.notify_one();
        }
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let waiting = Waiting(self.waiting.clone());
        if before >= MOST_WAITING {
            return KeyFetch::Busy;
        }
        // Under the lock, so that the end of the fetch comes after it.
        let mut fetched = self.fetched.subscribe();
        KeyFetch::After(Box::pin(async move {
            let _waiting = waiting;
            let _ended_or_too_late = timeout(PATIENCE, fetched.changed()).await;
        }))
    }

    /// Returns when a fetch is due.
    pub(super) async fn due(&self) {
        self.due.notified().await;
    }

    /// The fetch has ended, and its keys are in force.
    pub(super) fn ended(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_due = false;
        self.fetched.send_modify(|count| *count += 1);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;

    use super::*;

    type After = Pin<Box<dyn Future<Output = ()> + Send>>;

    fn after(fetch: KeyFetch) -> After {
        match fetch {
            KeyFetch::After(fetched) => fetched,
            KeyFetch::Nothing => panic!("there is nothing to wait for"),
            KeyFetch::Busy => panic!("too many wait"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn all_wait_for_the_same_fetch_and_another_is_begun_after_five_seconds() {
        let asking = Asking::new();
        let (first, second) = (after(asking.ask()), after(asking.ask()));
        asking.due().await;
        let begun = Instant::now();
        tokio::time::advance(Duration::from_secs(4)).await;
        let third = after(asking.ask());
        asking.ended();
        futures_util::future::join3(first, second, third).await;
        assert_eq!(begun.elapsed(), Duration::from_secs(4));
        assert!(matches!(asking.ask(), KeyFetch::Nothing));
        tokio::time::advance(Duration::from_secs(1)).await;
        let later = after(asking.ask());
        assert!(timeout(Duration::from_secs(1), asking.due()).await.is_ok());
        later.await;
        assert_eq!(begun.elapsed(), Duration::from_secs(5) + PATIENCE, "nobody waits for ever");
    }

    #[tokio::test(start_paused = true)]
    async fn a_bounded_number_waits() {
        let asking = Asking::new();
        let mut waiting: Vec<After> = (0..MOST_WAITING).map(|_| after(asking.ask())).collect();
        assert!(matches!(asking.ask(), KeyFetch::Busy));
        waiting.pop();
        waiting.push(after(asking.ask()));
        assert!(matches!(asking.ask(), KeyFetch::Busy));
        drop(waiting);
        drop(after(asking.ask()));
    }
}
