//! The threads that read for those who must not wait for a disk: loading channels, older messages, landmarks.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use redb::{Database, ReadTransaction, ReadableDatabase};

use super::Shared;
use super::fault::{guarded, journal_error};
use super::format::{self, CHANNELS, KEYS, MESSAGES, NAMES, Result, TOTALS, decode_key, decode_message};
use super::inbox::Errand;
use super::ledger;
use super::place::{self, Place, all_of};
use crate::channel::ChannelName;
use crate::cursor::{Epoch, Seq};
use crate::error::JournalError;
use crate::journal::{KeptKey, Landmark, Loaded, Located, Reply, Stretch};
use crate::message::Message;
use crate::retention::Retention;
use crate::time::Timestamp;

/// What one load brings at the most: as much as one answer gives, so that who comes for what it missed while it
/// was away finds it in memory, and a channel nobody asks much of costs little.
const MESSAGES_LOADED: u64 = 1_000;
const BYTES_LOADED: u64 = 1 << 20;
/// … and as little of all that may be in memory.
const SHARE: u64 = 8;

/// Something to read.
pub(super) enum Job {
    Load(ChannelName, Timestamp, Reply<Option<Loaded>>),
    Keys(ChannelName, Timestamp, Reply<Vec<KeptKey>>),
    Read(Stretch, Reply<Vec<Arc<Message>>>),
    Locate(ChannelName, Epoch, Landmark, Reply<Located>),
}

/// What waits to be read.
#[derive(Default)]
pub(super) struct Jobs {
    state: Mutex<(VecDeque<Job>, Open)>,
    bell: Condvar,
}

#[derive(Default, PartialEq, Eq)]
enum Open {
    #[default]
    Yes,
    No,
}

impl Jobs {
    pub(super) fn put(&self, job: Job) {
        let mut state = self.lock();
        if state.1 == Open::Yes {
            state.0.push_back(job);
            drop(state);
            self.bell.notify_one();
        } else {
            drop(state);
            job.fail(&JournalError::Unavailable("it is closed".to_owned()));
        }
    }

    /// Takes nothing more; who is still waiting is told.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.1 = Open::No;
        let left = std::mem::take(&mut state.0);
        drop(state);
        self.bell.notify_all();
        let why = JournalError::Unavailable("it is closed".to_owned());
        left.into_iter().for_each(|job| job.fail(&why));
    }

    fn next(&self) -> Option<Job> {
        let idle = |state: &mut (VecDeque<Job>, Open)| state.0.is_empty() && state.1 == Open::Yes;
        let state = self.bell.wait_while(self.lock(), idle);
        state.unwrap_or_else(PoisonError::into_inner).0.pop_front()
    }

    fn lock(&self) -> MutexGuard<'_, (VecDeque<Job>, Open)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Job {
    fn fail(self, why: &JournalError) {
        match self {
            Self::Load(_, _, reply) => reply(Err(why.clone())),
            Self::Keys(_, _, reply) => reply(Err(why.clone())),
            Self::Read(_, reply) => reply(Err(why.clone())),
            Self::Locate(_, _, _, reply) => reply(Err(why.clone())),
        }
    }
}

/// Reads until there is nothing more to come.
pub(super) fn run(shared: &Shared) {
    while let Some(job) = shared.jobs.next() {
        match job {
            Job::Load(name, now, reply) => {
                // Until what was loaded is in memory, the channel must not be forgotten below it.
                let _gate = shared.gate.read();
                let retention = retention(shared);
                let bytes = (shared.options.tail.bytes / SHARE).min(BYTES_LOADED);
                reply(with(shared, |database| load(database, &name, now, &retention, bytes)));
            }
            Job::Keys(name, now, reply) => {
                reply(with(shared, |database| keys(database, &name, now, &retention(shared))));
            }
            Job::Read(stretch, reply) => reply(with(shared, |database| read(database, &stretch))),
            Job::Locate(name, epoch, landmark, reply) => {
                reply(with(shared, |database| locate(database, &name, epoch, landmark)));
            }
        }
    }
}

fn retention(shared: &Shared) -> Retention {
    shared.host.get().map(|host| *host.retention()).unwrap_or_default()
}

/// Runs `work` on the database, if it is open; has it opened anew if it fails.
fn with<T>(
    shared: &Shared,
    work: impl FnOnce(&Database) -> Result<T>,
) -> std::result::Result<T, JournalError> {
    let database = shared.database();
    let Some(open) = database.as_ref() else {
        drop(database);
        let health = shared.health.borrow().clone();
        return Err(health.gives().err().unwrap_or(JournalError::Unavailable("it is away".to_owned())));
    };
    let done = guarded(|| work(open));
    drop(database);
    done.map_err(|error| {
        let told = journal_error(&error);
        // If there is nobody to tell, it is closed.
        drop(shared.inbox.ask(Errand::Suspect(error)));
        told
    })
}

