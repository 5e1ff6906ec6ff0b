//! What the indexer does when the database fails: the file is opened again, and when.
//!
//! The order matters. The health says that the file is away before it is closed, so that no reader keeps asking for it. The
//! file that is then opened belongs to the indexer alone until it is known whether the last commit happened. It is put in
//! place before the health says that it is back.

use redb::Error;

use super::super::fault;
use super::super::recovery::{self, Opened, Opening};
use super::state::Indexer;
use crate::journal::{Fault, FaultKind, Health};

impl Indexer {
    /// Whether the database of this generation is in use.
    pub(super) fn has_open(&self, generation: u64) -> bool {
        let open = self.shared.database();
        open.generation == generation && open.database.is_some()
    }

    /// While nothing can be written: opens the file again if it is closed, and tries what is pending.
    pub(super) fn retry(&mut self) {
        let is_open = self.shared.database().database.is_some();
        if !is_open && let Err(fault) = self.reopen() {
            return self.after_failure(Err(fault.clone()), fault);
        }
        self.go_on();
    }

    /// The file is open. Whether it can be written shows with what is pending, and until then the log must not grow: each
    /// attempt that fails would let some in.
    fn go_on(&mut self) {
        match self.health.fault().cloned() {
            Some(fault) if self.pending.is_some() => {
                self.set_health(Health::Refusing(fault));
                self.work(None, Vec::new());
            }
            _ => self.set_health(Health::Ready),
        }
    }

    /// The database failed. Whether what was under way happened is read from the file once it is open again.
    pub(super) fn failed(&mut self, error: &Error) {
        self.shared.file.unreadable.attribute(self.commit_state.current.as_ref(), error);
        let fault = fault::fault(error);
        self.set_health(Health::Away(fault.clone()));
        self.shared.put_database(None);
        let reopened = self.reopen();
        self.after_failure(reopened, fault);
    }

    /// Opens the file again, and finds out whether what was pending is in it.
    fn reopen(&mut self) -> Result<(), Fault> {
        let Opened { database, totals, .. } = recovery::open(&self.shared, Opening::Again)?;
        let done = self.commit_state.reset(totals);
        self.shared.set_totals(totals);
        self.shared.put_database(Some(database));
        if let Some(summary) = done {
            self.committed(summary);
        }
        Ok(())
    }

    /// What to do after the file failed and was opened again, or was not.
    fn after_failure(&mut self, reopened: Result<(), Fault>, fault: Fault) {
        let again = self.backoff.failed();
        match reopened {
            Err(fault) => self.set_health(Health::Away(fault)),
            Ok(()) if fault.kind == FaultKind::Full => self.set_health(Health::Refusing(fault)),
            // What is whole can be read.
            Ok(()) if fault.kind == FaultKind::Damaged && (again || self.pending.is_some()) => {
                self.set_health(Health::Refusing(fault));
            }
            Ok(()) if again => self.set_health(Health::Away(fault)),
            Ok(()) => self.go_on(),
        }
    }
}
