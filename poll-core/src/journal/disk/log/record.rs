//! A publish as the log has it: a framed record with a checksum.
//!
//! | bytes | what |
//! | --- | --- |
//! | 4 | [`MARK`], by which the next record is found behind a damaged one |
//! | 4 | length of the body |
//! | 8 | XXH3 of the body, seeded with the segment's number and the record's offset |
//! | body | distance from the first record of the same write (4), epoch, number before the publish, time taken (8 each), flags (1), name, key, change of life, messages |
//!
//! The seed makes a record valid in one place only: what an earlier file left in the same blocks of the disk never passes
//! for a record. Numbers are little-endian. Nothing here knows about files.

use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::change;
use crate::journal::{Append, Minted};
use crate::life::{Change, Content};
use crate::planted::{self, Bug};
use crate::types::{
    ChannelName, Ending, Epoch, Fields, Fingerprint, IdempotencyKey, Message, Payload, Seq, Timestamp,
    length, put, put_numbers,
};

/// The first bytes of a record. The first one occurs in no UTF-8 text.
const MARK: [u8; 4] = [0xfe, b'p', b'u', b'b'];
/// Mark, length and checksum.
pub(in super::super) const FRAME: usize = 4 + 4 + 8;

const CLOSES: u8 = 1;
const KEYED: u8 = 2;
const CHANGES: u8 = 4;
const BOUNDED: u8 = 8;

/// Where a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Place {
    /// The segment's number.
    pub(in super::super) segment: u64,
    /// The offset of the record's first byte in the file.
    pub(in super::super) offset: u64,
}

/// A publish to write, or one that was read.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Publish<'a> {
    pub(in super::super) channel: &'a ChannelName,
    pub(in super::super) epoch: Epoch,
    /// The number of the last message before it.
    pub(in super::super) after: Seq,
    pub(in super::super) taken: Timestamp,
    pub(in super::super) ending: Ending,
    pub(in super::super) key: Option<&'a (IdempotencyKey, Fingerprint)>,
    pub(in super::super) change: Option<&'a Change>,
    pub(in super::super) retains: Retains,
    /// Numbered from `after` on, without holes.
    pub(in super::super) messages: &'a [Arc<Message>],
}

/// What a publish's channel retains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Retains {
    /// What the bounds of the store say.
    AsUsual,
    /// What its own bounds say.
    Own,
    /// Everything.
    All,
}

/// A publish that was read.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct Record {
    /// How many bytes of the same write come before it.
    behind: u32,
    channel: ChannelName,
    epoch: Epoch,
    after: Seq,
    taken: Timestamp,
    ending: Ending,
    key: Option<(IdempotencyKey, Fingerprint)>,
    change: Option<Change>,
    retains: Retains,
    messages: Vec<Arc<Message>>,
}

impl<'a> From<&'a Append<Minted>> for Publish<'a> {
    fn from(append: &'a Append<Minted>) -> Self {
        Self {
            channel: append.channel(),
            epoch: append.epoch(),
            after: append.after(),
            taken: append.taken(),
            ending: append.ending(),
            key: append.key(),
            change: append.change(),
            retains: match append.bounds() {
                None => Retains::AsUsual,
                Some(bounds) if bounds.keep_everything() => Retains::All,
                Some(_) => Retains::Own,
            },
            messages: append.messages(),
        }
    }
}

impl Record {
    /// Where the write began that a record at this offset was part of.
    pub(in super::super) fn write_start(&self, offset: usize) -> usize {
        offset.saturating_sub(self.behind as usize)
    }

    pub(in super::super) fn publish(&self) -> Publish<'_> {
        Publish {
            channel: &self.channel,
            epoch: self.epoch,
            after: self.after,
            taken: self.taken,
            ending: self.ending,
            key: self.key.as_ref(),
            change: self.change.as_ref(),
            retains: self.retains,
            messages: &self.messages,
        }
    }
}

