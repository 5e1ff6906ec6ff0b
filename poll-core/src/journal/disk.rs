//! The journal on disk: what was acknowledged has been written to a log and synced.
//!
//! One thread writes the log (`writer`, `log`): it appends whatever has come from all channels during the sync before, and
//! answers afterwards. One thread moves full segments of it to a database behind (`indexer`, `index_queue`, `commit`), and
//! deletes there what retention no longer covers (`retention`). A few threads read (`reader`): a channel's tail when it is
//! first used, and what is older than the tail. The database is a [redb](https://docs.rs/redb) file. `format` and `codec` say
//! what is in it, `recovery` how log and database are opened after a crash, and `synced_file` how the database survives a
//! failed fsync. `docs/journal.md` has the whole of it.
//!
//! Not here: what a channel is, which readers wait for it, and when a message is too old. That is the store's.

mod backoff;
mod backup;
mod cached_channel;
mod codec;
mod commit;
mod commit_state;
mod damage;
mod fault;
mod format;
mod in_flight;
mod index_queue;
mod indexer;
mod listing;
mod lives;
mod log;
mod open_file;
mod options;
mod read_queue;
mod reader;
mod recovery;
mod renewal;
mod retention;
mod salvage;
mod shared;
mod stored_channel;
mod sweeper;
mod synced_file;
mod tables;
mod unfollowed;
mod unreadable;
mod view;
mod weight;
mod write_queue;
mod writer;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::watch;

use super::{
    Append, Archive, Damage, Fault, FaultKind, Health, Host, Journal, KeptKey, Landmark, Listing, Loaded,
    Located, Mint, Piece, Reply, Selection, SoleArchive, Stretch, Tail, Taken,
};
use crate::environment::{Environment, Location, Thread};
use crate::life::{Producer, ProducerId};
use crate::types::{ChannelName, Epoch, JournalError, Timestamp};
pub use backup::{
    BackupError, ChannelRecord, EventRecord, LostRecord, MessageRecord, Record, Report, export, import,
};
use fault::unavailable;
pub use fault::{Panicked, on_panic};
pub use options::{Compact, Durability, Figures, Options, Progress, Recovered};
pub use salvage::{Condition, check, salvage};
use shared::Shared;
use write_queue::{Command, PendingAppend};

/// The journal. A clone is the same one; it ends with the last clone, or when it is closed.
#[derive(Clone)]
pub struct DiskJournal(Arc<Handle>);

/// Held by the owners and not by the threads, which end when it is dropped.
struct Handle(Arc<Shared>);

impl DiskJournal {
    /// Opens the journal at a location, or creates it, and waits until it can be used. `progress` is called from a thread of
    /// the journal's own.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub async fn open(
        environment: &Environment,
        location: impl Location,
        options: Options,
        progress: impl Fn(Progress) + Send + Sync + 'static,
    ) -> Result<Self, Fault> {
        let journal = Self::start(environment, location, options, progress)?;
        journal.opened().await.map(|()| journal)
    }

    /// Begins to open the journal on a thread of its own. Until it is open it is [away](Health::Away); see
    /// [`opened`](Self::opened).
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn start(
        environment: &Environment,
        location: impl Location,
        options: Options,
        progress: impl Fn(Progress) + Send + Sync + 'static,
    ) -> Result<Self, Fault> {
        let shared = Shared::new(environment, Arc::new(location), options, Arc::new(progress));
        let shared = Arc::new(shared);
        let spawn = |thread: Thread| match environment.spawn(thread) {
            // How a thread ended is in the journal's health.
            Ok(_exit) => Ok(()),
            Err(error) => {
                Err(Fault::new(FaultKind::Failing, format!("there is no thread for the journal: {error}")))
            }
        };
        let journal = Self(Arc::new(Handle(shared.clone())));
        spawn(Thread::new("journal", writer::run(shared.clone())))?;
        spawn(Thread::new("journal-index", indexer::run(shared.clone())))?;
        for _ in 0..options.readers.max(1) {
            spawn(Thread::new("journal-reader", reader::run(shared.clone())))?;
        }
        Ok(journal)
    }

    /// Waits until the journal can be used.
    ///
    /// # Errors
    /// Why it never will.
    pub async fn opened(&self) -> Result<(), Fault> {
        let mut opened = self.0.0.opened.subscribe();
        // The sender is here, so there is an end to wait for.
        let ended = opened.wait_for(Option::is_some).await.ok();
        ended.and_then(|ended| ended.clone()).unwrap_or(Ok(()))
    }

    /// What the journal has done so far.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.0.0.figures()
    }

    /// Checks on a commit that takes too long, and has the journal verify its file. Its [health](Archive::health) then says
    /// what was found. To be called every second or so; returns at once.
    pub fn verify(&self) {
        let shared = &self.0.0;
        if let Some(age) = shared.in_flight.age().filter(|age| *age >= shared.options.stall) {
            shared.stalled(age);
        }
        // A journal that has ended has no file to verify.
        drop(shared.writes.send(Command::Verify));
    }

    /// Moves what the log holds to the database, and waits for that. It happens by itself when a segment is full.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn settle(&self) -> Result<(), JournalError> {
        // A segment that is being moved already, and the one behind it.
        for _ in 0..2 {
            let (sender, answer) = tokio::sync::oneshot::channel();
            // If it fails, the one that waited has left.
            let reply: Reply<()> = Box::new(move |settled| drop(sender.send(settled)));
            drop(self.0.0.writes.send(Command::Seal(Some(reply))));
            answer.await.unwrap_or_else(|_| Err(unavailable("it is closed")))?;
        }
        Ok(())
    }

    /// Has a reader look something up, and answers.
    fn ask<T: 'static>(
        &self,
        reply: Reply<T>,
        read: impl FnOnce(&Shared) -> Result<T, JournalError> + Send + 'static,
    ) {
        let shared = self.0.0.clone();
        self.0.0.reads.push(Box::new(move |open| reply(open.and_then(|()| read(&shared)))));
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
        if let Err(error) = shared.health.borrow().check_writable() {
            return Taken::Refused(append, error);
        }
        if let Some(why) = shared.full_for(&append) {
            // What the log holds may be counted although it is deleted, and is only deleted from the database.
            drop(shared.writes.send(Command::Seal(None)));
            return Taken::Refused(append, JournalError::Full(why.to_owned()));
        }
        let (bytes, durability) = (append.weight(), shared.options.durability);
        let Some(room) = shared.writes.reserve(bytes, shared.options.queue_bytes) else {
            return Taken::Refused(append, unavailable("more waits to be written than may"));
        };
        let append = mint.mint(append);
        let (entry, taken) = match durability {
            Durability::Commit => (PendingAppend::waiting(append, bytes), Taken::Queued),
            Durability::Interval(_) => (PendingAppend::visible(&append, bytes), Taken::Kept(append)),
        };
        room.push(entry, durability);
        taken
    }

    fn attach(&self, host: Host) {
        // A second store would mint its own numbers.
        let attached = self.0.0.host.set(host);
        debug_assert!(attached.is_ok(), "a journal is below one store");
    }

    fn archive(self: Arc<Self>) -> Option<Arc<dyn SoleArchive>> {
        Some(self)
    }
}

