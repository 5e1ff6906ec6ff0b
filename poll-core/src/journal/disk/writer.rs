//! The one thread that writes: takes what has come, commits it, answers, and begins again.
//!
//! A batch is whatever has come while the last one was committed, so a lone publisher waits for one commit and
//! many share one. When a commit fails, the file is opened again, by the writer alone: it tells whether the commit
//! happened, and only when its publishers were answered by that do others get the file. While the file cannot be
//! used, publishes are refused at the door; `outage` is about that.

mod outage;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use outage::{LOOK, Stage};
use redb::Error;

use super::commit::{Done, Ledger};
use super::damage::Kind;
use super::fault::{guarded, is_damage, journal_error};
use super::in_flight::Doubt;
use super::queue::{Entry, Errands, Work};
use super::recovery::{self, Opening};
use super::retention::Chores;
use super::{Durability, Fault, FaultKind, Progress, Repair, Shared};
use crate::journal::{Health, Reply};
use crate::types::{ChannelName, JournalError};

pub(super) struct Writer {
    shared: Arc<Shared>,
    ledger: Ledger,
    stage: Stage,
    /// A commit that failed, until it is known whether it happened.
    doubt: Option<Doubt>,
    /// When the file failed last, and how often in short succession.
    failed: Option<(Instant, u32)>,
    /// Whether something was shown to readers and is lost.
    lost: Option<JournalError>,
}

/// Who asked for room, and whether it was found.
type Rooms = Vec<(bool, Reply<bool>)>;

