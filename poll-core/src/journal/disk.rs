//! The journal in one file, embedded: acknowledged means kept.
//!
//! One thread writes (`writer`): it commits what has come from all channels while it committed the batch before,
//! and answers after. A few threads read (`reader`): a channel's tail when it is first used, and what is older
//! than the tail. The file is a [redb](https://docs.rs/redb) database; `format` says what is in it, `recovery`
//! how it is opened after a crash, `retention` what goes from it, `medium` and `directory` where it lives, `commit`
//! what becomes of the publishes of one that fails, `fault` what is said then.
//!
//! Not here: what a channel is, who waits for it, and when a message is too old. That is the store's, which has
//! this below it as it has memory.

mod backup;
mod codec;
mod commit;
mod damage;
mod directory;
mod fault;
mod format;
mod in_flight;
mod queue;
mod reader;
mod recovery;
mod retention;
mod salvage;
mod stored_channel;
mod synced_file;
mod unreadable;
mod writer;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use redb::Database;
use tokio::sync::watch;

use super::{
    Append, Archive, Damage, Fault, FaultKind, Health, Host, Journal, KeptKey, Landmark, Loaded, Located,
    Mint, Piece, Reply, Stretch, Tail, Taken,
};
use crate::types::{ChannelName, Epoch, JournalError, Timestamp};
pub use backup::{
    BackupError, ChannelRecord, EventRecord, LostRecord, MessageRecord, Record, Report, export, import,
};
use codec::{Beside, Totals};
pub use directory::Directory;
pub use fault::{OpenError, catches_panics};
use in_flight::InFlight;
use queue::{Entry, Errand, Inbox};
use reader::{Job, Jobs};
pub use salvage::{Condition, check, salvage};
pub use synced_file::Medium;
use synced_file::Watch;

/// When a publisher is answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Durability {
    /// After the commit.
    #[default]
    Commit,
    /// At once; the commit follows after so long at the most. A crash loses what was not committed, and then
    /// tells every reader by a reset.
    Interval(Duration),
}

/// What a crash costs the next start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Repair {
    /// The whole file is read: about two seconds a gigabyte. Commits are as fast as they can be.
    #[default]
    Whole,
    /// Next to nothing, for commits that each cost about three times as much.
    Quick,
}

/// Whether opening gives unused space back to the file system.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Compact {
    /// The file keeps its size; freed pages are used again.
    #[default]
    Never,
    /// It is packed first, which takes about as long as copying it.
    AtOpen,
}

/// How a journal keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// When publishers are answered.
    pub durability: Durability,
    /// How much is in memory.
    pub tail: Tail,
    /// What a crash costs.
    pub repair: Repair,
    /// Whether unused space is given back.
    pub compact: Compact,
    /// Memory for the file's pages, in bytes. 64 MiB: the upper levels of its trees and what was written last.
    pub cache_bytes: usize,
    /// Payload that may wait for the writer, in bytes; publishes beyond are refused. 64 MiB: seconds of writing.
    pub queue_bytes: u64,
    /// Threads that read. 2: reads wait for the disk, not for a core.
    pub readers: usize,
    /// How long a commit may take before publishes are refused; after twice that, those who wait for it are told
    /// that the outcome is unknown. 5 s: ten times what a busy disk takes, and soon enough for whoever looks at the
    /// health.
    pub stall: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            durability: Durability::default(),
            tail: Tail::default(),
            repair: Repair::default(),
            compact: Compact::default(),
            cache_bytes: 64 << 20,
            queue_bytes: 64 << 20,
            readers: 2,
            stall: Duration::from_secs(5),
        }
    }
}

/// How far opening has come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Progress {
    /// The file is being opened.
    Opening,
    /// The last stop was no clean one: the file is being repaired, this far (from 0 to 1).
    Repairing(f64),
    /// Unused space is being given back.
    Compacting,
    /// The journal can be used.
    Ready,
}

/// What a journal has done since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Commits that brought publishes.
    pub commits: u64,
    /// Publishes they brought.
    pub publishes: u64,
}

/// The journal. A clone is the same one; it ends with the last clone, or when it is closed.
#[derive(Clone)]
pub struct DiskJournal(Arc<Handle>);

/// What the owners hold, and the threads do not: when it goes, they end.
struct Handle(Arc<Shared>);

struct Shared {
    medium: Box<dyn Medium>,
    options: Options,
    progress: Arc<dyn Fn(Progress) + Send + Sync>,
    inbox: Arc<Inbox>,
    jobs: Jobs,
    /// Held for reading for as long as one transaction, and for writing to take the database away after it
    /// failed: what waits is the writer, which has nothing else to do then. What is here has no doubt left in it.
    database: RwLock<Opened>,
    /// [`Opened::times`], for whoever must not wait for that lock.
    times: AtomicU64,
    in_flight: InFlight,
    /// Held for reading while a channel is loaded, for writing while one is forgotten.
    gate: RwLock<()>,
    health: watch::Sender<Health>,
    opened: Mutex<Option<Result<(), OpenError>>>,
    bell: Condvar,
    host: OnceLock<Host>,
    channels: AtomicU64,
    /// What is in the file beside messages, as of the last commit.
    keys_weight: AtomicU64,
    channels_weight: AtomicU64,
    watch: Arc<Watch>,
    damages: damage::Damages,
    figures: Counts,
}

