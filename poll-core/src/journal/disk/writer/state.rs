//! The writer's state, and how it answers publishers.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use redb::Error;
use tokio::time::Instant;

use super::super::commit_state::{CommitState, CommitSummary};
use super::super::options::Durability;
use super::super::shared::Shared;
use super::super::write_queue::PendingAppend;
use crate::journal::{Fault, Health};
use crate::types::JournalError;

pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) commit_state: CommitState,
    pub(super) availability: Availability,
    /// A commit of unknown outcome.
    pub(super) doubt: Option<Doubt>,
    /// When the file failed last, and how often in short succession before that.
    pub(super) failed: Option<(Instant, u32)>,
    /// Why publishes that were visible already could not be committed.
    pub(super) lost: Option<JournalError>,
}

/// What the writer can do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Availability {
    /// Everything.
    Serving,
    /// The file is open, but nothing can be written to it.
    Refusing(Fault),
    /// The file is closed, or not tried for a while because it failed repeatedly.
    Away(Fault),
}

/// A commit that failed, but may have happened.
pub(super) struct Doubt {
    /// Its number, if it happened.
    pub(super) batch: u64,
    pub(super) entries: Arc<Vec<PendingAppend>>,
    pub(super) summary: CommitSummary,
    pub(super) error: Error,
}

impl Writer {
    /// Changes what the writer can do, and with it the journal's health.
    pub(super) fn enter(&mut self, availability: Availability) {
        self.shared.health.send_replace(match &availability {
            Availability::Serving => Health::Ready,
            Availability::Refusing(fault) => Health::Refusing(fault.clone()),
            Availability::Away(fault) => Health::Away(fault.clone()),
        });
        self.availability = availability;
    }

    /// Answers the publishes of a commit that happened.
    pub(super) fn answer(&self, entries: Vec<PendingAppend>, summary: CommitSummary) {
        let shared = &self.shared;
        shared.count(&entries);
        shared.set_overhead(&self.commit_state.totals);
        shared.channels.fetch_sub(summary.forgotten, Ordering::Relaxed);
        for (PendingAppend { append, write_behind, .. }, kept) in entries.into_iter().zip(summary.kept) {
            match write_behind {
                Some(write_behind) => write_behind.kept(),
                None if kept => append.kept(),
                None => append.failed(unavailable("the publish before it failed")),
            }
        }
        if let Some(host) = shared.host.get() {
            for (name, epoch, oldest) in summary.evicted {
                host.evicted(&name, epoch, oldest);
            }
        }
    }

    /// Refuses these publishes and everything queued after them. Those that are visible already go back to the queue.
    pub(super) fn refuse(&mut self, mut entries: Vec<PendingAppend>, why: &JournalError) {
        entries.extend(self.shared.writes.drain());
        let (shown, waiting): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|entry| entry.write_behind.is_some());
        if !shown.is_empty() {
            self.lost = Some(why.clone());
            self.shared.writes.put_back(shown);
        }
        waiting.into_iter().for_each(|entry| entry.append.failed(why.clone()));
    }

    /// Whether publishes are visible before they are committed.
    pub(super) fn is_relaxed(&self) -> bool {
        matches!(self.shared.options.durability, Durability::Interval(_))
    }
}

pub(super) fn unavailable(why: &str) -> JournalError {
    JournalError::Unavailable(why.to_owned())
}
