//! The thread that writes: takes what is queued, commits it, answers, and begins again.
//!
//! A batch is whatever was queued during the commit before it, so a lone publisher waits for one commit, and many share
//! one. When a commit fails, the writer opens the file again to see whether the commit happened, and answers its publishers
//! before anything else may use the file (`outage`). While the file cannot be used, publishes are refused without being
//! queued.

mod outage;
mod state;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use outage::CHECK;
use redb::Error;
use state::{Availability, Doubt, Writer, unavailable};

use super::commit_state::{CommitState, CommitSummary};
use super::damage::Kind;
use super::fault::{OpenError, guarded, is_damage, journal_error};
use super::options::{Progress, Repair};
use super::recovery::{self, Opening};
use super::retention::Deletions;
use super::shared::Shared;
use super::write_queue::{Commands, PendingAppend, Work};
use crate::journal::{Fault, FaultKind, Health, Reply};
use crate::types::{ChannelName, JournalError, Timestamp};

/// Pending make-room requests, and whether each found a channel to forget.
type Rooms = Vec<(bool, Reply<bool>)>;

/// Opens the file, and serves until the journal is closed.
pub(super) async fn run(shared: Arc<Shared>) {
    let (closed, why) = match serve(&shared).await {
        Some(closed) => (closed, "it is closed"),
        None => (Err(unavailable("the writer failed")), "the writer failed"),
    };
    if !matches!(*shared.health.borrow(), Health::Lost(_)) {
        shared.health.send_replace(Health::Lost(Fault::new(FaultKind::Closed, why)));
    }
    shared.opened.send_if_modified(|opened| {
        let is_news = opened.is_none();
        opened.get_or_insert_with(|| Err(OpenError::Unusable(why.to_owned())));
        is_news
    });
    shared.in_flight.tell(why);
    shared.put_database(None);
    shared.location.release();
    shared.reads.close();
    let left = shared.writes.end();
    for entry in left.entries {
        if entry.write_behind.is_none() {
            entry.append.failed(unavailable(why));
        }
    }
    refuse_room(left.commands.room, &unavailable(why));
    for reply in left.commands.close {
        reply(closed.clone());
    }
}

/// `None` where something panicked.
async fn serve(shared: &Arc<Shared>) -> Option<Result<(), JournalError>> {
    let Some(mut writer) = caught(|| open(shared))? else {
        shared.writes.closed().await;
        return Some(Ok(()));
    };
    let mut closing = Vec::new();
    loop {
        let work = writer.next().await;
        if !caught(|| writer.step(work, &mut closing))? {
            break;
        }
    }
    let closed = caught(|| writer.finish())?;
    for reply in closing {
        reply(closed.clone());
    }
    Some(closed)
}

fn caught<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

/// A writer with the file open; `None` where it cannot be opened.
fn open(shared: &Arc<Shared>) -> Option<Writer> {
    (shared.progress)(Progress::Opening);
    let (database, totals) = match recovery::open(shared, Opening::First) {
        Ok(opened) => opened,
        Err(error) => {
            shared.location.release();
            shared.health.send_replace(Health::Lost(error.fault()));
            shared.opened.send_replace(Some(Err(error)));
            return None;
        }
    };
    shared.channels.store(totals.channels, Ordering::Relaxed);
    shared.set_overhead(&totals);
    let recovered = recovery::recovered(&database, &totals);
    shared.put_database(Some(database));
    shared.health.send_replace(Health::Ready);
    (shared.progress)(Progress::Ready(recovered));
    shared.opened.send_replace(Some(Ok(())));
    let quick = shared.options.repair == Repair::Quick;
    Some(Writer {
        shared: shared.clone(),
        commit_state: CommitState::new(totals, quick, &shared.file, &shared.environment),
        availability: Availability::Serving,
        doubt: None,
        failed: None,
        lost: None,
    })
}

