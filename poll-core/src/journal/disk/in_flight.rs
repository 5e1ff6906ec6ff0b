//! The publishes whose commit has begun, until it is known what became of them.
//!
//! The writer commits them, and cannot say anything while the disk does not answer. They lie here, where another
//! thread can see for how long they have, and can tell their publishers that the outcome is unknown.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redb::Error;

use super::commit::Done;
use super::queue::Entry;

#[derive(Default)]
pub(super) struct InFlight {
    /// Held to look, or to tell publishers, whose tasks are thereby put into their queues; never while the disk is
    /// asked.
    state: Mutex<Option<Flight>>,
}

struct Flight {
    since: Instant,
    entries: Arc<Vec<Entry>>,
}

/// A commit that failed, and may have happened.
pub(super) struct Doubt {
    /// The number that it has, if it happened.
    pub(super) batch: u64,
    pub(super) entries: Arc<Vec<Entry>>,
    pub(super) done: Done,
    pub(super) error: Error,
}

impl InFlight {
    /// A commit of these begins.
    pub(super) fn begin(&self, entries: Vec<Entry>) -> Arc<Vec<Entry>> {
        let entries = Arc::new(entries);
        *self.lock() = Some(Flight { since: Instant::now(), entries: entries.clone() });
        entries
    }

    /// It is known what became of them.
    pub(super) fn end(&self, entries: Arc<Vec<Entry>>) -> Vec<Entry> {
        // The one here is the only other, and is not handed out.
        *self.lock() = None;
        Arc::into_inner(entries).unwrap_or_default()
    }

    /// For how long it has not been known.
    pub(super) fn age(&self) -> Option<Duration> {
        self.lock().as_ref().map(|flight| flight.since.elapsed())
    }

    /// Tells the publishers that it is not known what became of their publishes. What was shown already has none
    /// who wait.
    pub(super) fn tell(&self, why: &str) {
        self.tell_after(Duration::ZERO, why);
    }

    /// The same if it has not been known for this long; says whether that is so.
    pub(super) fn tell_after(&self, least: Duration, why: &str) -> bool {
        let flight = self.lock();
        let Some(flight) = flight.as_ref().filter(|flight| flight.since.elapsed() >= least) else {
            return false;
        };
        flight.entries.iter().for_each(|entry| entry.append.doubtful(why));
        true
    }

    fn lock(&self) -> MutexGuard<'_, Option<Flight>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
