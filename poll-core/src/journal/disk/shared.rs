//! What the writer, the readers and the owners of a journal share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use redb::{Database, Error};
use tokio::sync::watch;

use super::codec::{Overhead, Totals};
use super::damage::Damages;
use super::fault::{self, OpenError};
use super::in_flight::InFlight;
use super::options::{Figures, Options, Progress};
use super::read_queue::ReadQueue;
use super::synced_file::FileState;
use super::write_queue::{Command, PendingAppend, WriteQueue};
use crate::environment::{Environment, Location};
use crate::journal::{Fault, FaultKind, Health, Host};
use crate::types::JournalError;

pub(super) struct Shared {
    pub(super) environment: Environment,
    pub(super) location: Box<dyn Location>,
    pub(super) options: Options,
    pub(super) progress: Arc<dyn Fn(Progress) + Send + Sync>,
    pub(super) writes: Arc<WriteQueue>,
    pub(super) reads: ReadQueue,
    /// Locked for reading during each transaction, and for writing to replace the database after a failure. A database
    /// in here has no commit of unknown outcome.
    database: RwLock<OpenDatabase>,
    /// A copy of [`OpenDatabase::generation`] that can be read without the lock.
    generation: AtomicU64,
    pub(super) in_flight: InFlight,
    /// Locked for reading while a channel is loaded, for writing while one is forgotten.
    pub(super) forget_lock: RwLock<()>,
    pub(super) health: watch::Sender<Health>,
    /// How opening ended, once it has.
    pub(super) opened: watch::Sender<Option<Result<(), OpenError>>>,
    pub(super) host: OnceLock<Host>,
    pub(super) channels: AtomicU64,
    /// What the file holds besides messages, as of the last commit.
    overhead: Mutex<Overhead>,
    pub(super) file: Arc<FileState>,
    pub(super) damages: Damages,
    pub(super) commits: AtomicU64,
    pub(super) publishes: AtomicU64,
}

/// The database that all threads use.
#[derive(Default)]
pub(super) struct OpenDatabase {
    /// Counts the databases that were opened one after the other, so that an error of an earlier one can be told apart.
    pub(super) generation: u64,
    pub(super) database: Option<Database>,
}

impl Shared {
    pub(super) fn new(
        environment: &Environment,
        location: Box<dyn Location>,
        options: Options,
        progress: Arc<dyn Fn(Progress) + Send + Sync>,
    ) -> Self {
        Self {
            environment: environment.clone(),
            location,
            options,
            progress,
            writes: Arc::default(),
            reads: ReadQueue::default(),
            database: RwLock::default(),
            generation: AtomicU64::new(0),
            in_flight: InFlight::default(),
            forget_lock: RwLock::new(()),
            health: watch::Sender::new(Health::Away(Fault::new(FaultKind::Opening, "it is being opened"))),
            opened: watch::Sender::new(None),
            host: OnceLock::new(),
            channels: AtomicU64::new(0),
            overhead: Mutex::default(),
            file: Arc::default(),
            damages: Damages::default(),
            commits: AtomicU64::new(0),
            publishes: AtomicU64::new(0),
        }
    }

    pub(super) fn overhead(&self) -> Overhead {
        *self.overhead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_overhead(&self, totals: &Totals) {
        let overhead = totals.overhead.unwrap_or_default();
        *self.overhead.lock().unwrap_or_else(PoisonError::into_inner) = overhead;
    }

    /// The bound on all bytes.
    pub(super) fn max_bytes(&self) -> u64 {
        self.host.get().map_or(u64::MAX, |host| host.retention().bytes())
    }

    pub(super) fn database(&self) -> RwLockReadGuard<'_, OpenDatabase> {
        self.database.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets or removes the database. The previous one is closed when this returns.
    pub(super) fn put_database(&self, database: Option<Database>) {
        let mut open = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if database.is_some() {
            open.generation += 1;
            self.generation.store(open.generation, Ordering::Relaxed);
        }
        let old = std::mem::replace(&mut open.database, database);
        drop(open);
        drop(old);
    }

    pub(super) fn count(&self, entries: &[PendingAppend]) {
        if !entries.is_empty() {
            self.commits.fetch_add(1, Ordering::Relaxed);
            self.publishes.fetch_add(entries.len() as u64, Ordering::Relaxed);
        }
    }

    pub(super) fn figures(&self) -> Figures {
        Figures {
            commits: self.commits.load(Ordering::Relaxed),
            publishes: self.publishes.load(Ordering::Relaxed),
        }
    }

    /// A read of the database of this generation failed: the health changes, and the writer is notified. An error of an earlier
    /// generation is ignored.
    pub(super) fn suspect(&self, generation: u64, error: Error) {
        let fault = fault::fault(&error);
        self.health.send_if_modified(|health| {
            let is_news =
                health.check_readable().is_ok() && self.generation.load(Ordering::Relaxed) == generation;
            if is_news {
                *health = Health::Away(fault);
            }
            is_news
        });
        // A journal that has ended has no writer to tell.
        drop(self.writes.send(Command::Suspect(generation, error)));
    }

    /// A commit has been under way for this long.
    pub(super) fn stalled(&self, age: Duration) {
        let why = format!("a commit to {} has taken {age:.1?} so far", self.location.name());
        self.health.send_if_modified(|health| {
            let is_news = *health == Health::Ready;
            if is_news {
                *health = Health::Refusing(Fault::new(FaultKind::Stalled, why.clone()));
            }
            is_news
        });
        if self.in_flight.tell_after(2 * self.options.stall, &why) {
            for entry in self.writes.drain_waiting() {
                entry.append.failed(JournalError::Unavailable(why.clone()));
            }
        }
    }

    /// A commit has ended, however long it took.
    pub(super) fn unstalled(&self) {
        let is_stalled =
            |health: &Health| matches!(health, Health::Refusing(fault) if fault.kind == FaultKind::Stalled);
        self.health.send_if_modified(|health| {
            let over = is_stalled(health);
            if over {
                *health = Health::Ready;
            }
            over
        });
    }
}
