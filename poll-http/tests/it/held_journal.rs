//! A journal whose commits take until the test ends them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use poll_core::journal::{Mint, Minted, Taken};
use poll_core::{Append, Journal, JournalError, Retention, Store};

#[derive(Default)]
pub(crate) struct Held(Mutex<VecDeque<Append<Minted>>>);

impl Journal for Held {
    fn append(&self, append: Append, mint: &mut Mint<'_>) -> Taken {
        self.0.lock().unwrap().push_back(mint.mint(append));
        Taken::Queued
    }
}

impl Held {
    pub(crate) fn store(retention: Retention) -> (Arc<Self>, Store) {
        let journal = Arc::new(Self::default());
        (journal.clone(), Store::new(journal, retention))
    }

    /// Commits the publish that was handed over first.
    pub(crate) fn keep(&self) {
        let append = self.0.lock().unwrap().pop_front();
        append.expect("a publish in the journal").kept();
    }

    /// Of the publish that was handed over first, tells that its outcome is unknown. It stays in the journal.
    pub(crate) fn doubt(&self) {
        let held = self.0.lock().unwrap();
        held.front().expect("a publish in the journal").doubtful("/srv/poll.redb: it failed");
    }

    /// What was handed over first is not kept.
    pub(crate) fn fail(&self, error: JournalError) {
        let append = self.0.lock().unwrap().pop_front();
        append.expect("a publish in the journal").failed(error);
    }

    /// Lets others run until the journal has so many publishes. No time passes.
    pub(crate) async fn until_held(&self, count: usize) {
        for _ in 0..100_000 {
            if self.0.lock().unwrap().len() == count {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("the journal never had {count} publishes");
    }
}
