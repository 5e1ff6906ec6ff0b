//! The store itself: what it is made of, and its figures.

use std::sync::Arc;

use super::fetched::Fetched;
use super::sealing::Sealing;
use super::single_flight::SingleFlight;
use crate::channel::{Channel, Due, MemoryLimit, Recent};
use crate::environment::{Environment, set_hash_key};
use crate::journal::{Archive, Damage, Host, Journal, MemoryJournal, SharedJournal, SoleArchive};
use crate::memory::Memory;
use crate::notifier::{Lane, Notifier};
use crate::residents::Residents;
use crate::sync::Mutex;
use crate::types::{ChannelName, JournalError, Retention};

/// All channels of one server. A clone is the same store.
#[derive(Clone)]
pub struct Store(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) residents: Arc<Residents>,
    pub(super) backing: Backing,
    /// The journal again, if it can be read back.
    pub(super) archive: Option<Arc<dyn Archive>>,
    /// Channels that are being loaded from the archive.
    pub(super) loads: SingleFlight<ChannelName, Arc<Channel>>,
    /// Pending reads from the archive, and the batches that were read last.
    pub(super) fetched: Fetched,
    /// Times of a shared journal that are being sealed.
    pub(super) sealing: Sealing,
    /// Held for a push and some pops when a batch is made, which is once per publish and not once per reader.
    pub(super) recent: Mutex<Recent>,
    /// What sweeps found to be done; see [`tend`](Store::tend).
    pub(super) due: Mutex<Vec<(ChannelName, Due)>>,
}

/// The journal below.
pub(super) enum Backing {
    Sole(Sole),
    Shared(Arc<dyn SharedJournal>),
}

/// A journal that only this store publishes to.
pub(super) struct Sole {
    pub(super) journal: Arc<dyn Journal>,
    /// The journal again, if it can be read back.
    pub(super) archive: Option<Arc<dyn SoleArchive>>,
}

impl Store {
    /// A store on top of `journal`, with the default budget for memory besides the logs.
    pub fn new(journal: Arc<dyn Journal>, retention: Retention) -> Self {
        Self::with_memory(journal, retention, Memory::default())
    }

    /// The same with an account of the caller's.
    pub fn with_memory(journal: Arc<dyn Journal>, retention: Retention, memory: Memory) -> Self {
        Self::within(Environment::system(), journal, retention, memory)
    }

    /// The same in an environment of the caller's.
    pub fn within(
        environment: Environment,
        journal: Arc<dyn Journal>,
        retention: Retention,
        memory: Memory,
    ) -> Self {
        let archive = journal.clone().archive();
        let read_back = archive.clone().map(|archive| archive as Arc<dyn Archive>);
        let attached = journal.clone();
        let backing = Backing::Sole(Sole { journal, archive });
        Self::above(environment, backing, read_back, retention, memory, |host| attached.attach(host))
    }

    /// A store that follows a log which other servers publish to as well. The log has to apply the same retention.
    pub fn following(
        environment: Environment,
        journal: Arc<dyn SharedJournal>,
        retention: Retention,
        memory: Memory,
    ) -> Self {
        let attached = journal.clone();
        let (backing, archive) = (Backing::Shared(journal.clone()), Some(journal as Arc<dyn Archive>));
        Self::above(environment, backing, archive, retention, memory, |host| attached.attach(host))
    }

    fn above(
        environment: Environment,
        backing: Backing,
        archive: Option<Arc<dyn Archive>>,
        retention: Retention,
        memory: Memory,
        attach: impl FnOnce(Host),
    ) -> Self {
        set_hash_key(&environment);
        let room = match &archive {
            None => MemoryLimit::Retained(retention.bytes()),
            Some(archive) => MemoryLimit::Tail(archive.tail().bytes.min(retention.bytes())),
        };
        let recent = Mutex::new(Recent::new(&memory));
        let residents = Arc::new(Residents::new(environment, retention, memory, room));
        attach(Host::of(&residents));
        let (loads, fetched, sealing) = (SingleFlight::default(), Fetched::default(), Sealing::default());
        let due = Mutex::default();
        Self(Arc::new(Inner { residents, backing, archive, loads, fetched, sealing, recent, due }))
    }

    /// The source of the store's randomness; callers use it for the time.
    #[must_use]
    pub fn environment(&self) -> &Environment {
        &self.0.residents.environment
    }

    /// A store that keeps everything in memory and ends with the process.
    #[must_use]
    pub fn in_memory(retention: Retention) -> Self {
        Self::new(Arc::new(MemoryJournal), retention)
    }

    /// A lane for one worker's waiters; see [`Lane`].
    #[must_use]
    pub fn lane(&self) -> Lane {
        Lane::default()
    }

    /// What wakes waiters.
    #[must_use]
    pub fn notifier(&self) -> &Arc<Notifier> {
        &self.0.residents.notifier
    }

    /// The bounds in force.
    #[must_use]
    pub fn retention(&self) -> &Retention {
        &self.0.residents.retention
    }

    /// The account of memory used besides the logs.
    #[must_use]
    pub fn memory(&self) -> &Memory {
        &self.0.residents.memory
    }

    /// The weight of all messages in memory, in bytes.
    #[must_use]
    pub fn weight(&self) -> u64 {
        self.0.residents.weight()
    }

    /// How many channels there are, in memory or not.
    #[must_use]
    pub fn channels(&self) -> u64 {
        self.archive().map_or_else(|| self.channels_in_memory(), Archive::channels)
    }

    /// What damage was found in the journal, now and as more is found; `None` if everything is in memory.
    #[must_use]
    pub fn damage(&self) -> Option<tokio::sync::watch::Receiver<Damage>> {
        self.archive().map(Archive::damage)
    }

    /// How many channels are in memory.
    #[must_use]
    pub fn channels_in_memory(&self) -> u64 {
        self.0.residents.directory.len()
    }

    /// Makes the journal keep everything that it took, and stops it for good. Publishes fail from then on.
    ///
    /// # Errors
    /// When something was lost that the journal had promised to keep.
    pub async fn shut_down(&self) -> Result<(), JournalError> {
        let Some(archive) = self.archive() else { return Ok(()) };
        let (reply, answer) = tokio::sync::oneshot::channel();
        archive.close(Box::new(move |closed| drop(reply.send(closed))));
        answer.await.unwrap_or_else(|_| Err(JournalError::unanswered()))
    }

    /// How many messages were published through this store since it was made.
    #[must_use]
    pub fn published(&self) -> u64 {
        self.0.residents.published()
    }

    pub(super) fn residents(&self) -> &Residents {
        &self.0.residents
    }

    /// Reads back what was stored; `None` if there are only the logs in memory.
    pub(super) fn archive(&self) -> Option<&dyn Archive> {
        self.0.archive.as_deref()
    }

    /// Whether other servers publish to the same log.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        matches!(self.0.backing, Backing::Shared(_))
    }

    /// The journal, if others publish to it as well.
    pub(super) fn shared(&self) -> Option<&dyn SharedJournal> {
        match &self.0.backing {
            Backing::Sole(_) => None,
            Backing::Shared(journal) => Some(journal.as_ref()),
        }
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
