//! The one thread that writes: takes what has come, commits it, answers, and begins again.
//!
//! A batch is whatever has come while the last one was committed, so a lone publisher waits for one commit and
//! many share one. When a commit fails the file is opened anew, which tells whether it happened; only then are
//! its publishers answered. While the file cannot be used, publishes are refused at the door.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use redb::Error;

use super::fault::{OpenError, guarded, journal_error};
use super::inbox::{Entry, Errands, Work};
use super::ledger::{Done, Known, Ledger};
use super::recovery::{self, Opening};
use super::retention::Chores;
use super::{Durability, Progress, Repair, Shared};
use crate::channel::ChannelName;
use crate::error::JournalError;
use crate::journal::Health;
use crate::retention::Retention;

/// How often a full disk is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// The longest time between two tries to open the file again.
const PATIENCE: Duration = Duration::from_secs(5);
/// What has to be free beside what is written: pages are copied before they are changed.
const SPARE: u64 = 1 << 20;

pub(super) struct Writer {
    shared: Arc<Shared>,
    ledger: Ledger,
    /// A commit that was given up before it was known whether it had happened.
    doubt: Option<Doubt>,
    /// When the file failed last, and how often in short succession.
    failed: Option<(Instant, u32)>,
    /// Whether something was shown to readers and is lost.
    lost: Option<JournalError>,
}

struct Doubt {
    batch: u64,
    before: Vec<(ChannelName, Option<Known>)>,
}

/// Opens the file, then serves until it is closed.
pub(super) fn run(shared: &Arc<Shared>) {
    let served = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| serve(shared)));
    let (closed, why) = match served {
        Ok(served) => (served, "it is closed".to_owned()),
        Err(_) => (Err(unavailable("the writer failed")), "the writer failed".to_owned()),
    };
    if !matches!(*shared.health.borrow(), Health::Lost(_)) {
        shared.health.send_replace(Health::Lost(why.clone()));
    }
    shared.put_database(None);
    shared.jobs.close();
    let left = shared.inbox.end();
    for entry in left.entries {
        if entry.receipt.is_none() {
            entry.append.failed(unavailable(&why));
        }
    }
    for (_, reply) in left.errands.room {
        reply(Err(unavailable(&why)));
    }
    for reply in left.errands.close {
        reply(closed.clone());
    }
}

fn serve(shared: &Arc<Shared>) -> Result<(), JournalError> {
    (shared.progress)(Progress::Opening);
    let (database, totals) = match recovery::open(shared, Opening::First) {
        Ok(opened) => opened,
        Err(error) => {
            shared.health.send_replace(Health::Lost(error.to_string()));
            shared.opened(Err(error));
            shared.inbox.wait_for_close();
            return Ok(());
        }
    };
    shared.channels.store(totals.channels, Ordering::Relaxed);
    shared.put_database(Some(database));
    shared.health.send_replace(Health::Ready);
    (shared.progress)(Progress::Ready);
    shared.opened(Ok(()));
    let quick = shared.options.repair == Repair::Quick;
    let ledger = Ledger::new(totals, Retention::default(), quick);
    let mut writer = Writer { shared: shared.clone(), ledger, doubt: None, failed: None, lost: None };
    let mut closing = Vec::new();
    while writer.step(&mut closing) {}
    let closed = writer.finish();
    for reply in closing {
        reply(closed.clone());
    }
    closed
}

impl Writer {
    /// Does what there is to do; says whether there will be more.
    fn step(&mut self, closing: &mut Vec<crate::journal::Reply<()>>) -> bool {
        let health = self.shared.health.borrow().clone();
        let work = match health {
            Health::Ready => self.shared.inbox.next(),
            Health::Full(_) => self.shared.inbox.next_errands(self.pause().max(LOOK)),
            Health::Away(_) | Health::Lost(_) => self.shared.inbox.next_errands(self.pause()),
        };
        let Work { entries, mut errands, closed } = work;
        closing.append(&mut errands.close);
        match health {
            Health::Ready => self.work(entries, errands),
            Health::Full(why) => {
                let why = JournalError::Full(why);
                self.answer_not(entries, &why);
                self.look_for_room(errands, &why);
            }
            Health::Away(why) | Health::Lost(why) => {
                let why = unavailable(&why);
                self.answer_not(entries, &why);
                self.come_back(errands, &why);
            }
        }
        // What could not be kept by now is lost, and whoever closes is told.
        let ready = *self.shared.health.borrow() == Health::Ready;
        !closed || (ready && !self.shared.inbox.is_empty())
    }

