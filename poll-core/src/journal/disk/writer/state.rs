//! The writer's state.

use std::sync::Arc;

use super::super::backoff::Backoff;
use super::super::log::segment::Segment;
use super::super::shared::{Component, Shared};
use super::super::write_queue::PendingAppend;
use crate::journal::{Fault, Health};
use crate::types::JournalError;

pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    /// The active segment; `None` before its first record.
    pub(super) segment: Option<Segment>,
    /// The records of a batch.
    pub(super) buffer: Vec<u8>,
    /// Whether the log can be written, as far as the writer knows.
    pub(super) health: Health,
    /// A batch whose outcome is not known.
    pub(super) doubt: Option<Doubt>,
    pub(super) backoff: Backoff,
    /// How often the log failed since the journal began to close.
    pub(super) failed_closing: u32,
    /// Why publishes that were visible already could not be kept.
    pub(super) lost: Option<JournalError>,
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
            health: Health::Ready,
            doubt: None,
            backoff: Backoff::default(),
            failed_closing: 0,
            lost: None,
        }
    }

    /// Changes whether the log can be written, and with it the journal's health.
    pub(super) fn set_health(&mut self, health: Health) {
        self.shared.set_health(Component::Log, health.clone());
        self.health = health;
    }
}
