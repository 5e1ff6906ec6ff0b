//! What the indexer does when the database fails: the file is opened again, and when.
//!
//! The order matters. The health says that the file is away before it is closed, so that no reader keeps asking for it. The
//! file that is then opened belongs to the indexer alone until it is known whether the last commit happened. It is put in
//! place before the health says that it is back.

use std::time::Duration;

use redb::Error;
use tokio::time::Instant;

use super::super::fault::{self, OpenError};
use super::super::recovery::{self, Opening};
use super::state::{Availability, Indexer};
use crate::journal::{Fault, FaultKind};

/// How often to check whether the file can be written again.
pub(super) const CHECK: Duration = Duration::from_millis(250);
/// The longest time between two attempts to open the file again.
const MAX_PAUSE: Duration = Duration::from_secs(5);

impl Indexer {
    /// Whether the database of this generation is in use.
    pub(super) fn has_open(&self, generation: u64) -> bool {
        let open = self.shared.database();
        open.generation == generation && open.database.is_some()
    }

    /// While nothing can be written: tries what is pending again.
    pub(super) fn check_again(&mut self) {
        self.enter(Availability::Serving);
        self.work(None, Vec::new());
    }

    /// While the file is away: tries to open it.
    pub(super) fn come_back(&mut self) {
        let is_open = self.shared.database().database.is_some();
        if !is_open && let Err(error) = self.reopen() {
            let fault = error.fault();
            return self.settle(Err(error), fault);
        }
        self.enter(Availability::Serving);
        self.work(None, Vec::new());
    }

    /// The database failed. What was under way may have happened: opening the file again tells.
    pub(super) fn failed(&mut self, error: &Error) {
        self.shared.file.unreadable.blame(self.commit_state.current.as_ref(), error);
        let fault = fault::fault(error);
        self.enter(Availability::Away(fault.clone()));
        self.shared.put_database(None);
        let reopened = self.reopen();
        self.settle(reopened, fault);
    }

    /// Opens the file again, and finds out whether what was pending is in it.
    fn reopen(&mut self) -> Result<(), OpenError> {
        let (database, totals) = recovery::open(&self.shared, Opening::Again)?;
        self.commit_state.reset(totals);
        self.shared.set_overhead(&totals);
        self.shared.put_database(Some(database));
        if self.pending.as_ref().is_some_and(|sealed| sealed.segment <= totals.indexed) {
            self.settled();
        }
        Ok(())
    }

    /// What to do after the file failed and was opened again, or was not.
    fn settle(&mut self, reopened: Result<(), OpenError>, fault: Fault) {
        let now = Instant::now();
        let again = self.failed.filter(|(last, _)| now.duration_since(*last) < MAX_PAUSE);
        self.failed = Some((now, again.map_or(0, |(_, times)| times + 1)));
        match reopened {
            Err(error) => self.enter(Availability::Away(error.fault())),
            Ok(()) if fault.kind == FaultKind::Full => self.enter(Availability::Refusing(fault)),
            Ok(()) if again.is_some() => self.enter(Availability::Away(fault)),
            Ok(()) => {
                self.enter(Availability::Serving);
                if self.pending.is_some() {
                    self.work(None, Vec::new());
                }
            }
        }
    }

    /// How long to leave the file alone.
    pub(super) fn pause(&self) -> Duration {
        let times = self.failed.map_or(0, |(_, times)| times);
        (Duration::from_millis(50) * 2u32.saturating_pow(times.min(10))).min(MAX_PAUSE)
    }
}
