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

/// One pending question, for whoever has the answer. If it is dropped without one, all callers learn that there will
/// be none.
pub(super) struct Flight<K: Eq + Hash, T> {
    group: SingleFlight<K, T>,
    key: K,
    outcome: watch::Sender<Outcome<T>>,
}

impl<K, T> Default for SingleFlight<K, T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Clone + Eq + Hash, T: Clone> SingleFlight<K, T> {
    /// The answer to `key`: `at_hand` already, pending, or asked for now. `at_hand` runs under this table's lock, which
    /// is taken before any other.
    pub(super) async fn share(
        &self,
        key: &K,
        at_hand: impl FnOnce() -> Option<T>,
        ask: impl FnOnce(Flight<K, T>),
    ) -> Result<T, JournalError> {
        let mut answer = {
            let mut flights = self.0.lock();
            if let Some(answer) = at_hand() {
                return Ok(answer);
            }
            if let Some(answer) = flights.get(key) {
                answer.clone()
            } else {
                let (outcome, answer) = watch::channel(None);
                flights.insert(key.clone(), answer.clone());
                drop(flights);
                ask(Flight { group: Self(self.0.clone()), key: key.clone(), outcome });
                answer
            }
        };
        let outcome = answer.wait_for(Option::is_some).await.map(|outcome| outcome.clone());
        outcome.ok().flatten().unwrap_or_else(|| Err(JournalError::unanswered()))
    }
}

impl<K: Eq + Hash, T> Flight<K, T> {
    pub(super) fn answer(self, answer: Result<T, JournalError>) {
        self.outcome.send_replace(Some(answer));
    }
}

impl<K: Eq + Hash, T> Drop for Flight<K, T> {
    fn drop(&mut self) {
        // Last, so that a caller that finds no flight finds what it brought.
        self.group.0.lock().remove(&self.key);
    }
}
