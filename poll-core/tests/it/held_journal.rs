//! A journal that holds publishes until the test decides the outcome of each.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use poll_core::journal::{Mint, Minted, Taken};
use poll_core::{Append, ChannelName, Journal, JournalError, Retention, Store};

#[derive(Default)]
pub(crate) struct Held {
    queue: Mutex<VecDeque<Append<Minted>>>,
    /// Whether it refuses what it is handed.
    pub(crate) refuses: AtomicBool,
    forgotten: Mutex<Vec<ChannelName>>,
}

impl Journal for Held {
    fn append(&self, append: Append, mint: &mut Mint<'_>) -> Taken {
        if self.refuses.load(Ordering::Relaxed) {
            return Taken::Refused(append, full());
        }
        self.queue.lock().unwrap().push_back(mint.mint(append));
        Taken::Queued
    }

    fn forget(&self, channel: &ChannelName) {
        self.forgotten.lock().unwrap().push(channel.clone());
    }
}

impl Held {
    pub(crate) fn store(retention: Retention) -> (Arc<Self>, Store) {
        let journal = Arc::new(Self::default());
        (journal.clone(), Store::new(journal, retention))
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.lock().unwrap().len()
    }

    pub(crate) fn forgotten(&self) -> Vec<ChannelName> {
        self.forgotten.lock().unwrap().clone()
    }

    /// The publish that was handed over first.
    pub(crate) fn take(&self) -> Append<Minted> {
        self.queue.lock().unwrap().pop_front().expect("a publish in the journal")
    }

    pub(crate) fn keep(&self) {
        self.take().kept();
    }

    pub(crate) fn fail(&self) {
        self.take().failed(full());
    }
}

pub(crate) fn full() -> JournalError {
    JournalError::Full("the test says so".to_owned())
}
