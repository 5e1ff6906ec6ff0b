//! One answer for all who ask the same at the same time.
//!
//! The first to ask sends the question off; who asks while it is under way waits for the same answer. The
//! question does not depend on the one who asked: when that one goes away, the others are answered all the same.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use tokio::sync::watch;

use crate::sync::Mutex;
use crate::types::JournalError;

type Outcome<T> = Option<Result<T, JournalError>>;

/// Questions under way, by what they ask.
pub(super) struct Flights<K, T>(Arc<Mutex<HashMap<K, watch::Receiver<Outcome<T>>>>>);

/// Where the answer to one question goes. Dropped without one, it answers that there will be none.
pub(super) struct Landing<K: Eq + Hash, T> {
    flights: Flights<K, T>,
    key: K,
    outcome: watch::Sender<Outcome<T>>,
}

impl<K, T> Default for Flights<K, T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K, T> Clone for Flights<K, T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: Clone + Eq + Hash, T: Clone> Flights<K, T> {
    /// The answer to `key`: `at_hand` already, or under way, or asked for now. `at_hand` runs under
    /// this table's lock, which is taken before any other.
    pub(super) async fn share(
        &self,
        key: &K,
        at_hand: impl FnOnce() -> Option<T>,
        ask: impl FnOnce(Landing<K, T>),
    ) -> Result<T, JournalError> {
        let mut flight = {
            let mut flights = self.0.lock();
            if let Some(answer) = at_hand() {
                return Ok(answer);
            }
            if let Some(flight) = flights.get(key) {
                flight.clone()
            } else {
                let (outcome, flight) = watch::channel(None);
                flights.insert(key.clone(), flight.clone());
                drop(flights);
                ask(Landing { flights: self.clone(), key: key.clone(), outcome });
                flight
            }
        };
        let outcome = flight.wait_for(Option::is_some).await.map(|outcome| outcome.clone());
        outcome.ok().flatten().unwrap_or_else(|| Err(unanswered()))
    }
}

impl<K: Eq + Hash, T> Landing<K, T> {
    pub(super) fn land(self, answer: Result<T, JournalError>) {
        self.outcome.send_replace(Some(answer));
    }
}

impl<K: Eq + Hash, T> Drop for Landing<K, T> {
    fn drop(&mut self) {
        // Last, so that whoever finds no flight finds what it brought.
        self.flights.0.lock().remove(&self.key);
    }
}

fn unanswered() -> JournalError {
    JournalError::Unavailable("it stopped before it answered".to_owned())
}
