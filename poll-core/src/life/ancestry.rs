//! Whose messages a fork shares.
//!
//! A fork's numbering goes on where it left its source, so a number means the same message in both up to there. The
//! list is flat: however many forks lie between, the channel that holds a message is found in one search.

use crate::types::{ChannelName, Epoch, Seq, Timestamp};

/// The channels whose messages come before a fork's own; none for a channel that is no fork.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ancestry(Vec<Segment>);

/// Messages of one ancestor: from where the segment before this one ends, up to `last`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Whose messages they are.
    pub channel: ChannelName,
    /// Of which incarnation.
    pub epoch: Epoch,
    /// The number of the last one.
    pub last: Seq,
    /// When that was taken.
    pub last_at: Timestamp,
}

impl Ancestry {
    /// The most segments. Each needs an ancestor with a message of its own.
    pub const MOST: usize = 1_000;

    pub(crate) fn from_segments(segments: Vec<Segment>) -> Self {
        Self(segments)
    }

    /// Oldest first.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// The last message that is not the fork's own; `None` if all are.
    #[must_use]
    pub fn cut(&self) -> Option<&Segment> {
        self.0.last()
    }

    /// Who has message `seq`; `None` if the fork itself would.
    #[must_use]
    pub fn owner(&self, seq: Seq) -> Option<&Segment> {
        self.0.get(self.0.partition_point(|segment| segment.last < seq))
    }

    /// The segment with the newest message taken at or before `time`, and perhaps later ones; `None` if all of them
    /// were taken before `time`.
    pub(crate) fn at(&self, time: Timestamp) -> Option<(usize, &Segment)> {
        let index = self.0.partition_point(|segment| segment.last_at < time);
        Some((index, self.0.get(index)?))
    }

    /// The ancestry of a fork that leaves `source`, whose own ancestry this is, after message `cut`; `None` if it would
    /// have too many segments.
    pub(crate) fn of_fork(&self, source: &Segment) -> Option<Self> {
        let kept = self.0.partition_point(|segment| segment.last < source.last);
        let mut segments = self.0[..kept].to_vec();
        if source.last > Seq::ZERO {
            // The cut may be in front of what is the source's own.
            let owner = self.0.get(kept).unwrap_or(source);
            segments.push(Segment { last: source.last, last_at: source.last_at, ..owner.clone() });
        }
        (segments.len() <= Self::MOST).then_some(Self(segments))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(channel: &str, last: u64) -> Segment {
        Segment {
            channel: ChannelName::parse(channel).unwrap(),
            epoch: Epoch::new(1),
            last: Seq::new(last),
            last_at: Timestamp::from_millis(last),
        }
    }

    fn owners(ancestry: &Ancestry, newest: u64) -> String {
        let owner = |seq| ancestry.owner(Seq::new(seq)).map_or("-", |segment| segment.channel.as_str());
        (1..=newest).map(owner).collect()
    }

    #[test]
    fn each_message_has_one_owner() {
        let b = Ancestry::default().of_fork(&segment("a", 3)).unwrap();
        let c = b.of_fork(&segment("b", 5)).unwrap();
        assert_eq!(owners(&c, 6), "aaabb-");
        // Forked where the source had nothing of its own yet, and in the middle of what it inherited.
        assert_eq!(owners(&c.of_fork(&segment("c", 5)).unwrap(), 6), "aaabb-");
        assert_eq!(owners(&c.of_fork(&segment("c", 4)).unwrap(), 6), "aaab--");
        assert_eq!(owners(&c.of_fork(&segment("c", 2)).unwrap(), 6), "aa----");
        assert_eq!(c.of_fork(&segment("c", 0)), Some(Ancestry::default()));
    }

    #[test]
    fn a_chain_has_an_end() {
        let mut ancestry = Ancestry::default();
        for depth in 1..=Ancestry::MOST as u64 {
            ancestry = ancestry.of_fork(&segment("a", depth)).unwrap();
        }
        assert_eq!(ancestry.of_fork(&segment("a", Ancestry::MOST as u64 + 1)), None);
    }
}