impl Archive for DiskJournal {
    fn load(&self, channel: &ChannelName, now: Timestamp, reply: Reply<Option<Loaded>>) {
        let (shared, channel) = (self.0.0.clone(), channel.clone());
        self.0.0.reads.push(Box::new(move |open| match open {
            Ok(()) => reader::load(&shared, &channel, now, reply),
            Err(error) => reply(Err(error)),
        }));
    }

    fn read(&self, stretch: Stretch, reply: Reply<Option<Piece>>) {
        self.ask(reply, move |shared| reader::messages(shared, &stretch));
    }

    fn locate(&self, channel: &ChannelName, epoch: Epoch, landmark: Landmark, reply: Reply<Option<Located>>) {
        let channel = channel.clone();
        self.ask(reply, move |shared| reader::locate(shared, &channel, epoch, landmark));
    }

    fn list(&self, selection: Selection, now: Timestamp, reply: Reply<Listing>) {
        self.ask(reply, move |shared| listing::list(shared, &selection, now));
    }

    fn sweep(&self, now: Timestamp) {
        self.0.0.indexing.sweep(now);
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
        if let Err(Command::Close(reply)) = self.0.0.writes.send(Command::Close(reply)) {
            reply(Ok(()));
        }
    }
}

impl SoleArchive for DiskJournal {
    fn has_forks(&self, channel: &ChannelName, reply: Reply<bool>) {
        let channel = channel.clone();
        self.ask(reply, move |shared| reader::has_forks(shared, &channel));
    }

    fn producers(&self, channel: &ChannelName, reply: Reply<Vec<(ProducerId, Producer)>>) {
        let channel = channel.clone();
        self.ask(reply, move |shared| reader::producers(shared, &channel));
    }

    fn lapsed(&self, now: Timestamp, reply: Reply<Vec<ChannelName>>) {
        self.ask(reply, move |shared| reader::lapsed(shared, now));
    }

    fn keys(&self, channel: &ChannelName, now: Timestamp, reply: Reply<Vec<KeptKey>>) {
        let channel = channel.clone();
        self.ask(reply, move |shared| reader::keys(shared, &channel, now));
    }

    fn admit(&self, most: u64) -> bool {
        let shared = &self.0.0;
        if !shared.overhead().takes_channels(shared.max_bytes()) {
            return false;
        }
        let room = |channels| (channels < most).then_some(channels + 1);
        shared.channels.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_ok()
    }

    fn dismiss(&self) {
        self.0.0.uncount_channels(1);
    }

    fn make_room(&self, now: Timestamp, reply: Reply<bool>) {
        self.0.0.indexing.make_room(now, reply);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // The threads finish what they have and end. Nothing waits for them here, because this may run on one of them.
        self.0.writes.close();
        self.0.reads.close();
    }
}

impl std::fmt::Debug for DiskJournal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DiskJournal")
            .field("location", &self.0.0.location)
            .field("health", &*self.0.0.health.borrow())
            .finish_non_exhaustive()
    }
}