/// The database that everybody uses.
#[derive(Default)]
struct Opened {
    /// How often one was put here: tells an error of this one from what an earlier one left behind.
    times: u64,
    database: Option<Database>,
}

#[derive(Default)]
struct Counts {
    commits: AtomicU64,
    publishes: AtomicU64,
}

impl DiskJournal {
    /// Opens the journal in a directory, or makes it, and waits until it can be used. After a crash that takes
    /// as long as `options.repair` says; `progress` is called from the journal's own thread.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(
        medium: impl Medium,
        options: Options,
        progress: impl Fn(Progress) + Send + Sync + 'static,
    ) -> Result<Self, OpenError> {
        let journal = Self::start(medium, options, progress)?;
        let shared = &journal.0.0;
        let opening = shared.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = shared.bell.wait_while(opening, |opened| opened.is_none());
        let opened = opened.unwrap_or_else(PoisonError::into_inner).clone();
        opened.unwrap_or(Ok(())).map(|()| journal)
    }

    /// Begins to open the journal, on a thread of its own. Until it is open it is
    /// [away](Health::Away); see [`opened`](Self::opened).
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(
        medium: impl Medium,
        options: Options,
        progress: impl Fn(Progress) + Send + Sync + 'static,
    ) -> Result<Self, OpenError> {
        let shared = Arc::new(Shared::new(Box::new(medium), options, Arc::new(progress)));
        let thread = |name: &str, run: fn(&Arc<Shared>)| {
            let shared = shared.clone();
            let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || run(&shared));
            thread
                .map_err(|error| OpenError::Unusable(format!("there is no thread for the journal: {error}")))
        };
        let journal = Self(Arc::new(Handle(shared.clone())));
        thread("journal", writer::run)?;
        for _ in 0..options.readers.max(1) {
            thread("journal-reader", |shared| reader::run(shared))?;
        }
        Ok(journal)
    }

    /// Waits until the journal can be used.
    ///
    /// # Errors
    /// Why it never will.
    pub async fn opened(&self) -> Result<(), OpenError> {
        let shared = &self.0.0;
        let mut health = shared.health.subscribe();
        loop {
            let opened = shared.opened.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(opened) = opened {
                return opened;
            }
            if health.changed().await.is_err() {
                return Err(OpenError::Unusable("the journal was closed while it was opened".to_owned()));
            }
        }
    }

    /// What it has done so far.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let counts = &self.0.0.figures;
        Figures {
            commits: counts.commits.load(Ordering::Relaxed),
            publishes: counts.publishes.load(Ordering::Relaxed),
        }
    }

    /// Looks after the journal, and has it look at its file: its [health](Archive::health) then says what was found.
    /// To be called every second or so. It returns at once.
    pub fn look(&self) {
        let shared = &self.0.0;
        if let Some(age) = shared.in_flight.age().filter(|age| *age >= shared.options.stall) {
            shared.stalled(age);
        }
        // A journal that has ended needs no looking after.
        drop(shared.inbox.ask(Errand::Look));
    }

    /// When publishers are answered.
    #[must_use]
    pub fn durability(&self) -> Durability {
        self.0.0.options.durability
    }
}

impl Journal for DiskJournal {
    fn append(&self, append: Append, mint: &mut Mint<'_>) -> Taken {
        let shared = &self.0.0;
        if let Err(error) = shared.health.borrow().keeps() {
            return Taken::Refused(append, error);
        }
        if append.key().is_some() && !shared.beside().takes_keys(shared.most_bytes()) {
            let why = "a quarter of the retained bytes is idempotency keys".to_owned();
            return Taken::Refused(append, JournalError::Full(why));
        }
        let (bytes, durability) = (append.weight(), shared.options.durability);
        let Some(room) = shared.inbox.room(bytes, shared.options.queue_bytes) else {
            return Taken::Refused(append, busy());
        };
        let append = mint.mint(append);
        let (entry, taken) = match durability {
            Durability::Commit => (Entry { append, receipt: None, bytes }, Taken::Queued),
            Durability::Interval(_) => {
                let receipt = Some(append.write_behind());
                (Entry { append: append.copy(), receipt, bytes }, Taken::Kept(append))
            }
        };
        room.put(entry, durability);
        taken
    }

    fn attach(&self, host: Host) {
        // A second store would mint numbers of its own.
        let attached = self.0.0.host.set(host);
        debug_assert!(attached.is_ok(), "a journal is below one store");
    }

    fn archive(&self) -> Option<&dyn Archive> {
        Some(self)
    }
}

impl Archive for DiskJournal {
    fn load(&self, channel: &ChannelName, now: Timestamp, reply: Reply<Option<Loaded>>) {
        self.0.0.jobs.put(Job::Load(channel.clone(), now, reply));
    }

