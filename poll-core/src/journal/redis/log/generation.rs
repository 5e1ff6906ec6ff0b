//! How a Redis that lost something is recognised.
//!
//! Every change of a partition raises its **count** by one. A count below one that was seen before means that
//! changes were lost. Then the partition gets a new **generation**, which is a part of every epoch in it: all
//! positions of before are reset, and no number is given out twice under one epoch.
//!
//! A count that was lost may be reached again before a node that saw the first one looks. So the record also says
//! since when one and the same Redis process has been written to: its **reign** begins with its first change, and the
//! partition remembers at which count the last reigns began. A reign that began below a count that was seen under an
//! earlier one has lost it, whatever the count is now.
//!
//! What is lost while no node remembers it cannot be told: when all nodes and Redis restart at once.

use crate::types::Epoch;

/// Under which history a partition gives out numbers: an ordinal and random bits, so that two nodes that both begin
/// one do not begin the same. Zero before the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Generation(u32);

/// Random bits of a channel's incarnation within a generation; not zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Birth(u32);

/// When a Redis process began to be written to, in microseconds by its own clock. Zero before the first change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Reign(u64);

/// Identifies the Redis process behind a connection: a hash of its `run_id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Process(pub(crate) [u8; 8]);

/// How far a partition's history has got, as one reply or announcement says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Mark {
    pub(crate) generation: Generation,
    /// How many changes there have been.
    pub(crate) count: u64,
    pub(crate) reign: Reign,
}

impl Generation {
    /// From a number.
    pub(crate) const fn new(number: u32) -> Self {
        Self(number)
    }

    /// As a number.
    pub(crate) const fn get(self) -> u32 {
        self.0
    }

    /// One that is later than this one.
    #[expect(clippy::cast_possible_truncation, reason = "the low bits of a random number")]
    pub(crate) fn next(self, random: u64) -> Self {
        let later = ((self.0 >> 16) + 1) << 16 | u32::from(random as u16);
        // After 65,535 losses there are only the low bits left.
        Self(if self.0 >> 16 == u32::from(u16::MAX) { self.0.saturating_add(1) } else { later })
    }

    /// The epoch of a channel that was born like this.
    pub(crate) fn epoch(self, birth: Birth) -> Epoch {
        Epoch::new(u64::from(self.0) << 32 | u64::from(birth.0))
    }

    /// The generation of an epoch.
    pub(crate) fn of(epoch: Epoch) -> Self {
        Self((epoch.get() >> 32) as u32)
    }
}

impl Birth {
    /// From random bits.
    #[expect(clippy::cast_possible_truncation, reason = "the low bits of a random number")]
    pub(crate) fn random(random: u64) -> Self {
        Self((random as u32).max(1))
    }

    /// From a record; `None` if it is zero.
    pub(crate) fn new(number: u32) -> Option<Self> {
        (number != 0).then_some(Self(number))
    }

    /// As a number.
    pub(crate) const fn get(self) -> u32 {
        self.0
    }

    /// The birth of an epoch; `None` before a channel's first message.
    #[cfg(test)]
    #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
    pub(crate) fn of(epoch: Epoch) -> Option<Self> {
        Self::new(epoch.get() as u32)
    }
}

impl Reign {
    /// From a record.
    pub(crate) const fn new(number: u64) -> Self {
        Self(number)
    }

    /// As a number.
    pub(crate) const fn get(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_next_generation_is_later(number in 0..u32::MAX, random: u64) {
            let generation = Generation::new(number);
            prop_assert!(generation.next(random) > generation);
        }

        #[test]
        fn an_epoch_has_both_parts(generation: u32, random: u64) {
            let (generation, birth) = (Generation::new(generation), Birth::random(random));
            let epoch = generation.epoch(birth);
            prop_assert_eq!(Generation::of(epoch), generation);
            prop_assert_eq!(Birth::of(epoch), Some(birth));
        }
    }
}
