//! What the threads and the owners of a journal share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use redb::Error;
use tokio::sync::{Notify, watch};

use super::codec::{Overhead, Totals};
use super::damage::{Damages, Kind};
use super::fault;
use super::in_flight::InFlight;
use super::index_queue::IndexQueue;
use super::log::recent::Recent;
use super::open_file::OpenFile;
use super::options::{Figures, Options, Progress};
use super::read_queue::ReadQueue;
use super::sweeper::Sweeper;
use super::synced_file::FileState;
use super::unfollowed::Unfollowed;
use super::write_queue::WriteQueue;
use crate::environment::{Environment, Location};
use crate::journal::{Append, Fault, FaultKind, Health, Host};
use crate::sync::Mutex;
use crate::types::{ChannelName, JournalError, Retention};

/// A segment is sealed at a sixteenth of the bytes retained in all, within these bounds.
const SMALLEST: u64 = 16 << 10;
const LARGEST: u64 = 32 << 20;

pub(super) struct Shared {
    pub(super) environment: Environment,
    pub(super) location: Arc<dyn Location>,
    pub(super) options: Options,
    pub(super) progress: Arc<dyn Fn(Progress) + Send + Sync>,
    pub(super) writes: Arc<WriteQueue>,
    pub(super) reads: ReadQueue,
    /// Channels whose publishes may follow one that failed.
    pub(super) unfollowed: Unfollowed,
    /// Locked for reading during each transaction, and for writing to replace the database after a failure. A database
    /// in here has no commit of unknown outcome.
    database: RwLock<OpenDatabase>,
    pub(super) in_flight: InFlight,
    /// Locked for reading while a channel is loaded, for writing while one is forgotten.
    pub(super) forget_lock: RwLock<()>,
    /// What the log and the database can do, and below what the journal as a whole can.
    healths: Mutex<Healths>,
    pub(super) health: watch::Sender<Health>,
    /// How opening ended, once it has.
    pub(super) opened: watch::Sender<Option<Result<(), Fault>>>,
    pub(super) host: OnceLock<Host>,
    pub(super) channels: AtomicU64,
    /// What the file holds, as of the last commit.
    totals: Mutex<Totals>,
    /// Which lives are looked at next, for those whose time is over.
    pub(super) lapses: Mutex<Sweeper>,
    pub(super) file: Arc<FileState>,
    pub(super) damages: Damages,
    /// What was done so far; the queue's bytes are not kept here.
    figures: Mutex<Figures>,
    /// What the log holds and the database does not have yet.
    pub(super) recent: Arc<Recent>,
    pub(super) indexing: IndexQueue,
    /// Notified when a segment was indexed, or never will be.
    pub(super) indexed: Notify,
    /// The number of the next segment.
    pub(super) next_segment: AtomicU64,
}

/// The parts of the journal that can fail by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Component {
    Log,
    Database,
}

#[derive(Debug, Default)]
struct Healths {
    log: Health,
    database: Health,
}

/// The database that all threads use.
#[derive(Default)]
pub(super) struct OpenDatabase {
    /// Counts the databases that were opened one after the other, so that an error of an earlier one can be told apart.
    pub(super) generation: u64,
    pub(super) database: Option<OpenFile>,
}

impl Shared {
    pub(super) fn new(
        environment: &Environment,
        location: Arc<dyn Location>,
        options: Options,
        progress: Arc<dyn Fn(Progress) + Send + Sync>,
    ) -> Self {
        let opening = Health::Away(Fault::new(FaultKind::Opening, "it is being opened"));
        Self {
            environment: environment.clone(),
            location,
            options,
            progress,
            writes: Arc::default(),
            reads: ReadQueue::default(),
            unfollowed: Unfollowed::default(),
            database: RwLock::default(),
            in_flight: InFlight::default(),
            healths: Mutex::new(Healths { log: Health::Ready, database: opening.clone() }),
            forget_lock: RwLock::new(()),
            health: watch::Sender::new(opening),
            opened: watch::Sender::new(None),
            host: OnceLock::new(),
            channels: AtomicU64::new(0),
            totals: Mutex::default(),
            lapses: Mutex::default(),
            file: Arc::default(),
            damages: Damages::default(),
            figures: Mutex::default(),
            recent: Arc::default(),
            indexing: IndexQueue::default(),
            indexed: Notify::new(),
            next_segment: AtomicU64::new(1),
        }
    }

    /// What is kept besides messages, in the database and in the log.
    pub(super) fn overhead(&self) -> Overhead {
        self.totals.lock().overhead.unwrap_or_default().plus(self.recent.overhead())
    }

    /// The weight of messages that are never evicted, in the database and in the log.
    pub(super) fn unevictable(&self) -> u64 {
        self.totals.lock().unevictable.saturating_add(self.recent.unevictable())
    }