    fn keys(&self, channel: &ChannelName, now: Timestamp, reply: Reply<Vec<KeptKey>>) {
        self.0.0.jobs.put(Job::Keys(channel.clone(), now, reply));
    }

    fn read(&self, stretch: Stretch, reply: Reply<Option<Piece>>) {
        self.0.0.jobs.put(Job::Read(stretch, reply));
    }

    fn locate(&self, channel: &ChannelName, epoch: Epoch, landmark: Landmark, reply: Reply<Option<Located>>) {
        self.0.0.jobs.put(Job::Locate(channel.clone(), epoch, landmark, reply));
    }

    fn admit(&self, most: u64) -> bool {
        let shared = &self.0.0;
        if !shared.beside().takes_channels(shared.most_bytes()) {
            return false;
        }
        let room = |channels| (channels < most).then_some(channels + 1);
        shared.channels.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_ok()
    }

    fn dismiss(&self) {
        self.0.0.channels.fetch_sub(1, Ordering::Relaxed);
    }

    fn make_room(&self, now: Timestamp, reply: Reply<bool>) {
        if let Err(Errand::Room(_, reply)) = self.0.0.inbox.ask(Errand::Room(now, reply)) {
            reply(Err(JournalError::Unavailable("it is closed".to_owned())));
        }
    }

    fn sweep(&self, now: Timestamp) {
        // A journal that has ended needs no sweeping.
        drop(self.0.0.inbox.ask(Errand::Sweep(now)));
    }

    fn channels(&self) -> u64 {
        self.0.0.channels.load(Ordering::Relaxed)
    }

    fn tail(&self) -> Tail {
        self.0.0.options.tail
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.0.0.health.subscribe()
    }

    fn damage(&self) -> watch::Receiver<Damage> {
        self.0.0.damages.found()
    }

    fn close(&self, reply: Reply<()>) {
        if let Err(Errand::Close(reply)) = self.0.0.inbox.ask(Errand::Close(reply)) {
            reply(Ok(()));
        }
    }
}

impl Shared {
    fn new(medium: Box<dyn Medium>, options: Options, progress: Arc<dyn Fn(Progress) + Send + Sync>) -> Self {
        Self {
            medium,
            options,
            progress,
            inbox: Arc::default(),
            jobs: Jobs::default(),
            database: RwLock::default(),
            times: AtomicU64::new(0),
            in_flight: InFlight::default(),
            gate: RwLock::new(()),
            health: watch::Sender::new(Health::Away(Fault::new(FaultKind::Opening, "it is being opened"))),
            opened: Mutex::new(None),
            bell: Condvar::new(),
            host: OnceLock::new(),
            channels: AtomicU64::new(0),
            keys_weight: AtomicU64::new(0),
            channels_weight: AtomicU64::new(0),
            watch: Arc::default(),
            damages: damage::Damages::default(),
            figures: Counts::default(),
        }
    }

    /// What the file holds beside messages.
    fn beside(&self) -> Beside {
        let read = |weight: &AtomicU64| weight.load(Ordering::Relaxed);
        Beside { keys: read(&self.keys_weight), channels: read(&self.channels_weight), pages: None }
    }

    fn set_beside(&self, totals: &Totals) {
        let beside = totals.beside.unwrap_or_default();
        self.keys_weight.store(beside.keys, Ordering::Relaxed);
        self.channels_weight.store(beside.channels, Ordering::Relaxed);
    }

    /// The bound on all bytes.
    fn most_bytes(&self) -> u64 {
        self.host.get().map_or(u64::MAX, |host| host.retention().bytes())
    }

    fn database(&self) -> RwLockReadGuard<'_, Opened> {
        self.database.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts the database in place, or takes it away; closing the one before is done when this returns.
    fn put_database(&self, database: Option<Database>) {
        let mut opened = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if database.is_some() {
            opened.times += 1;
            self.times.store(opened.times, Ordering::Relaxed);
        }
        let old = std::mem::replace(&mut opened.database, database);
        drop(opened);
        drop(old);
    }

    fn opened(&self, opened: Result<(), OpenError>) {
        *self.opened.lock().unwrap_or_else(PoisonError::into_inner) = Some(opened);
        self.bell.notify_all();
        self.health.send_modify(|_| {});
    }
}

impl Counts {
    fn count(&self, entries: &[Entry]) {
        if !entries.is_empty() {
            self.commits.fetch_add(1, Ordering::Relaxed);
            self.publishes.fetch_add(entries.len() as u64, Ordering::Relaxed);
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // The threads keep what they have and end; nobody is made to wait for it here, for this may be one of
        // them.
        self.0.inbox.close();
        self.0.jobs.close();
    }
}

impl std::fmt::Debug for DiskJournal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DiskJournal")
            .field("medium", &self.0.0.medium)
            .field("health", &*self.0.0.health.borrow())
            .finish_non_exhaustive()
    }
}

fn busy() -> JournalError {
    JournalError::Unavailable("more waits to be written than may".to_owned())
}