impl Writer {
    async fn next(&self) -> Work {
        let writes = &self.shared.writes;
        match self.availability {
            Availability::Serving => writes.next().await,
            Availability::Refusing(_) => writes.next_commands(CHECK).await,
            Availability::Away(_) => writes.next_commands(self.pause()).await,
        }
    }

    /// Does one round of work; returns whether to go on.
    fn step(&mut self, work: Work, closing: &mut Vec<Reply<()>>) -> bool {
        let Work { entries, mut commands, closed } = work;
        closing.append(&mut commands.close);
        let was_away = matches!(self.availability, Availability::Away(_));
        let suspect = commands.suspect.take();
        let suspect = suspect.filter(|(generation, _)| self.has_open(*generation));
        match (suspect, self.availability.clone()) {
            (Some((_, error)), _) => {
                refuse_room(commands.room, &journal_error(&error));
                self.failed(entries, &error);
            }
            (None, Availability::Serving) => self.work(entries, commands),
            (None, Availability::Refusing(fault)) => {
                self.refuse(entries, &fault.error());
                refuse_room(commands.room, &fault.error());
                self.check_again();
            }
            (None, Availability::Away(fault)) => {
                self.refuse(entries, &fault.error());
                refuse_room(commands.room, &fault.error());
                self.come_back();
            }
        }
        // When closing, what cannot be committed now, or after one more attempt to open the file, is lost.
        !closed
            || match self.availability {
                Availability::Serving => !self.shared.writes.is_empty(),
                Availability::Refusing(_) => false,
                Availability::Away(_) => !was_away,
            }
    }

    fn work(&mut self, entries: Vec<PendingAppend>, commands: Commands) {
        if let Some(host) = self.shared.host.get() {
            self.commit_state.retention = *host.retention();
        }
        if let Some(fault) = self.obstacle(&entries) {
            self.enter(Availability::Refusing(fault.clone()));
            self.refuse(entries, &fault.error());
            return refuse_room(commands.room, &fault.error());
        }
        self.commit_with(entries, commands);
        self.shared.unstalled();
    }

    /// Plans the deletions that the commands ask for, commits them with the publishes, and answers.
    fn commit_with(&mut self, entries: Vec<PendingAppend>, commands: Commands) {
        let shared = self.shared.clone();
        // A channel must not be loaded while it is being forgotten.
        let lock = (!commands.room.is_empty()).then(|| shared.forget_lock.write());
        let mut rooms = Rooms::new();
        let committed = match self.plan(commands, &mut rooms) {
            Ok(deletions) => self.commit(entries, &deletions),
            Err(error) => {
                self.failed(entries, &error);
                Err(journal_error(&error))
            }
        };
        drop(lock);
        for (found, reply) in rooms {
            reply(committed.clone().map(|()| found));
        }
    }

    fn plan(&mut self, commands: Commands, rooms: &mut Rooms) -> Result<Deletions, Error> {
        let shared = self.shared.clone();
        let opened = shared.database();
        let mut deletions = Deletions::default();
        let Some(database) = opened.database.as_ref() else { return Ok(deletions) };
        if let Some(now) = commands.sweep {
            let swept = self.commit_state.sweep(database, now, &mut deletions);
            self.skip_damage(swept)?;
        }
        for (now, reply) in commands.room {
            let found = shared.host.get().map_or(Ok(false), |host| {
                guarded(|| deletions.forget_one(database, &mut self.commit_state, now, host))
            });
            rooms.push((found.as_ref().is_ok_and(|found| *found), reply));
            self.skip_damage(found)?;
        }
        Ok(deletions)
    }

    /// Ignores damage to a channel that was only inspected; the next one is tried instead.
    fn skip_damage<T>(&mut self, looked: Result<T, Error>) -> Result<(), Error> {
        match looked {
            Err(error) if !is_damage(&error) => {
                self.shared.file.unreadable.blame(self.commit_state.current.as_ref(), &error);
                Err(error)
            }
            _ => Ok(()),
        }
    }