    fn work(&mut self, entries: Vec<Entry>, errands: Errands) {
        if let Some(host) = self.shared.host.get() {
            self.ledger.retention = *host.retention();
        }
        if let Some(error) = errands.suspect {
            self.shared.put_database(None);
            self.trouble(&journal_error(&error));
            self.answer_not(entries, &journal_error(&error));
            refuse(errands.room, &journal_error(&error));
            return;
        }
        if let Some(error) = self.no_room(&entries) {
            self.shared.health.send_replace(Health::Full(error.clone()));
            self.answer_not(entries, &JournalError::Full(error.clone()));
            refuse(errands.room, &JournalError::Full(error));
            return;
        }
        self.keep(entries, errands);
    }

    /// Commits and answers.
    fn keep(&mut self, entries: Vec<Entry>, errands: Errands) {
        let shared = self.shared.clone();
        let mut done = Done::default();
        let mut rooms = Vec::new();
        let committed = {
            // While a channel is being forgotten nobody may load it.
            let _gate = (!errands.room.is_empty()).then(|| shared.gate.write());
            let database = shared.database();
            let Some(database) = database.as_ref() else {
                return self.answer_not(entries, &unavailable("away"));
            };
            guarded(|| {
                let mut chores = Chores::default();
                if let Some(now) = errands.sweep {
                    let Ledger { sweeper, retention, .. } = &mut self.ledger;
                    sweeper.look(database, retention, now, &mut chores)?;
                }
                for (now, reply) in errands.room {
                    let found = shared
                        .host
                        .get()
                        .map_or(Ok(false), |host| chores.forget_one(database, &self.ledger, now, host));
                    rooms.push((found.as_ref().is_ok_and(|found| *found), reply));
                    found?;
                }
                if entries.is_empty() && chores.is_empty() {
                    return Ok(());
                }
                shared.figures.count(&entries);
                self.ledger.commit(database, &entries, &chores, &mut done)
            })
        };
        match committed {
            Ok(()) => {
                self.answer(entries, done);
                rooms.into_iter().for_each(|(found, reply)| reply(Ok(found)));
            }
            Err(error) => {
                self.failed(entries, done, &error);
                rooms.into_iter().for_each(|(_, reply)| reply(Err(journal_error(&error))));
            }
        }
    }

    fn answer(&self, entries: Vec<Entry>, done: Done) {
        let shared = &self.shared;
        shared.channels.fetch_sub(done.forgotten, Ordering::Relaxed);
        for (Entry { append, receipt, .. }, kept) in entries.into_iter().zip(done.kept) {
            match receipt {
                Some(receipt) => receipt.kept(),
                None if kept => append.kept(),
                None => append.failed(unavailable("the publish before it failed")),
            }
        }
        if let Some(host) = shared.host.get() {
            for (name, epoch, oldest) in done.evicted {
                host.evicted(&name, epoch, oldest);
            }
        }
    }

    /// A commit failed. Opening the file anew tells whether it happened.
    fn failed(&mut self, entries: Vec<Entry>, mut done: Done, error: &Error) {
        let batch = self.ledger.totals.batch + 1;
        let why = journal_error(error);
        self.shared.put_database(None);
        self.doubt = Some(Doubt { batch, before: std::mem::take(&mut done.before) });
        let reopened = self.reopen();
        if reopened.is_ok() {
            self.doubt = None;
            if self.ledger.totals.batch == batch {
                return self.answer(entries, done);
            }
        }
        // A channel that was to be forgotten is there still, and so is what was to be evicted.
        self.settle(reopened, &why);
        self.answer_not(entries, &why);
    }

    /// The file failed, beside any commit.
    fn trouble(&mut self, why: &JournalError) {
        let reopened = self.reopen();
        self.settle(reopened, why);
    }

    /// What health is after the file failed and was opened anew, or was not.
    fn settle(&mut self, reopened: Result<(), OpenError>, why: &JournalError) {
        let now = Instant::now();
        let again = self.failed.filter(|(last, _)| now.duration_since(*last) < PATIENCE);
        self.failed = Some((now, again.map_or(0, |(_, times)| times + 1)));
        let health = match (reopened, why) {
            (Err(error), _) => Health::Away(error.to_string()),
            (Ok(()), JournalError::Full(why)) => Health::Full(why.clone()),
            (Ok(()), _) if again.is_none() => Health::Ready,
            (Ok(()), why) => Health::Away(why.to_string()),
        };
        self.shared.health.send_replace(health);
    }

