//! Whose messages a fork shares.
//!
//! A fork's numbering goes on where it left its source, so a number means the same message in both up to there. The
//! list is flat: however many forks lie between, the channel that holds a message is found in one search.
//!
//! The list grows with the depth, and a chain of forks has as many lists as forks. So all but the last segment stay as they
//! are kept until someone reads what is inherited: making, loading and deleting a fork costs a copy of those bytes at most,
//! and forks of one source share them.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::types::{ChannelName, Epoch, Fields, Seq, Timestamp, put, put_numbers};

/// The channels whose messages come before a fork's own; none for a channel that is no fork.
#[derive(Debug, Clone, Default)]
pub struct Ancestry(Option<Arc<Line>>);

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

#[derive(Debug)]
struct Line {
    older: Older,
    cut: Segment,
    /// All segments, once they were needed.
    segments: OnceLock<Vec<Segment>>,
    /// The same as they are kept, once this was forked.
    whole: OnceLock<Older>,
}

/// Segments as they are kept, oldest first: each a channel's name, then epoch, number and time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Older {
    count: usize,
    bytes: Bytes,
}

impl Ancestry {
    /// The most segments. Each needs an ancestor with a message of its own.
    pub const MOST: usize = 1_000;

    pub(super) fn from_segments(mut segments: Vec<Segment>) -> Self {
        let Some(cut) = segments.pop() else { return Self::default() };
        let mut older = Vec::new();
        segments.iter().for_each(|segment| segment.encode(&mut older));
        Self::from_parts(Older { count: segments.len(), bytes: older.into() }, cut)
    }

    /// As it is kept.
    pub(super) fn from_parts(older: Older, cut: Segment) -> Self {
        let (segments, whole) = (OnceLock::new(), OnceLock::new());
        Self(Some(Arc::new(Line { older, cut, segments, whole })))
    }

    /// Oldest first.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        self.0.as_deref().map_or(&[], Line::segments)
    }

    /// The last message that is not the fork's own; `None` if all are.
    #[must_use]
    pub fn cut(&self) -> Option<&Segment> {
        self.0.as_deref().map(|line| &line.cut)
    }

    /// The segments before the last one, as they are kept.
    pub(super) fn older(&self) -> Option<&Older> {
        self.0.as_deref().map(|line| &line.older)
    }

    /// The ancestor that has message `seq`; `None` if the fork itself would.
    #[must_use]
    pub fn owner(&self, seq: Seq) -> Option<&Segment> {
        let line = self.0.as_deref().filter(|line| seq <= line.cut.last)?;
        let segments = line.segments();
        segments.get(segments.partition_point(|segment| segment.last < seq))
    }

    /// The segment with the newest message taken at or before `time`, and perhaps later ones; `None` if all of them
    /// were taken before `time`.
    pub(crate) fn at(&self, time: Timestamp) -> Option<(usize, &Segment)> {
        let segments = self.segments();
        let index = segments.partition_point(|segment| segment.last_at < time);
        Some((index, segments.get(index)?))
    }

    /// The ancestry of a fork that leaves `source`, whose own ancestry this is, after message `cut`; `None` if it would
    /// have too many segments.
    pub(crate) fn of_fork(&self, source: &Segment) -> Option<Self> {
        if source.last == Seq::ZERO {
            return Some(Self::default());
        }
        let older = match self.0.as_deref() {
            None => Older::default(),
            Some(line) if line.cut.last < source.last => line.whole().clone(),
            // The cut is in front of what is the source's own.
            Some(line) => {
                let segments = line.segments();
                let kept = segments.partition_point(|segment| segment.last < source.last);
                let owner = segments.get(kept).unwrap_or(source);
                let cut = Segment { last: source.last, last_at: source.last_at, ..owner.clone() };
                return Some(Self::from_segments([&segments[..kept], &[cut]].concat()));
            }
        };
        (older.count < Self::MOST).then(|| Self::from_parts(older, source.clone()))
    }
}

impl PartialEq for Ancestry {
    fn eq(&self, other: &Self) -> bool {
        self.cut() == other.cut() && self.older() == other.older()
    }
}

impl Eq for Ancestry {}

impl Line {
    /// All segments. Those that cannot be decoded are left out; readers are told that they missed their messages.
    fn segments(&self) -> &[Segment] {
        self.segments.get_or_init(|| {
            let mut segments = self.older.decode().unwrap_or_default();
            segments.push(self.cut.clone());
            segments
        })
    }

    fn whole(&self) -> &Older {
        self.whole.get_or_init(|| {
            let mut bytes = self.older.bytes.to_vec();
            self.cut.encode(&mut bytes);
            Older { count: self.older.count + 1, bytes: bytes.into() }
        })
    }
}

impl Older {
    /// Appends them, after their number.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend(crate::types::length(self.count));
        out.extend(&self.bytes[..]);
    }

    /// The same again; `None` if that is not what was appended.
    pub(super) fn kept(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let count = fields.length()?;
        let is_possible = count < Ancestry::MOST && (count == 0) == fields.0.is_empty();
        is_possible.then(|| Self { count, bytes: Bytes::copy_from_slice(fields.0) })
    }

    fn decode(&self) -> Option<Vec<Segment>> {
        let mut fields = Fields(&self.bytes);
        let segments: Vec<_> =
            (0..self.count).map(|_| Segment::decode(&mut fields)).collect::<Option<_>>()?;
        let is_ordered = segments.windows(2).all(|two| two[0].last < two[1].last);
        (is_ordered && fields.0.is_empty()).then_some(segments)
    }
}

impl Segment {
    fn encode(&self, out: &mut Vec<u8>) {
        put(out, self.channel.as_str().as_bytes());
        put_numbers(out, [self.epoch.get(), self.last.get(), self.last_at.as_micros()]);
    }

    fn decode(fields: &mut Fields<'_>) -> Option<Self> {
        Some(Self {
            channel: ChannelName::parse(fields.text()?).ok()?,
            epoch: Epoch::new(fields.number()?),
            last: Seq::new(fields.number()?),
            last_at: Timestamp::from_micros(fields.number()?),
        })
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
    fn what_forks_share_is_kept_once_and_read_when_it_is_needed() {
        let mut ancestry = Ancestry::default();
        for depth in 1..=100 {
            ancestry = ancestry.of_fork(&segment("a", depth)).unwrap();
        }
        let mut kept = Vec::new();
        ancestry.older().unwrap().encode(&mut kept);
        let source = Ancestry::from_parts(Older::kept(&kept).unwrap(), segment("a", 100));
        let forks = [101, 102].map(|cut| source.of_fork(&segment("b", cut)).unwrap());
        let older = |ancestry: &Ancestry| ancestry.older().unwrap().bytes.as_ptr();
        assert_eq!(older(&forks[0]), older(&forks[1]));
        for ancestry in forks.iter().chain([&source]) {
            assert!(ancestry.0.as_ref().unwrap().segments.get().is_none());
        }
        assert_eq!(source, ancestry);
        assert_eq!(forks[0].segments(), [source.segments(), &[segment("b", 101)]].concat());
        // Of what cannot be read only the last segment is left.
        let end = kept.len() - 1;
        for wrong in [&kept[..end], &[&kept[..], &[0]].concat()] {
            let broken = Ancestry::from_parts(Older::kept(wrong).unwrap(), segment("a", 100));
            assert_eq!(broken.segments(), [segment("a", 100)]);
        }
        assert_eq!((Older::kept(&kept[..4]), Older::kept(&[0, 0, 0, 0, 1])), (None, None));
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