    /// Commits and answers. If a channel turns out to be damaged, the others are committed without it.
    fn commit(&mut self, mut entries: Vec<PendingAppend>, deletions: &Deletions) -> Result<(), JournalError> {
        let shared = self.shared.clone();
        entries = self.without_damaged(entries);
        loop {
            if entries.is_empty() && deletions.is_empty() {
                return Ok(());
            }
            let in_flight = shared.in_flight.begin(entries);
            let mut summary = CommitSummary::default();
            let root_writes = shared.file.root_writes();
            let committed = match shared.database().database.as_ref() {
                Some(database) => self.commit_state.commit(database, &in_flight, deletions, &mut summary),
                None => Err(Error::DatabaseClosed),
            };
            let Err(error) = committed else {
                self.answer(shared.in_flight.end(in_flight), summary);
                return Ok(());
            };
            let told = journal_error(&error);
            if shared.file.root_writes() != root_writes {
                let batch = self.commit_state.totals.batch + 1;
                self.in_doubt(Doubt { batch, entries: in_flight, summary, error });
                return Err(told);
            }
            entries = shared.in_flight.end(in_flight);
            shared.file.unreadable.blame(self.commit_state.current.as_ref(), &error);
            let damaged =
                self.commit_state.current.take().filter(|name| is_damage(&error) && self.is_news(name));
            let Some(damaged) = damaged else {
                self.failed(entries, &error);
                return Err(told);
            };
            let line = || format!("channel {:?}: {error}", damaged.as_str());
            shared.damages.note(Kind::Name, damaged.shard(usize::MAX) as u64, (0, 0), line);
            self.commit_state.damaged.insert(damaged);
            entries = self.without_damaged(entries);
        }
    }

    /// Whether a channel was not known to be damaged before. If it was, it is not why a commit failed.
    fn is_news(&self, name: &ChannelName) -> bool {
        !self.commit_state.damaged.contains(name)
    }

    /// Fails the publishes to damaged channels, and returns the others.
    fn without_damaged(&mut self, entries: Vec<PendingAppend>) -> Vec<PendingAppend> {
        let is_damaged = |entry: &PendingAppend| {
            let name = entry.append.channel();
            self.commit_state.damaged.contains(name) || self.shared.file.unreadable.check(name).is_err()
        };
        if !entries.iter().any(is_damaged) {
            return entries;
        }
        let (damaged, whole): (Vec<_>, Vec<_>) = entries.into_iter().partition(is_damaged);
        for entry in damaged {
            let why = JournalError::Damaged("what it holds of the channel makes no sense".to_owned());
            match entry.write_behind {
                // Readers have seen it, and it cannot be committed.
                Some(_) => self.lost = Some(why),
                None => entry.append.failed(why),
            }
        }
        whole
    }

    /// Closes the file cleanly: opening it again needs no repair.
    fn finish(mut self) -> Result<(), JournalError> {
        let mut left = self.doubt.is_some() && self.is_relaxed();
        for entry in self.shared.writes.drain() {
            match entry.write_behind {
                Some(_) => left = true,
                None => entry.append.failed(unavailable("it is closed")),
            }
        }
        let closed = match self.shared.database().database.as_ref() {
            Some(database) if !left => {
                let written = guarded(|| self.commit_state.write_rows(database));
                let ended = written.and_then(|()| recovery::end(database, &self.commit_state.totals));
                ended.map_err(|error| journal_error(&error))
            }
            _ => Ok(()),
        };
        self.shared.health.send_replace(Health::Lost(Fault::new(FaultKind::Closed, "it is closed")));
        self.shared.in_flight.tell("it was closed before that was known");
        self.shared.put_database(None);
        self.shared.location.release();
        if left { Err(self.lost.take().unwrap_or_else(|| unavailable("it is closed"))) } else { closed }
    }
}

fn refuse_room(rooms: Vec<(Timestamp, Reply<bool>)>, why: &JournalError) {
    rooms.into_iter().for_each(|(_, reply)| reply(Err(why.clone())));
}
