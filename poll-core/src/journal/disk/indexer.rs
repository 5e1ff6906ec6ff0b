//! The thread that has the database: moves sealed segments of the log to it, and deletes what retention no longer covers.
//!
//! It opens the database before anything else begins, and then moves what a crash left in the log. Publishers never wait for
//! it, unless two segments are full. When the database fails, the sealed segment stays where it is, the file is opened again,
//! and the segment is moved then (`outage`).

mod outage;
mod state;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use redb::Error;
use state::Indexer;

use super::backoff::{Backoff, CHECK};
use super::commit_state::{CommitState, CommitSummary};
use super::fault::{caught, guarded, journal_error, unavailable};
use super::index_queue::{Closing, IndexWork};
use super::options::Progress;
use super::recovery::{self, Opened, Opening};
use super::retention::Deletions;
use super::shared::{Component, Shared};
use super::stored_channel::unless_damaged;
use super::write_queue::Command;
use crate::journal::{Fault, FaultKind, Health, Reply};
use crate::types::{JournalError, Timestamp};

/// Requests for room, and whether each found a channel to forget.
type Rooms = Vec<(bool, Reply<bool>)>;

/// Opens the database, and serves until the writer has ended.
pub(super) async fn run(shared: Arc<Shared>) {
    let (closing, closed, why) = match serve(&shared).await {
        Some((closing, closed)) => (closing, closed, "it is closed"),
        None => (Closing::default(), Err(unavailable("the indexer failed")), "the indexer failed"),
    };
    if !matches!(*shared.health.borrow(), Health::Lost(_)) {
        shared.set_health(Component::Database, Health::Lost(Fault::new(FaultKind::Closed, why)));
    }
    shared.opened.send_if_modified(|opened| {
        let is_news = opened.is_none();
        opened.get_or_insert_with(|| Err(Fault::new(FaultKind::Failing, why)));
        is_news
    });
    // It is closed, and writes once more.
    let _ = caught(&shared.location, || shared.put_database(None));
    shared.reads.close();
    // Wakes a writer that waits for a segment to be indexed: none will be any more.
    shared.indexed.notify_one();
    let left = shared.indexing.end();
    refuse_room(left.room, &unavailable(why));
    let closing = left.closing.unwrap_or(closing);
    shared.location.release();
    for reply in closing.replies {
        reply(closing.written.clone().and_then(|()| closed.clone()));
    }
}

/// `None` where something panicked.
async fn serve(shared: &Arc<Shared>) -> Option<(Closing, Result<(), JournalError>)> {
    let Some(mut indexer) = caught(&shared.location, || open(shared))? else {
        let closing = loop {
            let work = shared.indexing.next().await;
            refuse_room(work.room, &unavailable("it is closed"));
            if let Some(closing) = work.closing {
                break closing;
            }
        };
        return Some((closing, Ok(())));
    };
    loop {
        let mut work = indexer.next().await;
        let closing = work.closing.take();
        caught(&shared.location, || indexer.step(work))?;
        if let Some(closing) = closing {
            let closed = caught(&shared.location, || indexer.finish(&closing))?;
            return Some((closing, closed));
        }
    }
}

/// An indexer with the database open; `None` where it cannot be opened.
fn open(shared: &Arc<Shared>) -> Option<Indexer> {
    (shared.progress)(Progress::Opening);
    let opened = match recovery::open(shared, Opening::First) {
        Ok(opened) => opened,
        Err(fault) => {
            shared.location.release();
            shared.set_health(Component::Database, Health::Lost(fault.clone()));
            shared.opened.send_replace(Some(Err(fault)));
            return None;
        }
    };
    let recovered = recovery::recovered(&opened);
    let Opened { database, totals, backlog } = opened;
    shared.channels.store(recovered.channels, Ordering::Relaxed);
    shared.set_totals(totals);
    if let Some(sealed) = backlog {
        shared.recent.recover(sealed.memtable.clone());
        shared.indexing.seal(sealed);
    }
    shared.put_database(Some(database));
    shared.set_health(Component::Database, Health::Ready);
    (shared.progress)(Progress::Ready(recovered));
    shared.opened.send_replace(Some(Ok(())));
    Some(Indexer {
        shared: shared.clone(),
        commit_state: CommitState::new(totals, shared),
        health: Health::Ready,
        pending: None,
        waiting: Vec::new(),
        settling: Vec::new(),
        backoff: Backoff::default(),
    })
}

impl Indexer {
    async fn next(&mut self) -> IndexWork {
        let indexing = &self.shared.indexing;
        match self.health {
            Health::Ready => indexing.next().await,
            Health::Refusing(_) => indexing.next_within(self.backoff.pause().max(CHECK)).await,
            Health::Away(_) | Health::Lost(_) => indexing.next_within(self.backoff.pause()).await,
        }
    }

    /// Does one round of work.
    fn step(&mut self, work: IndexWork) {
        let IndexWork { sealed, unsealed, sweep, room, failed_read, mut settling, .. } = work;
        if let Some(why) = unsealed {
            refuse_room(std::mem::take(&mut self.waiting), &why);
        }
        self.pending = sealed.or_else(|| self.pending.take());
        self.settling.append(&mut settling);
        let failed_read = failed_read.filter(|(generation, _)| self.has_open(*generation));
        if let Some((_, error)) = failed_read {
            refuse_room(room, &journal_error(&error));
            // It is not the indexer's.
            self.commit_state.current = None;
            return self.failed(&error);
        }
        match self.health.fault().cloned() {
            None => self.work(sweep, room),
            Some(fault) => {
                refuse_room(room, &fault.error());
                // What comes in meanwhile does not make it try sooner.
                if self.backoff.is_over() {
                    self.retry();
                }
            }
        }
        if let Some(fault) = self.health.fault() {
            self.settling.drain(..).for_each(|reply| reply(Err(fault.error())));
            refuse_room(std::mem::take(&mut self.waiting), &fault.error());
        }
    }

