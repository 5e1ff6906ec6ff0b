//! The writer's state.

use std::sync::Arc;

use tokio::time::Instant;

use super::super::log::segment::Segment;
use super::super::shared::{Place, Shared};
use super::super::write_queue::PendingAppend;
use super::unfollowed::Unfollowed;
use crate::journal::{Fault, Health};
use crate::types::JournalError;

pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    /// The active segment; `None` before its first record.
    pub(super) segment: Option<Segment>,
    /// The records of a batch.
    pub(super) buffer: Vec<u8>,
    pub(super) availability: Availability,
    /// A batch whose outcome is not known.
    pub(super) doubt: Option<Doubt>,
    /// Channels whose publishes may follow one that failed.
    pub(super) unfollowed: Unfollowed,
    /// When the log failed last, and how often in short succession before that.
    pub(super) failed: Option<(Instant, u32)>,
    /// Why publishes that were visible already could not be kept.
    pub(super) lost: Option<JournalError>,
}

/// What the writer can do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Availability {
    /// Everything.
    Serving,
    /// Nothing can be written for now.
    Refusing(Fault),
}

/// A batch that could not be written, but may be in the file.
pub(super) struct Doubt {
    pub(super) entries: Arc<Vec<PendingAppend>>,
    pub(super) fault: Fault,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            segment: None,
            buffer: Vec::new(),
            availability: Availability::Serving,
            doubt: None,
            unfollowed: Unfollowed::default(),
            failed: None,
            lost: None,
        }
    }

    /// Changes what the writer can do, and with it the journal's health.
    pub(super) fn enter(&mut self, availability: Availability) {
        let health = match &availability {
            Availability::Serving => Health::Ready,
            Availability::Refusing(fault) => Health::Refusing(fault.clone()),
        };
        self.shared.enter(Place::Log, health);
        self.availability = availability;
    }
}
