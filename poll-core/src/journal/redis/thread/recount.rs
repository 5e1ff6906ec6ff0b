//! Publishes that would be one channel too many, as far as is known, until all channels have been counted.
//!
//! How many there are is known to within what other servers created a moment ago. Far below the limit that does not matter.
//! Near it, a publish to a new channel that the script refuses waits until every partition has said how many channels it
//! has, having been asked after the refusal.

use std::collections::BTreeSet;

use tokio::time::Instant;

use super::publish_queue::PendingPublish;
use crate::journal::redis::log::partition::Partition;

#[derive(Default)]
pub(crate) struct Recount {
    /// They wait for this count.
    waiting: Vec<PendingPublish>,
    /// They came too late for it, and wait for the next one.
    next: Vec<PendingPublish>,
    /// The partitions that have not said yet how many they have.
    left: BTreeSet<Partition>,
}

impl Recount {
    /// Has a publish wait. Whether all partitions have to be asked now.
    pub(crate) fn wait(&mut self, publish: PendingPublish) -> bool {
        if !self.left.is_empty() {
            self.next.push(publish);
            return false;
        }
        self.waiting.push(publish);
        self.left = Partition::all().collect();
        true
    }

    /// A partition has said how many it has. Returns those that waited, if it was the last one.
    pub(crate) fn counted(&mut self, partition: Partition) -> Vec<PendingPublish> {
        if self.left.remove(&partition) && self.left.is_empty() {
            return std::mem::take(&mut self.waiting);
        }
        Vec::new()
    }

    /// Those that came too late for the count that is over.
    pub(crate) fn take_next(&mut self) -> Vec<PendingPublish> {
        std::mem::take(&mut self.next)
    }

    /// Takes out those whose deadline is over.
    pub(crate) fn take_late(&mut self, now: Instant) -> Vec<PendingPublish> {
        let mut late = Vec::new();
        for waiting in [&mut self.waiting, &mut self.next] {
            late.extend(waiting.extract_if(.., |publish| publish.deadline <= now));
        }
        late
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.next.is_empty()
    }
}
