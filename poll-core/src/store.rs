//! Channels with their logs: publish, read, wait, close, forget.
//!
//! The only lock order is: a shard of the directory, then one channel; never two channels, never a lock over a
//! wake, a journal's answer or an await. Messages become visible under the channel's lock, and only then is
//! anybody rung or answered. Time is an argument everywhere.

mod append;
mod channel;
mod directory;
mod publish;
mod read;
mod sweep;
mod wait;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use append::{Append, Ending, Publish, Published, Stamp};
pub use read::{Found, Locator, Standing, View};
pub use wait::Wait;

use crate::batch::Recent;
use crate::journal::{Journal, MemoryJournal};
use crate::notifier::{Lane, Notifier};
use crate::retention::Retention;
use crate::sync::Mutex;
use directory::Directory;

/// All channels of one server. A clone is the same store.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

pub(crate) struct Inner {
    directory: Directory,
    notifier: Arc<Notifier>,
    journal: Arc<dyn Journal>,
    retention: Retention,
    /// Held for a push and some pops when a batch is made, which is once a publish and not once a reader.
    recent: Mutex<Recent>,
    /// What all logs weigh together, in bytes. Moves after the logs do, so it is a measure and not a lock.
    weight: AtomicU64,
    published: AtomicU64,
    sweeper: Mutex<sweep::Place>,
}

impl Store {
    /// A store above `journal`.
    pub fn new(journal: Arc<dyn Journal>, retention: Retention) -> Self {
        Self(Arc::new(Inner {
            directory: Directory::default(),
            notifier: Arc::default(),
            journal,
            retention,
            recent: Mutex::default(),
            weight: AtomicU64::new(0),
            published: AtomicU64::new(0),
            sweeper: Mutex::default(),
        }))
    }

    /// A store that keeps everything in memory and ends with the process.
    #[must_use]
    pub fn in_memory(retention: Retention) -> Self {
        Self::new(Arc::new(MemoryJournal), retention)
    }

    /// A door for one worker's waiters; see [`Lane`].
    #[must_use]
    pub fn lane(&self) -> Lane {
        Lane::default()
    }

    /// Who waits for what.
    #[must_use]
    pub fn notifier(&self) -> &Arc<Notifier> {
        &self.0.notifier
    }

    /// The bounds in force.
    #[must_use]
    pub fn retention(&self) -> &Retention {
        &self.0.retention
    }

    /// The weight of everything retained in memory, in bytes.
    #[must_use]
    pub fn weight(&self) -> u64 {
        self.0.weight.load(Ordering::Relaxed)
    }

    /// How many channels there are.
    #[must_use]
    pub fn channels(&self) -> u64 {
        self.0.directory.len()
    }

    /// How many messages became visible since the store was made.
    #[must_use]
    pub fn published(&self) -> u64 {
        self.0.published.load(Ordering::Relaxed)
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("channels", &self.channels())
            .field("weight", &self.weight())
            .finish_non_exhaustive()
    }
}
