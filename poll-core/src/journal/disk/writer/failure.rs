//! What the writer does when the log cannot be written.
//!
//! A write or a sync that failed leaves a batch in doubt: it may be in the file. The file is cut back to where it was, and
//! once that is synced the batch has failed for certain. Until then its publishers wait, or are told that the outcome is
//! unknown, and nothing else is written.

use std::io;
use std::sync::Arc;

use super::super::fault;
use super::super::log::segment::Segment;
use super::super::write_queue::PendingAppend;
use super::state::{Doubt, Writer};
use crate::journal::{Fault, FaultKind, Health};
use crate::types::JournalError;

/// The free space needed besides the data written.
const SPARE: u64 = 1 << 20;

impl Writer {
    /// Why these publishes cannot be written now.
    pub(super) fn obstacle(&self, entries: &[PendingAppend]) -> Option<Fault> {
        let location = &self.shared.location;
        if let Err(error) = location.verify() {
            return Some(fault::reopen_fault(&location.name(), &fault::io_error(error)));
        }
        let free = location.free()?;
        let needed = SPARE + 4 * entries.iter().map(|entry| entry.bytes).sum::<u64>();
        let full =
            || Fault::new(FaultKind::Full, format!("{free} bytes are free where {} is", location.name()));
        (free < needed).then(full)
    }

    /// A batch could not be written.
    pub(super) fn append_failed(&mut self, entries: Arc<Vec<PendingAppend>>, error: io::Error) {
        let fault = fault::fault(&fault::io_error(error));
        self.set_health(Health::Refusing(fault.clone()));
        let restored = self.segment.as_mut().map_or(Ok(()), Segment::restore);
        let is_restored = restored.is_ok();
        self.doubt = Some(Doubt { entries, fault: fault.clone() });
        if is_restored {
            self.fail_doubtful();
        } else {
            self.shared.in_flight.mark_doubtful(&fault.why);
            self.refuse(Vec::new(), &fault.error());
        }
        self.failed_closing += u32::from(self.shared.writes.is_closed());
        let again = self.backoff.failed();
        if is_restored && !again && fault.kind != FaultKind::Full {
            self.set_health(Health::Ready);
        }
    }

    /// While nothing can be written: tries whether that is over.
    pub(super) fn retry(&mut self) {
        let location = self.shared.location.clone();
        if self.doubt.is_some() {
            let restored = self.segment.as_mut().map_or(Ok(()), |segment| segment.reopen(&*location));
            if restored.is_err() {
                return;
            }
            self.fail_doubtful();
        }
        self.set_health(self.obstacle(&[]).map_or(Health::Ready, Health::Refusing));
    }

    /// The batch in doubt is not in the file: it has failed.
    fn fail_doubtful(&mut self) {
        let Some(Doubt { entries, fault }) = self.doubt.take() else { return };
        let entries = self.shared.in_flight.end(entries);
        self.refuse(entries, &fault.error());
    }

    /// Refuses these publishes and everything queued after them. Those that are visible already go back to the queue.
    pub(super) fn refuse(&mut self, mut entries: Vec<PendingAppend>, why: &JournalError) {
        entries.extend(self.shared.writes.drain());
        let mut again = Vec::new();
        for entry in entries {
            if !entry.is_visible() {
                self.shared.unfollowed.failed(&entry);
            }
            again.extend(entry.failed(why.clone()));
        }
        if !again.is_empty() {
            self.lost = Some(why.clone());
            self.shared.writes.put_back(again);
        }
    }
}
