//! Messages that are being read from the archive, and those that were read last: all who ask for the same share one read.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use super::single_flight::SingleFlight;
use crate::channel::Batch;
use crate::sync::Mutex;
use crate::types::{Seq, Stretch, Timestamp};

/// Batches remembered while somebody holds them.
const REMEMBERED: usize = 64;

/// What came of a stretch.
#[derive(Clone)]
pub(super) enum ArchiveAnswer {
    /// Messages, from its beginning on.
    Batch(Arc<Batch>),
    /// None, for what is retained begins later: with this one, taken then.
    From((Seq, Timestamp)),
    /// None, for those up to this one are damaged.
    Damaged(Seq),
}

/// Reads under way, and what they brought last.
#[derive(Default)]
pub(super) struct Fetched {
    /// `None` comes of a channel that the journal does not know.
    pub(super) flights: SingleFlight<Stretch, Option<ArchiveAnswer>>,
    batches: Mutex<VecDeque<(Stretch, Weak<Batch>)>>,
}

impl Fetched {
    /// The batch that the same question brought before, if it is still all that the limit allows.
    pub(super) fn at_hand(&self, stretch: &Stretch, newest: Seq) -> Option<Arc<Batch>> {
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