impl Publish<'_> {
    /// Whether it removes its channel.
    pub(in super::super) fn removes(&self) -> bool {
        self.change.is_some_and(|change| change.content == Content::Removed)
    }

    /// Appends the record to `out`, which is one write to `place`.
    pub(in super::super) fn encode(&self, place: Place, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend(MARK);
        out.extend([0; FRAME - MARK.len()]);
        let body = out.len();
        out.extend(length(start));
        put_numbers(out, [self.epoch.get(), self.after.get(), self.taken.as_micros()]);
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        out.push(
            flag(self.ending == Ending::Close, CLOSES)
                | flag(self.key.is_some(), KEYED)
                | flag(self.change.is_some(), CHANGES)
                | flag(self.retains != Retains::AsUsual, BOUNDED),
        );
        put(out, self.channel.as_str().as_bytes());
        if let Some((key, fingerprint)) = self.key {
            put(out, key.as_str().as_bytes());
            out.extend(fingerprint);
        }
        if let Some(change) = self.change {
            change::encode(change, out);
        }
        out.extend(length(self.messages.len()));
        for message in self.messages {
            out.push(message.payload.kind());
            out.extend(message.at.as_micros().to_le_bytes());
            out.extend(message.id.as_bytes());
            put(out, message.payload.as_bytes());
        }
        let count = length(out.len() - body);
        out[start + MARK.len()..][..4].copy_from_slice(&count);
        let sum = checksum(Place { offset: place.offset + start as u64, ..place }, &out[body..]);
        out[body - 8..body].copy_from_slice(&sum.to_le_bytes());
    }
}

/// Reads the record that starts `bytes`, which are at `place`. `None` where there is no intact record; else the record and
/// its length.
pub(in super::super) fn decode(bytes: &[u8], place: Place) -> Option<(Record, usize)> {
    let mut frame = Fields(bytes);
    if frame.array::<4>()? != MARK {
        return None;
    }
    let (count, sum) = (frame.length()?, u64::from_le_bytes(frame.array()?));
    let body = frame.bytes(count)?;
    if checksum(place, body) != sum && !planted::is(Bug::SkippedChecksum) {
        return None;
    }
    Some((Record::parse(Fields(body))?, FRAME + count))
}

/// How long the record that starts `bytes` is, damaged or not; `None` if not even its mark and length are there.
pub(in super::super) fn extent(bytes: &[u8]) -> Option<usize> {
    let mut frame = Fields(bytes);
    (frame.array()? == MARK).then_some(())?;
    FRAME.checked_add(frame.length()?)
}

/// The offset within `bytes` of what may be the next record after the first byte.
pub(in super::super) fn next_mark(bytes: &[u8]) -> Option<usize> {
    let rest = bytes.get(1..)?;
    memchr::memmem::find(rest, &MARK).map(|at| at + 1)
}

impl Record {
    fn parse(mut body: Fields<'_>) -> Option<Self> {
        let behind = u32::from_le_bytes(body.array()?);
        let (epoch, after) = (Epoch::new(body.number()?), Seq::new(body.number()?));
        let (taken, flags) = (Timestamp::from_micros(body.number()?), body.byte()?);
        let channel = ChannelName::parse(body.text()?).ok()?;
        let key = if flags & KEYED == 0 {
            None
        } else {
            Some((IdempotencyKey::parse(body.text()?).ok()?, body.array()?))
        };
        let change = if flags & CHANGES == 0 { None } else { Some(change::decode(&mut body)?) };
        let retains = if flags & BOUNDED == 0 { Retains::AsUsual } else { Retains::Own };
        let ending = if flags & CLOSES == 0 { Ending::Open } else { Ending::Close };
        let count = body.length()?;
        let mut messages = Vec::with_capacity(count.min(1_024));
        let mut seq = after;
        for _ in 0..count {
            seq = seq.next();
            let (kind, at) = (body.byte()?, Timestamp::from_micros(body.number()?));
            let id = Uuid::from_bytes(body.array()?);
            let payload = Payload::kept(kind, Bytes::copy_from_slice(body.prefixed()?))?;
            messages.push(Arc::new(Message { seq, id, at, payload }));
        }
        let is_whole = body.0.is_empty();
        is_whole.then_some(Self {
            behind,
            channel,
            epoch,
            after,
            taken,
            ending,
            key,
            change,
            retains,
            messages,
        })
    }
}

fn checksum(place: Place, body: &[u8]) -> u64 {
    let seed = xxh3_64_with_seed(&place.segment.to_le_bytes(), place.offset);
    xxh3_64_with_seed(body, seed)
}

