//! The thread that writes the log: takes what is queued, appends it, syncs it, answers, and begins again.
//!
//! A batch is whatever was queued during the sync before it, so a lone publisher waits for one sync, and many share one.
//! While the log cannot be written, publishes are refused without being queued (`failure`).

mod failure;
mod state;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use state::{Doubt, Writer};

use super::backoff::CHECK;
use super::fault::{caught, unavailable};
use super::index_queue::{Closing, Sealed};
use super::log::record::Publish;
use super::log::segment::Segment;
use super::shared::{Component, Shared};
use super::write_queue::{PendingAppend, Work};
use crate::journal::{Fault, FaultKind, Health};
use crate::life::Change;
use crate::types::JournalError;

/// Serves until the journal is closed.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut opened = shared.opened.subscribe();
    // The sender is here, so there is an end to wait for.
    let is_open = matches!(opened.wait_for(Option::is_some).await.as_deref(), Ok(Some(Ok(()))));
    let (written, why) = match serve(&shared, is_open).await {
        Some(written) => (written, "it is closed"),
        None => (Err(unavailable("the writer failed")), "the writer failed"),
    };
    if is_open {
        shared.set_health(Component::Log, Health::Lost(Fault::new(FaultKind::Closed, why)));
    }
    shared.in_flight.mark_doubtful(why);
    let (left, replies) = shared.writes.end();
    for entry in left {
        drop(entry.failed(unavailable(why)));
    }
    shared.indexing.close(Closing { written, replies });
}

/// `None` where something panicked.
async fn serve(shared: &Arc<Shared>, is_open: bool) -> Option<Result<(), JournalError>> {
    if !is_open {
        shared.writes.closed().await;
        return Some(Ok(()));
    }
    let mut writer = Writer::new(shared.clone());
    loop {
        let work = writer.next().await;
        if !caught(&shared.location, || writer.step(work))? {
            break;
        }
        if writer.is_far_ahead() {
            // What is queued meanwhile waits as it does behind a slow commit, and is told the same.
            let nothing = shared.in_flight.begin(Vec::new());
            while writer.is_far_ahead() {
                shared.indexed.notified().await;
                caught(&shared.location, || writer.seal())?;
            }
            shared.in_flight.end(nothing);
            shared.unstalled();
        }
    }
    let written = caught(&shared.location, || writer.finish())?;
    while shared.recent.has_active() && shared.health_of(Component::Database) == Health::Ready {
        caught(&shared.location, || writer.seal())?;
        if shared.recent.has_active() {
            shared.indexed.notified().await;
        }
    }
    Some(written)
}

impl Writer {
    async fn next(&self) -> Work {
        let writes = &self.shared.writes;
        match self.health.fault() {
            None => writes.next().await,
            Some(_) => writes.next_commands(self.backoff.pause().max(CHECK)).await,
        }
    }

    /// Does one round of work; returns whether to go on.
    fn step(&mut self, work: Work) -> bool {
        let Work { entries, commands, closed } = work;
        let before = self.health.fault().cloned();
        match &before {
            None => self.work(entries),
            Some(fault) => {
                self.refuse(entries, &fault.error());
                self.retry();
            }
        }
        if commands.seal {
            self.seal_if_certain();
        }
        for reply in commands.settling {
            match self.health.fault() {
                None => self.shared.indexing.settle(reply),
                Some(fault) => reply(Err(fault.error())),
            }
        }
        // When closing, what cannot be written now, or after one more attempt, is lost.
        match self.health.fault() {
            _ if !closed => true,
            _ if self.failed_closing > 1 => false,
            None => !self.shared.writes.is_empty(),
            Some(_) => before.is_none(),
        }
    }

    fn work(&mut self, entries: Vec<PendingAppend>) {
        if let Some(fault) = self.obstacle(&entries) {
            self.failed_closing += u32::from(self.shared.writes.is_closed());
            self.set_health(Health::Refusing(fault.clone()));
            return self.refuse(entries, &fault.error());
        }
        let entries = self.shared.unfollowed.filter(entries);
        if !entries.is_empty() {
            self.commit(entries);
        }
        self.shared.unstalled();
    }

    /// Appends a batch, and answers.
    fn commit(&mut self, entries: Vec<PendingAppend>) {
        let shared = self.shared.clone();
        let in_flight = shared.in_flight.begin(entries);
        match self.append(&in_flight) {
            Ok(()) => {
                shared.committed(in_flight.len(), shared.in_flight.age().unwrap_or_default());
                let publishes = in_flight.iter().map(|entry| Publish::from(&entry.append));
                shared.recent.add(publishes, &shared.retention());
                self.answer(shared.in_flight.end(in_flight));
                if self.size() >= self.shared.segment_bytes() {
                    self.seal();
                }
            }
            Err(error) => self.append_failed(in_flight, error),
        }
    }

    fn append(&mut self, entries: &[PendingAppend]) -> std::io::Result<()> {
        let segment = match &mut self.segment {
            Some(segment) => segment,
            none => {
                let number = self.shared.next_segment.load(Ordering::Relaxed);
                let segment = none.insert(Segment::create(&*self.shared.location, number)?);
                self.shared.next_segment.store(number + 1, Ordering::Relaxed);
                segment
            }
        };
        self.buffer.clear();
        let place = segment.place();
        for entry in entries {
            Publish::from(&entry.append).encode(place, &mut self.buffer);
        }
        segment.append(&mut self.buffer)
    }

    /// Answers the publishes of a batch that is kept.
    fn answer(&self, entries: Vec<PendingAppend>) {
        let is_removal = |entry: &&PendingAppend| entry.append.change().is_some_and(Change::removes);
        let removed = entries.iter().filter(is_removal).count() as u64;
        if removed > 0 {
            self.shared.uncount_channels(removed);
        }
        entries.into_iter().for_each(PendingAppend::kept);
    }

    /// The size of the active segment.
    fn size(&self) -> u64 {
        self.segment.as_ref().map_or(0, Segment::size)
    }

    /// Also where nothing can be written: what is in the log already can be moved, and may be waited for. But not before a
    /// batch in doubt was cut off, and that is not waited for: it takes for as long as the log is away.
    fn seal_if_certain(&mut self) {
        match &self.doubt {
            None => self.seal(),
            Some(doubt) => self.shared.indexing.not_sealed(doubt.fault.error()),
        }
    }

    /// Whether the active segment has become much too large, because the one before it is not indexed yet. Nothing is added
    /// to it while a batch is in doubt.
    fn is_far_ahead(&self) -> bool {
        self.doubt.is_none()
            && self.size() >= 2 * self.shared.segment_bytes()
            && self.shared.health_of(Component::Database) == Health::Ready
    }

    /// Seals the active segment, unless the one before it is not indexed yet.
    fn seal(&mut self) {
        let Some(number) = self.segment.as_ref().map(Segment::number) else { return };
        let Some(memtable) = self.shared.recent.seal() else { return };
        self.segment = None;
        self.shared.indexing.seal(Sealed { segments: number..=number, memtable });
    }

    /// Nothing more comes. What could not be written is lost.
    fn finish(&mut self) -> Result<(), JournalError> {
        let in_doubt = |doubt: &Doubt| doubt.entries.iter().any(PendingAppend::is_visible);
        let mut left = self.doubt.as_ref().is_some_and(in_doubt);
        for entry in self.shared.writes.drain() {
            left |= entry.failed(unavailable("it is closed")).is_some();
        }
        self.shared.in_flight.mark_doubtful("it was closed before that was known");
        if left { Err(self.lost.take().unwrap_or_else(|| unavailable("it is closed"))) } else { Ok(()) }
    }
}
