//! One answer for all who ask the same question at the same time.
//!
//! The first caller sends the question; others wait for the same answer while it is pending. The question does not
//! depend on the first caller: when that one goes away, the others are answered all the same.

use std::hash::Hash;
use std::sync::Arc;

use tokio::sync::watch;

use crate::environment::KeyedMap;
use crate::sync::Mutex;
use crate::types::JournalError;

type Outcome<T> = Option<Result<T, JournalError>>;

/// Pending questions, by what they ask.
pub(super) struct SingleFlight<K, T>(Arc<Mutex<KeyedMap<K, watch::Receiver<Outcome<T>>>>>);

/// One pending question, held by the code that will answer it. If it is dropped without an answer, all callers get an
/// error.
pub(super) struct Flight<K: Eq + Hash, T> {
    group: SingleFlight<K, T>,
    /// `None` once others no longer find it.
    key: Option<K>,
    outcome: watch::Sender<Outcome<T>>,
}

impl<K, T> Default for SingleFlight<K, T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Clone + Eq + Hash, T: Clone> SingleFlight<K, T> {
    /// The answer to `key`: what `cached` has, or that of the question that is pending, or of one that is asked now. `cached`
    /// runs under this table's lock, which is taken before any other.
    pub(super) async fn share(
        &self,
        key: &K,
        cached: impl FnOnce() -> Option<T>,
        ask: impl FnOnce(Flight<K, T>),
    ) -> Result<T, JournalError> {
        let mut answer = {
            let mut flights = self.0.lock();
            if let Some(answer) = cached() {
                return Ok(answer);
            }
            if let Some(answer) = flights.get(key) {
                answer.clone()
            } else {
                let (outcome, answer) = watch::channel(None);
                flights.insert(key.clone(), answer.clone());
                drop(flights);
                ask(Flight { group: Self(self.0.clone()), key: Some(key.clone()), outcome });
                answer
            }
        };
        let outcome = answer.wait_for(Option::is_some).await.map(|outcome| outcome.clone());
        outcome.ok().flatten().unwrap_or_else(|| Err(JournalError::unanswered()))
    }
}

impl<K: Eq + Hash, T> Flight<K, T> {
    pub(super) fn answer(mut self, answer: Result<T, JournalError>) {
        // First, so that a caller that asks again once it has the answer does not get the same one. What a successful one
        // loaded is in memory by then.
        self.land();
        self.outcome.send_replace(Some(answer));
    }

    fn land(&mut self) {
        if let Some(key) = self.key.take() {
            self.group.0.lock().remove(&key);
        }
    }
}

impl<K: Eq + Hash, T> Drop for Flight<K, T> {
    fn drop(&mut self) {
        self.land();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::{Context, Poll, Wake, Waker};

    use super::*;

    type Group = SingleFlight<u64, u64>;

    /// A caller that asks again as soon as it has the answer.
    struct Again {
        group: Group,
        asked: AtomicBool,
    }

    impl Wake for Again {
        fn wake(self: Arc<Self>) {
            let ask = |flight| {
                drop::<Flight<u64, u64>>(flight);
                self.asked.store(true, Ordering::Relaxed);
            };
            let mut again = Box::pin(self.group.share(&1, || None, ask));
            let _ = again.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        }
    }

    #[test]
    fn a_caller_that_asks_again_is_not_given_the_answer_that_it_has() {
        let (group, mut asked) = (Group::default(), None);
        let again = Arc::new(Again { group: SingleFlight(group.0.clone()), asked: AtomicBool::new(false) });
        let waker = Waker::from(again.clone());
        let mut answer = Box::pin(group.share(&1, || None, |flight| asked = Some(flight)));
        assert!(answer.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        drop(answer);
        let flight: Flight<u64, u64> = asked.unwrap();
        let mut other = Box::pin(group.share(&1, || None, |_| panic!("it is pending")));
        assert!(other.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        flight.answer(Err(JournalError::unanswered()));
        assert!(again.asked.load(Ordering::Relaxed));
        let answered = other.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(answered, Poll::Ready(Err(_))));
    }
}