    /// Moves what is pending, with the deletions that are asked for.
    fn work(&mut self, sweep: Option<Timestamp>, room: Vec<(Timestamp, Reply<bool>)>) {
        let shared = self.shared.clone();
        self.commit_state.retention = shared.retention();
        // A channel must not be loaded while it is being forgotten.
        let lock = (!room.is_empty()).then(|| shared.forget_lock.write());
        let mut rooms = Rooms::new();
        let had_pending = self.pending.is_some();
        let done = match self.plan(sweep, room, &mut rooms) {
            Ok(deletions) => self.commit(&deletions),
            Err(error) => Err(error),
        };
        drop(lock);
        let told = done.as_ref().map_err(journal_error).map(drop);
        for (found, reply) in rooms {
            reply(told.clone().map(|()| found));
        }
        match done {
            Err(error) => self.failed(&error),
            Ok(()) => {
                if self.health != Health::Ready {
                    self.set_health(Health::Ready);
                }
                // What waited for the segment is tried again.
                if had_pending && !self.waiting.is_empty() {
                    let waiting = std::mem::take(&mut self.waiting);
                    self.work(None, waiting);
                }
            }
        }
        if self.pending.is_none() {
            self.settling.drain(..).for_each(|reply| reply(Ok(())));
        }
    }

    fn plan(
        &mut self,
        sweep: Option<Timestamp>,
        room: Vec<(Timestamp, Reply<bool>)>,
        rooms: &mut Rooms,
    ) -> Result<Deletions, Error> {
        let shared = self.shared.clone();
        let opened = shared.database();
        let mut deletions = Deletions::default();
        let Some(database) = opened.database.as_ref() else { return Err(Error::DatabaseClosed) };
        if let Some(now) = sweep {
            let swept = self.commit_state.sweep(database, now, &mut deletions);
            unless_damaged(swept)?;
        }
        for (now, reply) in room {
            let found = shared.host.get().map_or(Ok(false), |host| {
                guarded(|| deletions.forget_one(database, &mut self.commit_state, now, host, &shared.recent))
            });
            // What is damaged is passed over; the next channel is tried instead.
            let is_found = unless_damaged(found)?.unwrap_or_default();
            let is_hidden = !is_found && self.pending.is_none() && !shared.recent.is_empty();
            if is_hidden && shared.writes.send(Command::Seal(None)).is_ok() {
                self.waiting.push((now, reply));
            } else {
                rooms.push((is_found, reply));
            }
        }
        Ok(deletions)
    }

    /// Commits what is pending, and the deletions.
    fn commit(&mut self, deletions: &Deletions) -> Result<(), Error> {
        if self.pending.is_none() && deletions.is_empty() {
            return Ok(());
        }
        let shared = self.shared.clone();
        let opened = shared.database();
        let Some(database) = opened.database.as_ref() else { return Err(Error::DatabaseClosed) };
        let summary = self.commit_state.index_past_damage(database, self.pending.as_ref(), deletions)?;
        drop(opened);
        self.committed(summary);
        Ok(())
    }

    /// Reports what a commit did.
    fn committed(&mut self, summary: CommitSummary) {
        let indexed = self.commit_state.totals.indexed;
        if self.pending.as_ref().is_some_and(|sealed| *sealed.segments.end() <= indexed) {
            self.indexed();
        }
        let shared = &self.shared;
        shared.set_totals(self.commit_state.totals);
        shared.uncount_channels(summary.forgotten);
        for (name, why) in &summary.damaged {
            shared.note_damage(name, why);
        }
        if let Some(host) = shared.host.get() {
            for (name, epoch, oldest) in summary.evicted {
                host.evicted(&name, epoch, oldest);
            }
        }
    }

    /// What was pending is in the database.
    fn indexed(&mut self) {
        let Some(sealed) = self.pending.take() else { return };
        self.shared.recent.indexed();
        // These stay until the next commit: a database that lost its last commit is then whole again after a start. A file
        // that cannot be removed is removed at the next start.
        let location = &self.shared.location;
        let old = location
            .segments()
            .unwrap_or_default()
            .into_iter()
            .filter(|number| number < sealed.segments.start());
        old.for_each(|number| drop(location.remove_segment(number)));
        self.shared.indexed.notify_one();
        self.settling.drain(..).for_each(|reply| reply(Ok(())));
    }

    /// Ends with everything in the database. What could not be moved stays in the log.
    fn finish(&mut self, closing: &Closing) -> Result<(), JournalError> {
        refuse_room(std::mem::take(&mut self.waiting), &unavailable("it is closed"));
        if self.pending.is_some() && self.health != Health::Ready {
            self.retry();
        }
        let shared = self.shared.clone();
        let closed = match shared.database().database.as_ref() {
            Some(database) if closing.written.is_ok() && self.pending.is_none() => {
                let written = guarded(|| self.commit_state.write_rows(database));
                let ended = written.and_then(|()| recovery::end(database, &self.commit_state.totals));
                ended.map_err(|error| journal_error(&error))
            }
            _ => Ok(()),
        };
        shared.set_health(Component::Database, Health::Lost(Fault::new(FaultKind::Closed, "it is closed")));
        closed
    }
}

fn refuse_room(rooms: Vec<(Timestamp, Reply<bool>)>, why: &JournalError) {
    rooms.into_iter().for_each(|(_, reply)| reply(Err(why.clone())));
}