#[cfg(test)]
pub(in super::super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::life::{Life, Producer, ProducerId};
    use crate::types::mint_id;

    pub(in super::super::super) fn record() -> impl Strategy<Value = Record> {
        let payloads = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..4);
        let key = prop::option::of(("[a-z]{1,20}", any::<[u8; 32]>()));
        let change = prop::option::of(change());
        ("[^\\pC]{1,20}", any::<u64>(), 0u64..1 << 40, payloads, key, any::<bool>(), change).prop_map(
            |(name, epoch, after, payloads, key, closes, change)| {
                let at = |seq| Timestamp::from_micros(1_800_000_000_000_000 + seq);
                let numbered = payloads.into_iter().zip(after + 1..);
                let messages = numbered.map(|(payload, seq)| {
                    let (at, payload) = (at(seq), Payload::bytes(payload));
                    Arc::new(Message { seq: Seq::new(seq), id: mint_id(at, seq), at, payload })
                });
                Record {
                    behind: 0,
                    channel: ChannelName::parse(&name).unwrap(),
                    epoch: Epoch::new(epoch),
                    after: Seq::new(after),
                    taken: at(after),
                    ending: if closes { Ending::Close } else { Ending::Open },
                    key: key.map(|(key, hash)| (IdempotencyKey::parse(&key).unwrap(), hash)),
                    retains: if closes { Retains::Own } else { Retains::AsUsual },
                    change,
                    messages: messages.collect(),
                }
            },
        )
    }

    fn change() -> impl Strategy<Value = Change> {
        let content = prop_oneof![
            Just(Content::Same),
            Just(Content::Born),
            Just(Content::Purged),
            Just(Content::Removed)
        ];
        let life = prop::option::of(0u64..1 << 50);
        (content, life, prop::option::of(any::<[u64; 2]>()), any::<bool>()).prop_map(
            |(content, touched, numbers, forgets)| {
                let touched = touched.map(Timestamp::from_micros);
                let id = |text| ProducerId::parse(text).unwrap();
                let producer =
                    |[epoch, last]: [u64; 2]| (id("p"), Producer { epoch, last, used: Timestamp::ZERO });
                Change {
                    life: touched.map(|touched| Arc::new(Life { touched, ..Life::default() })),
                    producer: numbers.map(producer),
                    forgotten: forgets.then(|| id("q")),
                    content,
                }
            },
        )
    }

    fn encoded(record: &Record, place: Place) -> Vec<u8> {
        let mut out = Vec::new();
        record.publish().encode(place, &mut out);
        out
    }

    proptest! {
        #[test]
        fn records_go_round(first in record(), second in record(), segment: u64, offset in 0u64..1 << 40) {
            let place = Place { segment, offset };
            let mut out = encoded(&first, place);
            let length = out.len();
            second.publish().encode(place, &mut out);
            prop_assert_eq!(decode(&out, place).unwrap(), (first, length));
            let behind = Place { offset: offset + length as u64, ..place };
            let (read, _) = decode(&out[length..], behind).unwrap();
            prop_assert_eq!(read.write_start(length), 0);
            prop_assert_eq!(Record { behind: 0, ..read }, second);
            prop_assert!(decode(&out, Place { segment: segment ^ 1, offset }).is_none(), "in another segment");
            prop_assert!(decode(&out, Place { segment, offset: offset + 1 }).is_none(), "in another place");
        }

        #[test]
        fn a_changed_byte_or_a_missing_end_is_noticed(
            record in record(),
            index: prop::sample::Index,
            change in 1u8..,
        ) {
            let place = Place { segment: 3, offset: 24 };
            let mut bytes = encoded(&record, place);
            let index = index.index(bytes.len());
            prop_assert!(decode(&bytes[..index], place).is_none());
            bytes[index] ^= change;
            prop_assert!(decode(&bytes, place).is_none());
        }

        #[test]
        fn garbage_is_no_record(mut bytes: Vec<u8>, body: Vec<u8>) {
            let place = Place { segment: 1, offset: 0 };
            prop_assert!(decode(&bytes, place).is_none());
            let _ = Record::parse(Fields(&body));
            bytes.splice(0..0, MARK);
            prop_assert!(decode(&bytes, place).is_none());
        }
    }
}