/// Opens the file, then serves until it is closed.
pub(super) fn run(shared: &Arc<Shared>) {
    let served = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| serve(shared)));
    let (closed, why) = match served {
        Ok(served) => (served, "it is closed"),
        Err(_) => (Err(unavailable("the writer failed")), "the writer failed"),
    };
    if !matches!(*shared.health.borrow(), Health::Lost(_)) {
        shared.health.send_replace(Health::Lost(Fault::new(FaultKind::Closed, why)));
    }
    shared.in_flight.tell(why);
    shared.put_database(None);
    shared.medium.release();
    shared.jobs.close();
    let left = shared.inbox.end();
    for entry in left.entries {
        if entry.receipt.is_none() {
            entry.append.failed(unavailable(why));
        }
    }
    for (_, reply) in left.errands.room {
        reply(Err(unavailable(why)));
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
            shared.medium.release();
            shared.health.send_replace(Health::Lost(error.fault()));
            shared.opened(Err(error));
            shared.inbox.wait_for_close();
            return Ok(());
        }
    };
    shared.channels.store(totals.channels, Ordering::Relaxed);
    shared.set_beside(&totals);
    shared.put_database(Some(database));
    shared.health.send_replace(Health::Ready);
    (shared.progress)(Progress::Ready);
    shared.opened(Ok(()));
    let quick = shared.options.repair == Repair::Quick;
    let ledger = Ledger::new(totals, quick, &shared.watch);
    let (shared, stage) = (shared.clone(), Stage::Serving);
    let mut writer = Writer { shared, ledger, stage, doubt: None, failed: None, lost: None };
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
    fn step(&mut self, closing: &mut Vec<Reply<()>>) -> bool {
        let inbox = &self.shared.inbox;
        let work = match self.stage {
            Stage::Serving => inbox.next(),
            Stage::Refusing(_) => inbox.next_errands(LOOK),
            Stage::Away(_) => inbox.next_errands(self.pause()),
        };
        let Work { entries, mut errands, closed } = work;
        closing.append(&mut errands.close);
        let was_away = matches!(self.stage, Stage::Away(_));
        let suspect = errands.suspect.take();
        match (suspect.filter(|(times, _)| self.has_open(*times)), self.stage.clone()) {
            (Some((_, error)), _) => {
                refuse(errands.room, &journal_error(&error));
                self.read_failed(entries, &error);
            }
            (None, Stage::Serving) => self.work(entries, errands),
            (None, Stage::Refusing(fault)) => {
                self.answer_not(entries, &fault.error());
                refuse(errands.room, &fault.error());
                self.look_again();
            }
            (None, Stage::Away(fault)) => {
                self.answer_not(entries, &fault.error());
                refuse(errands.room, &fault.error());
                self.come_back();
            }
        }
        // What cannot be kept now, nor once the file was opened again, is lost, and whoever closes is told.
        !closed
            || match self.stage {
                Stage::Serving => !self.shared.inbox.is_empty(),
                Stage::Refusing(_) => false,
                Stage::Away(_) => !was_away,
            }
    }

    fn work(&mut self, entries: Vec<Entry>, errands: Errands) {
        if let Some(host) = self.shared.host.get() {
            self.ledger.retention = *host.retention();
        }
        if let Some(fault) = self.obstacle(&entries) {
            self.enter(Stage::Refusing(fault.clone()));
            self.answer_not(entries, &fault.error());
            return refuse(errands.room, &fault.error());
        }
        self.keep(entries, errands);
        self.shared.unstalled();
    }

    /// Plans what is to be done beside keeping publishes, commits both, and answers.
    fn keep(&mut self, entries: Vec<Entry>, errands: Errands) {
        let shared = self.shared.clone();
        // While a channel is being forgotten nobody may load it.
        let gate = (!errands.room.is_empty()).then(|| shared.gate.write());
        let mut rooms = Rooms::new();
        let committed = match self.plan(errands, &mut rooms) {
            Ok(chores) => self.commit(entries, &chores),
            Err(error) => {
                self.failed(entries, &error);
                Err(journal_error(&error))
            }
        };
        drop(gate);
        for (found, reply) in rooms {
            reply(committed.clone().map(|()| found));
        }
    }

    fn plan(&mut self, errands: Errands, rooms: &mut Rooms) -> Result<Chores, Error> {
        let shared = self.shared.clone();
        let opened = shared.database();
        let mut chores = Chores::default();
        let Some(database) = opened.database.as_ref() else { return Ok(chores) };
        if let Some(now) = errands.sweep {
            let swept = self.ledger.look_through(database, now, &mut chores);
            self.or_damaged(swept)?;
        }
        for (now, reply) in errands.room {
            let found = shared.host.get().map_or(Ok(false), |host| {
                guarded(|| chores.forget_one(database, &mut self.ledger, now, host))
            });
            rooms.push((found.as_ref().is_ok_and(|found| *found), reply));
            self.or_damaged(found)?;
        }
        Ok(chores)
    }

    /// Damage is nothing where only a look at a channel was to be had; the next look is at another.
    fn or_damaged<T>(&mut self, looked: Result<T, Error>) -> Result<(), Error> {
        match looked {
            Err(error) if !is_damage(&error) => {
                self.shared.watch.unreadable.blame(self.ledger.at.as_ref(), &error);
                Err(error)
            }
            _ => Ok(()),
        }
    }

    /// Commits and answers. A channel that turns out to be damaged is left out, and all others are committed.
    fn commit(&mut self, mut entries: Vec<Entry>, chores: &Chores) -> Result<(), JournalError> {
        let shared = self.shared.clone();
        entries = self.without_damaged(entries);
        loop {
            if entries.is_empty() && chores.is_empty() {
                return Ok(());
            }
            let flight = shared.in_flight.begin(entries);
            let mut done = Done::default();
            let roots = shared.watch.roots();
            let committed = match shared.database().database.as_ref() {
                Some(database) => self.ledger.commit(database, &flight, chores, &mut done),
                None => Err(Error::DatabaseClosed),
            };
            let Err(error) = committed else {
                self.answer(shared.in_flight.end(flight), done);
                return Ok(());
            };
            let told = journal_error(&error);
            if shared.watch.roots() != roots {
                let batch = self.ledger.totals.batch + 1;
                self.in_doubt(Doubt { batch, entries: flight, done, error });
                return Err(told);
            }
            entries = shared.in_flight.end(flight);
            shared.watch.unreadable.blame(self.ledger.at.as_ref(), &error);
            let damaged = self.ledger.at.take().filter(|name| is_damage(&error) && self.is_news(name));
            let Some(damaged) = damaged else {
                self.failed(entries, &error);
                return Err(told);
            };
            let line = || format!("channel {:?}: {error}", damaged.as_str());
            shared.damages.note(Kind::Name, damaged.shard(usize::MAX) as u64, (0, 0), line);
            self.ledger.damaged.insert(damaged);
            entries = self.without_damaged(entries);
        }
    }

    /// Whether a channel was not known to be damaged. If it was, it is not why a commit failed.
    fn is_news(&self, name: &ChannelName) -> bool {
        !self.ledger.damaged.contains(name)
    }

    /// Answers the publishes to damaged channels; gives the others.
    fn without_damaged(&mut self, entries: Vec<Entry>) -> Vec<Entry> {
        let is_damaged = |entry: &Entry| {
            let name = entry.append.channel();
            self.ledger.damaged.contains(name) || self.shared.watch.unreadable.check(name).is_err()
        };
        if !entries.iter().any(is_damaged) {
            return entries;
        }
        let (damaged, whole): (Vec<_>, Vec<_>) = entries.into_iter().partition(is_damaged);
        for entry in damaged {
            let why = JournalError::Damaged("what it holds of the channel makes no sense".to_owned());
            match entry.receipt {
                // It was shown, and cannot be kept.
                Some(_) => self.lost = Some(why),
                None => entry.append.failed(why),
            }
        }
        whole
    }

    fn answer(&self, entries: Vec<Entry>, done: Done) {
        let shared = &self.shared;
        shared.figures.count(&entries);
        shared.set_beside(&self.ledger.totals);
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

    fn is_loose(&self) -> bool {
        matches!(self.shared.options.durability, Durability::Interval(_))
    }

    /// Closes the file, so that the next one to open it finds nothing to repair.
    fn finish(mut self) -> Result<(), JournalError> {
        let mut left = self.doubt.is_some() && self.is_loose();
        for entry in self.shared.inbox.drain() {
            match entry.receipt {
                Some(_) => left = true,
                None => entry.append.failed(unavailable("it is closed")),
            }
        }
        let closed = match self.shared.database().database.as_ref() {
            Some(database) if !left => {
                let settled = guarded(|| self.ledger.settle(database));
                let ended = settled.and_then(|()| recovery::end(database, &self.ledger.totals));
                ended.map_err(|error| journal_error(&error))
            }
            _ => Ok(()),
        };
        self.shared.health.send_replace(Health::Lost(Fault::new(FaultKind::Closed, "it is closed")));
        self.shared.in_flight.tell("it was closed before that was known");
        self.shared.put_database(None);
        self.shared.medium.release();
        if left { Err(self.lost.take().unwrap_or_else(|| unavailable("it is closed"))) } else { closed }
    }
}

fn refuse(rooms: Vec<(crate::types::Timestamp, Reply<bool>)>, why: &JournalError) {
    rooms.into_iter().for_each(|(_, reply)| reply(Err(why.clone())));
}

fn unavailable(why: &str) -> JournalError {
    JournalError::Unavailable(why.to_owned())
}
