//! Pending reads from the archive, and the batches that were read last: all readers that ask for the same share one
//! read.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use super::single_flight::SingleFlight;
use crate::channel::Batch;
use crate::sync::Mutex;
use crate::types::{Seq, Stretch, Timestamp};

/// The most batches that are remembered while readers hold them.
const REMEMBERED: usize = 64;

/// What the archive has for a stretch.
#[derive(Clone)]
pub(super) enum ArchiveAnswer {
    /// Messages, from its start on.
    Batch(Arc<Batch>),
    /// No messages: the retained ones begin later, with this number and time.
    From((Seq, Timestamp)),
    /// No messages: all up to this number are damaged.
    Damaged(Seq),
}

/// Pending reads, and the batches that were read last.
#[derive(Default)]
pub(super) struct Fetched {
    /// `None` for a channel that the journal does not know.
    pub(super) flights: SingleFlight<Stretch, Option<ArchiveAnswer>>,
    batches: Mutex<VecDeque<(Stretch, Weak<Batch>)>>,
}

impl Fetched {
    /// The batch that the same stretch gave before, if it is still all that the limit allows.
    pub(super) fn recall(&self, stretch: &Stretch, newest: Seq) -> Option<Arc<Batch>> {
        let batches = self.batches.lock();
        let (_, batch) = batches.iter().find(|(other, _)| other == stretch)?;
        let batch = batch.upgrade()?;
        let is_full = batch.messages().len() == stretch.limit.messages
            || batch.payload_bytes() > stretch.limit.bytes / 2;
        (is_full || batch.newest().seq >= newest).then_some(batch)
    }

    pub(super) fn remember(&self, stretch: Stretch, batch: &Arc<Batch>) {
        let mut batches = self.batches.lock();
        batches.truncate(REMEMBERED - 1);
        batches.push_front((stretch, Arc::downgrade(batch)));
    }
}
