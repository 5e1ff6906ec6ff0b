//! What the writer does when the file fails: what was under way, how the file is opened again, and when.
//!
//! The order matters. The health says that the file is away before it is closed, so that no reader keeps asking for it. The
//! file that is then opened belongs to the writer alone until every publish in doubt was answered. It is put in place
//! before the health says that it is back.

use std::time::Duration;

use redb::Error;
use tokio::time::Instant;

use super::super::fault::{self, OpenError, journal_error};
use super::super::recovery::{self, Opening};
use super::super::write_queue::PendingAppend;
use super::state::{Availability, Doubt, Writer};
use crate::journal::{Fault, FaultKind};

/// How often to check whether the file can be written again.
pub(super) const CHECK: Duration = Duration::from_millis(250);
/// The longest time between two attempts to open the file again.
const MAX_PAUSE: Duration = Duration::from_secs(5);
/// The free space needed besides the data written: pages are copied before they are changed.
const SPARE: u64 = 1 << 20;

impl Writer {
    /// Whether the database of this generation is in use.
    pub(super) fn has_open(&self, generation: u64) -> bool {
        let open = self.shared.database();
        open.generation == generation && open.database.is_some()
    }

    /// Why these publishes cannot be written now.
    pub(super) fn obstacle(&self, entries: &[PendingAppend]) -> Option<Fault> {
        let location = &self.shared.location;
        if let Err(error) = location.verify() {
            return Some(OpenError::again(&location.name(), &fault::io_error(error)).fault());
        }
        let free = location.free()?;
        let needed = SPARE + 4 * entries.iter().map(|entry| entry.bytes).sum::<u64>();
        let full =
            || Fault::new(FaultKind::Full, format!("{free} bytes are free where {} is", location.name()));
        (free < needed).then(full)
    }

    /// While nothing can be written: checks whether that is over.
    pub(super) fn check_again(&mut self) {
        match self.obstacle(&[]) {
            None => self.enter(Availability::Serving),
            Some(fault) if self.availability != Availability::Refusing(fault.clone()) => {
                self.enter(Availability::Refusing(fault));
            }
            Some(_) => {}
        }
    }

    /// While the file is away: tries to open it.
    pub(super) fn come_back(&mut self) {
        let is_open = self.shared.database().database.is_some();
        if !is_open && let Err(error) = self.reopen() {
            let fault = error.fault();
            return self.settle(Err(error), fault);
        }
        self.enter(Availability::Serving);
    }

    /// The file failed, and none of these publishes were committed.
    pub(super) fn failed(&mut self, entries: Vec<PendingAppend>, error: &Error) {
        let fault = fault::fault(error);
        self.take_away(&fault);
        self.refuse(entries, &fault.error());
        let reopened = self.reopen();
        self.settle(reopened, fault);
    }

    /// A commit failed, but may have happened all the same. Opening the file again tells; if that fails as well, the
    /// publishers learn that the outcome is unknown.
    pub(super) fn in_doubt(&mut self, doubt: Doubt) {
        let fault = fault::fault(&doubt.error);
        self.take_away(&fault);
        self.doubt = Some(doubt);
        self.refuse(Vec::new(), &fault.error());
        let reopened = self.reopen();
        if reopened.is_err() {
            self.shared.in_flight.tell(&fault.why);
        }
        self.settle(reopened, fault);
    }

    /// Closes the file, after the health has said so.
    fn take_away(&mut self, fault: &Fault) {
        self.enter(Availability::Away(fault.clone()));
        self.shared.put_database(None);
    }

    /// Opens the file again, resolves any doubt, and only then lets others use it.
    fn reopen(&mut self) -> Result<(), OpenError> {
        let (database, totals) = recovery::open(&self.shared, Opening::Again)?;
        self.commit_state.reset(totals);
        if let Some(doubt) = self.doubt.take() {
            self.settle_doubt(doubt);
        }
        self.shared.put_database(Some(database));
        Ok(())
    }

    fn settle_doubt(&mut self, doubt: Doubt) {
        let entries = self.shared.in_flight.end(doubt.entries);
        if doubt.batch == self.commit_state.totals.batch {
            return self.answer(entries, doubt.summary);
        }
        // Channels that were to be forgotten, and messages to be evicted, are still there.
        self.refuse(entries, &journal_error(&doubt.error));
    }

    /// What to do after the file failed and was opened again, or was not.
    fn settle(&mut self, reopened: Result<(), OpenError>, fault: Fault) {
        let now = Instant::now();
        let again = self.failed.filter(|(last, _)| now.duration_since(*last) < MAX_PAUSE);
        self.failed = Some((now, again.map_or(0, |(_, times)| times + 1)));
        self.enter(match reopened {
            Err(error) => Availability::Away(error.fault()),
            Ok(()) if fault.kind == FaultKind::Full => Availability::Refusing(fault),
            Ok(()) if again.is_none() => Availability::Serving,
            Ok(()) => Availability::Away(fault),
        });
    }

    /// How long to leave the file alone.
    pub(super) fn pause(&self) -> Duration {
        let times = self.failed.map_or(0, |(_, times)| times);
        (Duration::from_millis(50) * 2u32.saturating_pow(times.min(10))).min(MAX_PAUSE)
    }
}
