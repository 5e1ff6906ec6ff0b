//! How many channels there are.
//!
//! Each partition says so every second. In between, births and deaths are counted as they are announced, or replied to an own
//! publish, so that the limit on channels is not overrun by a server that is faster than a second. Several servers may still
//! exceed it by what they create within one round trip.

use crate::journal::redis::log::announcement::{Begins, Change, Kept};
use crate::journal::redis::log::generation::Mark;
use crate::journal::redis::log::partition::Partition;
use crate::journal::redis::log::script::Publish;
use crate::life::Content;

/// The number of channels of each partition, and as of which change.
pub(crate) struct Channels([(Mark, u64); Partition::COUNT]);

/// What a change means for the number of channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Census {
    Same,
    Birth,
    Death,
    /// Whatever there was counts no more.
    Doom,
}

impl Census {
    pub(crate) fn of(change: &Change) -> Self {
        match change {
            Change::Kept(_, kept, _) => Self::of_kept(kept),
            Change::Forgotten(..) => Self::Death,
            Change::Lived(_, Begins::Yes) => Self::Birth,
            Change::Lived(_, Begins::No) => Self::Same,
            Change::Renewed => Self::Doom,
        }
    }

    /// Of a publish of this server.
    pub(crate) fn of_own(publish: &Publish, kept: &Kept) -> Self {
        match publish.change.as_ref().map(|change| change.change.change.content) {
            None => Self::of_kept(kept),
            Some(Content::Born) => Self::Birth,
            Some(Content::Removed) => Self::Death,
            Some(Content::Same | Content::Purged) => Self::Same,
        }
    }

    fn of_kept(kept: &Kept) -> Self {
        if kept.begins == Begins::Yes { Self::Birth } else { Self::Same }
    }
}

impl Channels {
    /// In all partitions.
    pub(crate) fn all(&self) -> u64 {
        self.0.iter().map(|(_, channels)| channels).sum()
    }

    /// A partition said how many it has.
    pub(crate) fn stated(&mut self, partition: Partition, mark: Mark, channels: u64) {
        let seen = &mut self.0[partition.index()];
        // What was asked before the last change does not know of it.
        if (mark.generation, mark.count) >= (seen.0.generation, seen.0.count) {
            *seen = (mark, channels);
        }
    }

    /// A partition changed. Whether that changes the number.
    pub(crate) fn changed(&mut self, partition: Partition, mark: Mark, change: Census) -> bool {
        let (seen, channels) = &mut self.0[partition.index()];
        // Each change is both announced and replied.
        let is_new = (mark.generation, mark.count) > (seen.generation, seen.count);
        if !is_new || change == Census::Same {
            return false;
        }
        *seen = mark;
        *channels = match change {
            Census::Same => *channels,
            Census::Birth => *channels + 1,
            Census::Death => channels.saturating_sub(1),
            Census::Doom => 0,
        };
        true
    }
}

impl Default for Channels {
    fn default() -> Self {
        Self([(Mark::default(), 0); Partition::COUNT])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_counts_once() {
        let partition = Partition::all().next().unwrap();
        let mark = |count| Mark { count, ..Mark::default() };
        let mut channels = Channels::default();
        assert!(channels.changed(partition, mark(1), Census::Birth));
        assert!(!channels.changed(partition, mark(1), Census::Birth));
        assert!(!channels.changed(partition, mark(2), Census::Same));
        channels.stated(partition, mark(5), 4);
        assert!(!channels.changed(partition, mark(4), Census::Birth));
        channels.stated(partition, mark(3), 9);
        assert!(channels.changed(partition, mark(6), Census::Death));
        assert_eq!(channels.all(), 3);
        assert!(channels.changed(partition, mark(7), Census::Doom));
        assert_eq!(channels.all(), 0);
    }
}