    fn reopen(&mut self) -> Result<(), OpenError> {
        let (database, totals) = recovery::open(&self.shared, Opening::Again)?;
        self.ledger.known.clear();
        self.ledger.totals = totals;
        self.shared.put_database(Some(database));
        Ok(())
    }

    /// Undoes a commit whose publishers were told that it had failed, if it happened.
    fn settle_doubt(&mut self) -> Result<(), Error> {
        let Some(doubt) = self.doubt.take() else { return Ok(()) };
        if doubt.batch != self.ledger.totals.batch || self.is_loose() {
            return Ok(());
        }
        let shared = self.shared.clone();
        let database = shared.database();
        let Some(database) = database.as_ref() else { return Ok(()) };
        let undone = guarded(|| self.ledger.undo(database, &doubt.before));
        if undone.is_err() {
            self.doubt = Some(doubt);
        }
        undone
    }

    /// While the disk is full: looks whether it still is.
    fn look_for_room(&mut self, errands: Errands, why: &JournalError) {
        refuse(errands.room, why);
        if let Some(error) = errands.suspect {
            self.shared.put_database(None);
            return self.trouble(&journal_error(&error));
        }
        if self.no_room(&[]).is_none() {
            self.come_back(Errands::default(), why);
        }
    }

    /// While the file is away: tries to open it.
    fn come_back(&mut self, errands: Errands, why: &JournalError) {
        refuse(errands.room, why);
        let open = self.shared.database().is_some();
        if !open && let Err(error) = self.reopen() {
            return self.settle(Err(error), why);
        }
        match self.settle_doubt() {
            Ok(()) => drop(self.shared.health.send_replace(Health::Ready)),
            Err(error) => {
                self.shared.put_database(None);
                self.settle(Err(OpenError::of(&self.shared.medium.name(), &error)), why);
            }
        }
    }

    /// How long to leave the file alone.
    fn pause(&self) -> Duration {
        let times = self.failed.map_or(0, |(_, times)| times);
        (Duration::from_millis(50) * 2u32.saturating_pow(times.min(10))).min(PATIENCE)
    }

    /// Refuses publishes, and all that wait behind them; what was shown already is tried again later.
    fn answer_not(&mut self, mut entries: Vec<Entry>, why: &JournalError) {
        entries.extend(self.shared.inbox.drain());
        let (shown, waiting): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|entry| entry.receipt.is_some());
        if !shown.is_empty() {
            self.lost = Some(why.clone());
            self.shared.inbox.put_back(shown);
        }
        waiting.into_iter().for_each(|entry| entry.append.failed(why.clone()));
    }

    /// Why there is no room for these.
    fn no_room(&self, entries: &[Entry]) -> Option<String> {
        let free = self.shared.medium.free()?;
        let needed = SPARE + 4 * entries.iter().map(|entry| entry.bytes).sum::<u64>();
        let line = || format!("{free} bytes are free where {} is", self.shared.medium.name());
        (free < needed).then(line)
    }

    fn is_loose(&self) -> bool {
        matches!(self.shared.options.durability, Durability::Interval(_))
    }

    /// Closes the file, so that the next one to open it finds nothing to repair.
    fn finish(mut self) -> Result<(), JournalError> {
        let mut left = false;
        for entry in self.shared.inbox.drain() {
            match entry.receipt {
                Some(_) => left = true,
                None => entry.append.failed(unavailable("it is closed")),
            }
        }
        let closed = match self.shared.database().as_ref() {
            Some(database) if !left => {
                recovery::end(database, &self.ledger.totals).map_err(|error| journal_error(&error))
            }
            _ => Ok(()),
        };
        self.shared.health.send_replace(Health::Lost("it is closed".to_owned()));
        self.shared.put_database(None);
        if left { Err(self.lost.take().unwrap_or_else(|| unavailable("it is closed"))) } else { closed }
    }
}

fn refuse(rooms: Vec<(crate::time::Timestamp, crate::journal::Reply<bool>)>, why: &JournalError) {
    rooms.into_iter().for_each(|(_, reply)| reply(Err(why.clone())));
}

fn unavailable(why: &str) -> JournalError {
    JournalError::Unavailable(why.to_owned())
}
