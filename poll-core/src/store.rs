//! Channels with their logs: publish, read, wait, close, forget.
//!
//! The only lock order is: a table of loads under way, a shard of the directory, one channel; never two channels,
//! never a lock over a wake, a journal's answer or an await. Messages become visible under the channel's lock, and only then is
//! anybody rung or answered. Time is an argument everywhere.

mod append;
mod channel;
mod cold;
mod directory;
mod flight;
mod host;
mod notes;
mod publish;
mod read;
mod resident;
mod seal;
mod sweep;
mod transit;
mod wait;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use append::{Append, Mint, Minted, Unminted, WriteBehind};
pub use host::Host;
pub use publish::Publishing;
pub use read::{Found, Locator, Standing, View};
pub use seal::Seal;
pub use wait::Wait;

use crate::batch::Recent;
use crate::journal::{Archive, Damage, Journal, MemoryJournal};
use crate::memory::Memory;
use crate::notifier::{Lane, Notifier};
use crate::sync::Mutex;
use crate::types::{ChannelName, JournalError, Retention};
use channel::{Channel, Room};
use cold::Cold;
use directory::Directory;
use flight::Flights;

/// All channels of one server. A clone is the same store.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

pub(crate) struct Inner {
    directory: Directory,
    notifier: Arc<Notifier>,
    journal: Arc<dyn Journal>,
    retention: Retention,
    /// What is kept beside the logs.
    memory: Memory,
    /// What memory may hold. With an archive below, that is less than what is retained.
    room: Room,
    /// Loads and reads under way in the archive.
    loads: Flights<ChannelName, Arc<Channel>>,
    cold: Cold,
    /// Held for a push and some pops when a batch is made, which is once a publish and not once a reader.
    recent: Mutex<Recent>,
    /// What all logs weigh together, in bytes. Moves after the logs do, so it is a measure and not a lock.
    weight: AtomicU64,
    published: AtomicU64,
    sweeper: Mutex<sweep::Place>,
}

impl Store {
    /// A store above `journal`, with the default budget for what is kept beside the logs.
    pub fn new(journal: Arc<dyn Journal>, retention: Retention) -> Self {
        Self::with_memory(journal, retention, Memory::default())
    }

    /// The same on an account of the caller's.
    pub fn with_memory(journal: Arc<dyn Journal>, retention: Retention, memory: Memory) -> Self {
        let room = match journal.archive() {
            None => Room::Retained(retention.bytes()),
            Some(archive) => Room::Tail(archive.tail().bytes.min(retention.bytes())),
        };
        let store = Self(Arc::new(Inner {
            directory: Directory::default(),
            notifier: Arc::default(),
            journal,
            retention,
            room,
            loads: Flights::default(),
            cold: Cold::default(),
            recent: Mutex::new(Recent::new(&memory)),
            memory,
            weight: AtomicU64::new(0),
            published: AtomicU64::new(0),
            sweeper: Mutex::default(),
        }));
        store.0.journal.attach(Host::of(&store.0));
        store
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

    /// The account of what is kept beside the logs.
    #[must_use]
    pub fn memory(&self) -> &Memory {
        &self.0.memory
    }

    /// The weight of all messages in memory, in bytes.
    #[must_use]
    pub fn weight(&self) -> u64 {
        self.0.weight.load(Ordering::Relaxed)
    }

    /// How many channels there are, in memory or not.
    #[must_use]
    pub fn channels(&self) -> u64 {
        self.0.journal.archive().map_or_else(|| self.0.directory.len(), Archive::channels)
    }

    /// What was found damaged of what the journal keeps, so far and as more is; `None` where it keeps everything in memory.
    #[must_use]
    pub fn damage(&self) -> Option<tokio::sync::watch::Receiver<Damage>> {
        self.0.journal.archive().map(Archive::damage)
    }

    /// How many channels are in memory.
    #[must_use]
    pub fn channels_in_memory(&self) -> u64 {
        self.0.directory.len()
    }

    /// Has the journal keep all that it took, and stops it for good. Publishes fail from then on.
    ///
    /// # Errors
    /// When something was lost that the journal had promised to keep.
    pub async fn shut_down(&self) -> Result<(), JournalError> {
        let Some(archive) = self.0.journal.archive() else { return Ok(()) };
        let (reply, answer) = tokio::sync::oneshot::channel();
        archive.close(Box::new(move |closed| drop(reply.send(closed))));
        let stopped = |_| Err(JournalError::Unavailable("it stopped before it answered".to_owned()));
        answer.await.unwrap_or_else(stopped)
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