fn find(txn: &ReadTransaction, name: &ChannelName) -> Result<Option<(Place, Epoch)>> {
    let (names, channels) = (txn.open_table(NAMES)?, txn.open_table(CHANNELS)?);
    let losses = ledger::totals(&txn.open_table(TOTALS)?)?.losses;
    let place = place::find(&names, &channels, &txn.open_table(MESSAGES)?, name)?;
    Ok(place.map(|place| {
        let epoch = place.row.life(losses);
        (place, epoch)
    }))
}

fn load(
    database: &Database,
    name: &ChannelName,
    now: Timestamp,
    retention: &Retention,
    most: u64,
) -> Result<Option<Loaded>> {
    let txn = database.begin_read()?;
    let Some((place, epoch)) = find(&txn, name)? else { return Ok(None) };
    let messages = txn.open_table(MESSAGES)?;
    let (id, newest) = (place.id, place.row.newest);
    let mut oldest = place.oldest;
    if let Some(age) = retention.age() {
        let cutoff = now.before(age);
        if oldest.1 < cutoff {
            let (first, at) = place.first_unseen(&messages, |at, _| at < cutoff)?;
            oldest = (first, at.unwrap_or(place.row.newest_at));
        }
    }
    // What is over the number is deleted in slices: some of it may still be there.
    let numbered = newest.saturating_sub(retention.messages().try_into().unwrap_or(u64::MAX)) + 1;
    oldest.0 = oldest.0.max(numbered);
    let mut tail = Vec::new();
    let mut bytes = 0;
    for message in messages.range((id, oldest.0)..=(id, newest.max(oldest.0)))?.rev() {
        let (key, row) = message?;
        bytes += format::weight(row.value());
        if !tail.is_empty() && (bytes > most || tail.len() as u64 >= MESSAGES_LOADED) {
            break;
        }
        tail.push(decode_message(key.value().1, row.value())?);
    }
    tail.reverse();
    Ok(Some(Loaded {
        epoch,
        oldest: (Seq::new(oldest.0), oldest.1),
        newest: (Seq::new(newest), place.row.newest_at),
        ended: place.row.ended,
        tail,
    }))
}

/// The keys of a channel that are within their window and number, oldest first.
fn keys(
    database: &Database,
    name: &ChannelName,
    now: Timestamp,
    retention: &Retention,
) -> Result<Vec<KeptKey>> {
    let txn = database.begin_read()?;
    let Some((place, _)) = find(&txn, name)? else { return Ok(Vec::new()) };
    let cutoff = now.before(retention.idempotency).as_micros();
    let table = txn.open_table(KEYS)?;
    let mut keys = Vec::new();
    let window = (place.id, cutoff, 0)..=(place.id, u64::MAX, u64::MAX);
    for key in table.range(window)?.rev().take(retention.keys) {
        let (place, row) = key?;
        let (_, taken, after) = place.value();
        keys.push(decode_key(taken, after, row.value())?);
    }
    keys.reverse();
    Ok(keys)
}

fn read(database: &Database, stretch: &Stretch) -> Result<Vec<Arc<Message>>> {
    let txn = database.begin_read()?;
    let mut given: Vec<Arc<Message>> = Vec::new();
    let Some((place, epoch)) = find(&txn, &stretch.channel)? else { return Ok(given) };
    if epoch != stretch.epoch {
        return Ok(given);
    }
    let mut bytes = 0;
    let range = (place.id, stretch.after.get() + 1)..=*all_of(place.id).end();
    for message in txn.open_table(MESSAGES)?.range(range)?.take(stretch.limit.messages) {
        let (key, row) = message?;
        let message = decode_message(key.value().1, row.value())?;
        if !given.is_empty() && bytes + message.payload.len() > stretch.limit.bytes {
            break;
        }
        bytes += message.payload.len();
        given.push(message);
    }
    Ok(given)
}

fn locate(database: &Database, name: &ChannelName, epoch: Epoch, landmark: Landmark) -> Result<Located> {
    let txn = database.begin_read()?;
    let Some((place, life)) = find(&txn, name)? else { return Ok(Located { before: None, after: None }) };
    if life != epoch {
        return Ok(Located { before: None, after: None });
    }
    place.locate(&txn.open_table(MESSAGES)?, landmark)
}
