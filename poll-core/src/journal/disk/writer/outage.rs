//! When the file cannot be used: what was under way, how it is opened again, and when.
//!
//! The order in which things happen is the point. Before the file is taken away the health says so, so that nobody
//! asks for it again and again; the file that is opened then is the writer's alone until every publish in doubt was
//! answered; it is put in its place before the health says that it is back.

use std::time::{Duration, Instant};

use redb::Error;

use super::super::fault::{self, OpenError, journal_error};
use super::super::in_flight::Doubt;
use super::super::queue::Entry;
use super::super::recovery::{self, Opening};
use super::super::{Fault, FaultKind};
use super::Writer;
use crate::journal::Health;
use crate::types::JournalError;

/// How often it is looked whether something can be written again.
pub(super) const LOOK: Duration = Duration::from_millis(250);
/// The longest time between two tries to open the file again.
const PATIENCE: Duration = Duration::from_secs(5);
/// What has to be free beside what is written: pages are copied before they are changed.
const SPARE: u64 = 1 << 20;

/// What the writer can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stage {
    /// All.
    Serving,
    /// The file is open, and nothing can be written to it.
    Refusing(Fault),
    /// The file is closed, or is left alone for a while because it failed again and again.
    Away(Fault),
}

impl Writer {
    /// Whether the database that was opened as the `times`th is in use.
    pub(super) fn has_open(&self, times: u64) -> bool {
        let opened = self.shared.database();
        opened.times == times && opened.database.is_some()
    }

    /// Goes over to a stage, and says so.
    pub(super) fn enter(&mut self, stage: Stage) {
        self.shared.health.send_replace(match &stage {
            Stage::Serving => Health::Ready,
            Stage::Refusing(fault) => Health::Refusing(fault.clone()),
            Stage::Away(fault) => Health::Away(fault.clone()),
        });
        self.stage = stage;
    }

    /// Why nothing can be written now, or not these.
    pub(super) fn obstacle(&self, entries: &[Entry]) -> Option<Fault> {
        let medium = &self.shared.medium;
        if let Err(error) = medium.look() {
            return Some(OpenError::again(&medium.name(), &fault::io_error(error)).fault());
        }
        let free = medium.free()?;
        let needed = SPARE + 4 * entries.iter().map(|entry| entry.bytes).sum::<u64>();
        let full =
            || Fault::new(FaultKind::Full, format!("{free} bytes are free where {} is", medium.name()));
        (free < needed).then(full)
    }

    /// While nothing can be written: looks whether that is over.
    pub(super) fn look_again(&mut self) {
        match self.obstacle(&[]) {
            None => self.enter(Stage::Serving),
            Some(fault) if self.stage != Stage::Refusing(fault.clone()) => self.enter(Stage::Refusing(fault)),
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
        self.enter(Stage::Serving);
    }

    /// A reader found that the file fails.
    pub(super) fn read_failed(&mut self, entries: Vec<Entry>, error: &Error) {
        self.failed(entries, error);
    }

    /// The file failed, and none of these were kept.
    pub(super) fn failed(&mut self, entries: Vec<Entry>, error: &Error) {
        let fault = fault::fault(error);
        self.take_away(&fault);
        self.answer_not(entries, &fault.error());
        let reopened = self.reopen();
        self.settle(reopened, fault);
    }

    /// A commit failed, and may have happened all the same. To open the file again tells; if that fails as well, the
    /// publishers are told that nobody knows.
    pub(super) fn in_doubt(&mut self, doubt: Doubt) {
        let fault = fault::fault(&doubt.error);
        self.take_away(&fault);
        self.doubt = Some(doubt);
        self.answer_not(Vec::new(), &fault.error());
        let reopened = self.reopen();
        if reopened.is_err() {
            self.shared.in_flight.tell(&fault.why);
        }
        self.settle(reopened, fault);
    }

    /// Closes the file. Nobody is sent to it from now on.
    fn take_away(&mut self, fault: &Fault) {
        self.enter(Stage::Away(fault.clone()));
        self.shared.put_database(None);
    }

    /// Opens the file again, settles what is in doubt, and only then gives it to the others.
    fn reopen(&mut self) -> Result<(), OpenError> {
        let (database, totals) = recovery::open(&self.shared, Opening::Again)?;
        self.ledger.reset(totals);
        if let Some(doubt) = self.doubt.take() {
            self.settle_doubt(doubt);
        }
        self.shared.put_database(Some(database));
        Ok(())
    }

    fn settle_doubt(&mut self, doubt: Doubt) {
        let entries = self.shared.in_flight.end(doubt.entries);
        if doubt.batch == self.ledger.totals.batch {
            return self.answer(entries, doubt.done);
        }
        // A channel that was to be forgotten is there still, and so is what was to be evicted.
        let why: JournalError = journal_error(&doubt.error);
        self.answer_not(entries, &why);
    }

    /// What comes after the file failed and was opened again, or was not.
    fn settle(&mut self, reopened: Result<(), OpenError>, fault: Fault) {
        let now = Instant::now();
        let again = self.failed.filter(|(last, _)| now.duration_since(*last) < PATIENCE);
        self.failed = Some((now, again.map_or(0, |(_, times)| times + 1)));
        self.enter(match reopened {
            Err(error) => Stage::Away(error.fault()),
            Ok(()) if fault.kind == FaultKind::Full => Stage::Refusing(fault),
            Ok(()) if again.is_none() => Stage::Serving,
            Ok(()) => Stage::Away(fault),
        });
    }

    /// How long to leave the file alone.
    pub(super) fn pause(&self) -> Duration {
        let times = self.failed.map_or(0, |(_, times)| times);
        (Duration::from_millis(50) * 2u32.saturating_pow(times.min(10))).min(PATIENCE)
    }
}
