//! The publishes of the commit under way, until its outcome is known; none where no commit can begin.
//!
//! While the writer waits for the disk it cannot answer. Here another thread sees how long that has taken, and can tell
//! the publishers that the outcome is unknown.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::write_queue::PendingAppend;
use crate::sync::Mutex;

#[derive(Default)]
pub(super) struct InFlight {
    /// Locked to look, or to answer publishers, which wakes their tasks; never while waiting for the disk.
    state: Mutex<Option<Batch>>,
}

struct Batch {
    since: Instant,
    entries: Arc<Vec<PendingAppend>>,
}

impl InFlight {
    /// The commit of these begins.
    pub(super) fn begin(&self, entries: Vec<PendingAppend>) -> Arc<Vec<PendingAppend>> {
        let entries = Arc::new(entries);
        *self.state.lock() = Some(Batch { since: Instant::now(), entries: entries.clone() });
        entries
    }

    /// The outcome of their commit is known.
    pub(super) fn end(&self, entries: Arc<Vec<PendingAppend>>) -> Vec<PendingAppend> {
        // This drops the only other reference.
        *self.state.lock() = None;
        Arc::into_inner(entries).unwrap_or_default()
    }

    /// How long the commit has been under way.
    pub(super) fn age(&self) -> Option<Duration> {
        self.state.lock().as_ref().map(|batch| batch.since.elapsed())
    }

    /// Tells the waiting publishers that the outcome of their commit is unknown.
    pub(super) fn mark_doubtful(&self, why: &str) {
        self.mark_doubtful_after(Duration::ZERO, why);
    }

    /// The same if the commit has been under way for this long; returns whether it has.
    pub(super) fn mark_doubtful_after(&self, least: Duration, why: &str) -> bool {
        let batch = self.state.lock();
        let Some(batch) = batch.as_ref().filter(|batch| batch.since.elapsed() >= least) else {
            return false;
        };
        batch.entries.iter().for_each(|entry| entry.append.doubtful(why));
        true
    }
}