    /// Why there is no room for a publish; `None` if there is.
    pub(super) fn full_for(&self, append: &Append) -> Option<&'static str> {
        if append.key().is_some() && !self.overhead().takes_keys(self.max_bytes()) {
            return Some("a quarter of the retained bytes is idempotency keys");
        }
        let is_evicted = !append.bounds().is_some_and(|bounds| bounds.keep_everything());
        let weight = append.weight();
        if is_evicted || weight == 0 || self.unevictable() + weight <= self.max_bytes() {
            return None;
        }
        Some("channels without retention fill what may be retained")
    }

    /// So many channels are gone. Where damage hid some when the file was opened, they are fewer than that.
    pub(super) fn uncount_channels(&self, count: u64) {
        let rest = |channels: u64| Some(channels.saturating_sub(count));
        // It always changes.
        let _ = self.channels.fetch_update(Ordering::Relaxed, Ordering::Relaxed, rest);
    }

    /// A commit was made, or the file was opened.
    pub(super) fn set_totals(&self, totals: Totals) {
        *self.totals.lock() = totals;
    }

    /// The bounds in force; none before there is a store.
    pub(super) fn retention(&self) -> Retention {
        self.host.get().map_or(UNBOUNDED, |host| *host.retention())
    }

    pub(super) fn health_of(&self, component: Component) -> Health {
        let healths = self.healths.lock();
        match component {
            Component::Log => healths.log.clone(),
            Component::Database => healths.database.clone(),
        }
    }

    /// Changes what one part of the journal can do. The journal as a whole can do what both can.
    pub(super) fn set_health(&self, component: Component, health: Health) {
        let mut healths = self.healths.lock();
        match component {
            Component::Log => healths.log = health,
            Component::Database => healths.database = health,
        }
        let rank = |health: &Health| match health {
            Health::Ready => 0,
            Health::Refusing(_) => 1,
            Health::Away(_) => 2,
            Health::Lost(_) => 3,
        };
        let worse =
            if rank(&healths.log) > rank(&healths.database) { &healths.log } else { &healths.database };
        self.health.send_if_modified(|health| {
            let is_news = health != worse;
            health.clone_from(worse);
            is_news
        });
        drop(healths);
        if component == Component::Database {
            // A writer that waits for the database waits no longer if that has failed.
            self.indexed.notify_one();
        }
    }

    /// The bound on all bytes.
    pub(super) fn max_bytes(&self) -> u64 {
        self.retention().bytes()
    }

    /// The size at which a segment of the log is sealed, in bytes.
    pub(super) fn segment_bytes(&self) -> u64 {
        self.options.segment_bytes.unwrap_or((self.max_bytes() / 16).clamp(SMALLEST, LARGEST))
    }

    pub(super) fn database(&self) -> RwLockReadGuard<'_, OpenDatabase> {
        self.database.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets or removes the database. The previous one is closed when this returns.
    pub(super) fn put_database(&self, database: Option<OpenFile>) {
        let mut open = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if database.is_some() {
            open.generation += 1;
        }
        let old = std::mem::replace(&mut open.database, database);
        drop(open);
        drop(old);
    }

    /// A channel turned out to be damaged.
    pub(super) fn note_damage(&self, name: &ChannelName, why: &str) {
        let line = || format!("channel {:?}: {why}", name.as_str());
        self.damages.note(Kind::Name, name.shard(usize::MAX) as u64, (0, 0), line);
    }

    /// What all channels are found by turned out to be damaged.
    pub(super) fn note_damaged_tables(&self, why: &str) {
        self.damages.note(Kind::Tables, 0, (0, 0), || format!("a table of all channels: {why}"));
    }

    /// The log took a batch of so many publishes, in this time.
    pub(super) fn committed(&self, publishes: usize, time: Duration) {
        let mut figures = self.figures.lock();
        figures.commits += 1;
        figures.publishes += publishes as u64;
        figures.commit_time += time;
    }

    pub(super) fn figures(&self) -> Figures {
        Figures { queued_bytes: self.writes.bytes(), ..*self.figures.lock() }
    }

    /// A read of the database of this generation failed: the health changes, and the indexer is notified. An error of an
    /// earlier generation is ignored.
    pub(super) fn read_failed(&self, generation: u64, error: Error) {
        let open = self.database();
        // Under the lock, so that the health says that the next one can be read only after this.
        if open.generation == generation && self.health.borrow().check_readable().is_ok() {
            self.set_health(Component::Database, Health::Away(fault::fault(&error)));
        }
        drop(open);
        self.indexing.read_failed(generation, error);
    }

    /// A commit has been under way for this long.
    pub(super) fn stalled(&self, age: Duration) {
        let why = format!("a commit to {} has taken {age:.1?} so far", self.location.name());
        if *self.health.borrow() == Health::Ready {
            self.set_health(Component::Log, Health::Refusing(Fault::new(FaultKind::Stalled, why.clone())));
        }
        if self.in_flight.mark_doubtful_after(2 * self.options.stall, &why) {
            for entry in self.writes.drain_waiting(|entry| self.unfollowed.failed(entry)) {
                entry.append.failed(JournalError::Unavailable(why.clone()));
            }
        }
    }

    /// A commit has ended, however long it took.
    pub(super) fn unstalled(&self) {
        if self.health_of(Component::Log).fault().is_some_and(|fault| fault.kind == FaultKind::Stalled) {
            self.set_health(Component::Log, Health::Ready);
        }
    }
}

/// Nothing is bounded.
pub(super) const UNBOUNDED: Retention = Retention {
    messages: 0,
    age: Duration::ZERO,
    bytes: 0,
    channels: 0,
    idempotency: Duration::MAX,
    keys: usize::MAX,
};
