//! Rows as bytes, each with a checksum over its content and its key.
//!
//! redb opens a file that was damaged after a clean close without complaint, so each row is verified when it is read. Its
//! checksum (XXH3) covers the key as well: a row that turns up under another key counts as damaged. Rows written by format
//! version 1 have no checksum and are accepted if they parse. A row of one version never passes for one of the other: the
//! values of the byte that distinguishes them are far apart, and the bytes after it would not parse.
//!
//! Numbers in rows are little-endian. Nothing here knows about tables or files.

use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::weight::{HEAD, KEY_BYTES, SUM, Weight, channel_weight};
use crate::journal::KeptKey;
use crate::planted::{self, Bug};
use crate::types::{
    ChannelName, Epoch, Fields, IdempotencyKey, Message, Payload, Seq, SeqRange, Timestamp, put_numbers,
};

type Result<T> = std::result::Result<T, RowError>;

/// Why a row has no content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowError {
    /// It is not what was written.
    Damaged(&'static str),
    /// It marks a message that was lost before this file was made, and reported then.
    Lost,
}

impl RowError {
    pub(super) fn what(self) -> &'static str {
        match self {
            Self::Damaged(what) => what,
            Self::Lost => "a message that was lost",
        }
    }
}

/// All counters in one row, so opening the file counts nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Totals {
    /// The number of the commit.
    pub(super) commit: u64,
    /// The number that the next channel gets.
    pub(super) next: u64,
    pub(super) channels: u64,
    /// The weight of all messages.
    pub(super) bytes: u64,
    /// The weight of the rest; `None` if an earlier version wrote the totals and it has to be counted.
    pub(super) overhead: Option<Overhead>,
    /// How often messages that readers had seen may have been lost; each time, all epochs change.
    pub(super) losses: u64,
    /// Whether the next start has to count a loss: since the file was opened messages may be shown before they are kept, or
    /// recovery found the log damaged and has not ended yet.
    pub(super) relaxed: bool,
    /// The newest segment of the log that is in the database; zero if there was none.
    pub(super) indexed: u64,
    /// The weight of the messages of channels that nothing is evicted from.
    pub(super) unevictable: u64,
}

/// What is stored besides messages, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Overhead {
    pub(super) keys: u64,
    pub(super) channels: u64,
    /// The messages' size in the file, see [`footprint`](super::weight::footprint); `None` if an earlier version wrote some of them.
    pub(super) pages: Option<u64>,
}

impl Overhead {
    /// Overhead that is not counted: otherwise a small limit would leave no room for messages.
    pub(super) const FREE: u64 = 1 << 20;

    /// Whether another key may be written. Keys may take a quarter of the limit.
    pub(super) fn takes_keys(self, most: u64) -> bool {
        self.keys < (most / 4).max(Self::FREE / 2)
    }

    /// Whether another channel may be created. Channels may take half of the limit.
    pub(super) fn takes_channels(self, most: u64) -> bool {
        self.channels < (most / 2).max(Self::FREE / 2)
    }

    pub(super) fn sum(self) -> u64 {
        self.keys.saturating_add(self.channels)
    }

    /// With the keys and channels of another; pages are not added.
    pub(super) fn plus(self, other: Self) -> Self {
        Self { keys: self.keys + other.keys, channels: self.channels + other.channels, ..self }
    }
}

/// A channel's row. It may lag behind the channel's messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) name: ChannelName,
    pub(super) epoch: u64,
    /// [`Totals::losses`] when the epoch was minted.
    pub(super) losses: u64,
    pub(super) newest: u64,
    pub(super) newest_at: Timestamp,
    pub(super) ended: bool,
    /// The number of the oldest message that was not deleted; zero where an earlier version wrote the row.
    pub(super) oldest: u64,
}

/// The checksum of a row's parts; `seed` is unique to the row's table and key.
pub(super) fn sum(seed: u64, parts: &[&[u8]]) -> [u8; SUM] {
    parts.iter().fold(seed, |seed, part| xxh3_64_with_seed(part, seed)).to_le_bytes()
}

/// A checksum seed for a table and key.
pub(super) fn seed(table: u64, key: &[u64]) -> u64 {
    key.iter().fold(table, |seed, number| xxh3_64_with_seed(&number.to_le_bytes(), seed))
}

/// Reads a checksum, and compares it.
fn check(row: &mut Fields<'_>, sum: [u8; SUM]) -> Option<()> {
    let is_whole = row.array()? == sum || planted::is(Bug::SkippedChecksum);
    is_whole.then_some(())
}

const TOTALS: u64 = 1;
const CHANNEL: u64 = 2;
const MESSAGE: u64 = 3;
const KEY: u64 = 4;

impl Totals {
    pub(super) fn overhead_mut(&mut self) -> &mut Overhead {
        self.overhead.get_or_insert_default()
    }

    /// What counts against the limit on bytes.
    pub(super) fn weight(&self) -> u64 {
        let overhead = self.overhead.unwrap_or_default().sum();
        self.bytes.saturating_add(overhead.saturating_sub(Overhead::FREE))
    }

    /// The size of everything counted, in bytes of pages.
    pub(super) fn footprint(&self) -> u64 {
        let overhead = self.overhead.unwrap_or_default();
        overhead.pages.unwrap_or(2 * self.bytes).saturating_add(overhead.sum())
    }

    /// A message was written.
    pub(super) fn took(&mut self, message: Weight) {
        self.bytes += message.bytes;
        self.unevictable += message.unevictable;
        if let Some(pages) = &mut self.overhead_mut().pages {
            *pages += message.pages;
        }
    }

    /// Messages of this weight were deleted.
    pub(super) fn freed(&mut self, messages: Weight) {
        self.bytes = self.bytes.saturating_sub(messages.bytes);
        self.unevictable = self.unevictable.saturating_sub(messages.unevictable);
        let bytes = self.bytes;
        let pages = &mut self.overhead_mut().pages;
        // Once everything that an earlier version wrote is gone, the count is exact.
        *pages = pages.map(|pages| pages.saturating_sub(messages.pages)).or((bytes == 0).then_some(0));
    }

    /// The same with keys.
    pub(super) fn freed_keys(&mut self, bytes: u64) {
        let keys = &mut self.overhead_mut().keys;
        *keys = keys.saturating_sub(bytes);
    }

    /// A channel was deleted.
    pub(super) fn freed_channel(&mut self, name: &ChannelName) {
        let channels = &mut self.overhead_mut().channels;
        *channels = channels.saturating_sub(channel_weight(name.as_str()));
    }

    const BYTES: usize = 5 * 8 + 1;
    /// Up to and including the first checksum. Earlier versions read and write only this much, and ignore the rest.
    pub(super) const SUMMED: usize = Self::BYTES + SUM;

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut row = Vec::new();
        put_numbers(&mut row, [self.commit, self.next, self.channels, self.bytes, self.losses]);
        row.push(self.relaxed.into());
        row.extend(sum(TOTALS, &[&row]));
        if let Some(Overhead { keys, channels, pages }) = self.overhead {
            put_numbers(&mut row, [keys, channels, pages.unwrap_or(u64::MAX)]);
            row.extend(sum(TOTALS, &[&row]));
            put_numbers(&mut row, [self.indexed, self.unevictable]);
            row.extend(sum(TOTALS, &[&row]));
        }
        row
    }

    pub(super) fn decode(row: &[u8]) -> Result<Self> {
        Self::parse(row).ok_or(RowError::Damaged("the totals"))
    }

    fn parse(row: &[u8]) -> Option<Self> {
        let mut fields = Fields(row);
        let mut totals = Self {
            commit: fields.number()?,
            next: fields.number()?,
            channels: fields.number()?,
            bytes: fields.number()?,
            overhead: None,
            losses: fields.number()?,
            relaxed: fields.byte()? != 0,
            indexed: 0,
            unevictable: 0,
        };
        // Version 1 had none.
        if !fields.0.is_empty() {
            check(&mut fields, sum(TOTALS, &[&row[..Self::BYTES]]))?;
        }
        if !fields.0.is_empty() {
            totals.overhead = Some(Overhead {
                keys: fields.number()?,
                channels: fields.number()?,
                pages: Some(fields.number()?).filter(|pages| *pages < u64::MAX),
            });
            check(&mut fields, sum(TOTALS, &[&row[..Self::SUMMED + 3 * 8]]))?;
        }
        // Before version 3 there was no log.
        if !fields.0.is_empty() {
            totals.indexed = fields.number()?;
            // Before version 4 everything could be evicted.
            if fields.0.len() > SUM {
                totals.unevictable = fields.number()?;
            }
            check(&mut fields, sum(TOTALS, &[&row[..row.len() - SUM]]))?;
        }
        Some(totals)
    }
}

/// Marks a channel's row as one with a checksum, beside whether the channel has ended.
const SUMMED: u8 = 0xA0;
/// Marks a row that says which message is the oldest.
const OLDEST: u8 = 2;

impl Row {
    /// That of a channel which begins in this incarnation.
    pub(super) fn begin(name: ChannelName, epoch: u64, losses: u64) -> Self {
        Self { name, epoch, losses, newest: 0, newest_at: Timestamp::ZERO, ended: false, oldest: 0 }
    }

    /// The length of the fields before the checksum and the name.
    const HEAD: usize = 4 * 8 + 1;

    pub(super) fn encode(&self, id: u64) -> Vec<u8> {
        let mut row = Vec::with_capacity(Self::HEAD + 8 + SUM + self.name.as_str().len());
        put_numbers(&mut row, [self.epoch, self.losses, self.newest, self.newest_at.as_micros()]);
        row.push(SUMMED | OLDEST | u8::from(self.ended));
        row.extend(self.oldest.to_le_bytes());
        let name = self.name.as_str().as_bytes();
        row.extend(sum(seed(CHANNEL, &[id]), &[&row, name]));
        row.extend(name);
        row
    }

    pub(super) fn decode(id: u64, row: &[u8]) -> Result<Self> {
        Self::parse(id, row).ok_or(RowError::Damaged("a channel's row"))
    }

    fn parse(id: u64, row: &[u8]) -> Option<Self> {
        let mut fields = Fields(row);
        let (epoch, losses, newest) = (fields.number()?, fields.number()?, fields.number()?);
        let (newest_at, mark) = (Timestamp::from_micros(fields.number()?), fields.byte()?);
        let has_oldest = mark > 1 && mark & OLDEST != 0;
        let oldest = if has_oldest { fields.number()? } else { 0 };
        if mark > 1 {
            let (head, rest) = row.split_at(row.len() - fields.0.len());
            let name = rest.get(SUM..).unwrap_or_default();
            check(&mut fields, sum(seed(CHANNEL, &[id]), &[head, name]))?;
        }
        if mark <= 1 && (newest >= FAR || newest_at.as_micros() >= FAR) {
            return None;
        }
        let ended = mark & 1 == 1;
        let name = ChannelName::parse(std::str::from_utf8(fields.0).ok()?).ok()?;
        Some(Self { name, epoch, losses, newest, newest_at, ended, oldest })
    }

    /// The epoch that readers see. It changes once messages that they had seen may have been lost: a cursor past the
    /// surviving messages must not match messages published later.
    pub(super) fn visible_epoch(&self, losses: u64) -> Epoch {
        if self.losses == losses {
            return Epoch::new(self.epoch);
        }
        // SplitMix64's finaliser: any change of the input changes about half of the output.
        let mut mixed = self.epoch ^ losses.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        Epoch::new((mixed ^ mixed >> 31).max(1))
    }
}

/// Added to the first byte of a message's row, the payload's kind, from version 2 on.
const CHECKED: u8 = 0xA0;
/// In place of the kind: the message was lost before this file was made.
const LOST: u8 = 0xAF;
/// A time in microseconds that no message reaches, nor any number: the year 2255, after which seconds are not exact as
/// doubles.
const FAR: u64 = 1 << 53;

/// Writes a message's row: kind, checksum, time, id, payload.
pub(super) fn encode_message(channel: u64, message: &Message, row: &mut Vec<u8>) {
    row.clear();
    row.push(CHECKED | message.payload.kind());
    row.extend([0; SUM]);
    row.extend(message.at.as_micros().to_le_bytes());
    row.extend(message.id.as_bytes());
    row.extend(message.payload.as_bytes());
    seal_message(channel, message.seq.get(), row);
}

/// Writes the row of a message that is known to be lost.
pub(super) fn encode_lost(channel: u64, seq: u64, row: &mut Vec<u8>) {
    row.clear();
    row.resize(HEAD, 0);
    row[0] = LOST;
    seal_message(channel, seq, row);
}

fn seal_message(channel: u64, seq: u64, row: &mut [u8]) {
    let checksum = message_sum(channel, seq, row);
    row[1..=SUM].copy_from_slice(&checksum);
}

fn message_sum(channel: u64, seq: u64, row: &[u8]) -> [u8; SUM] {
    sum(seed(MESSAGE, &[channel, seq]), &[&row[..1], &row[1 + SUM..]])
}

/// The parts of a message's row: kind of payload, time, id, payload.
type Parts<'a> = (u8, u64, Uuid, &'a [u8]);

/// The parts of a message's row, verified.
fn open_message(channel: u64, seq: u64, row: &[u8]) -> Result<Parts<'_>> {
    let (kind, at, id, payload) = message_parts(channel, seq, row).ok_or(RowError::Damaged("a message"))?;
    if kind == LOST {
        return Err(RowError::Lost);
    }
    // A row with a checksum whose first byte was changed to one without has an absurd time.
    if kind & !CHECKED > 2 || (kind <= 2 && (at >= FAR || id.get_version_num() != 7)) {
        return Err(RowError::Damaged("a message"));
    }
    Ok((kind & !CHECKED, at, id, payload))
}

fn message_parts(channel: u64, seq: u64, row: &[u8]) -> Option<Parts<'_>> {
    let mut fields = Fields(row);
    let kind = fields.byte()?;
    // Version 1 had no checksum.
    if kind > 2 {
        (row.len() >= HEAD).then_some(())?;
        check(&mut fields, message_sum(channel, seq, row))?;
    }
    Some((kind, fields.number()?, Uuid::from_bytes(fields.array()?), fields.0))
}

pub(super) fn decode_message(channel: u64, seq: u64, row: &[u8]) -> Result<Arc<Message>> {
    let (kind, at, id, payload) = open_message(channel, seq, row)?;
    let payload = Payload::kept(kind, Bytes::copy_from_slice(payload));
    let payload = payload.ok_or(RowError::Damaged("a message's text"))?;
    Ok(Arc::new(Message { seq: Seq::new(seq), id, at: Timestamp::from_micros(at), payload }))
}

/// When a message was taken, and its id. The whole row is verified all the same.
pub(super) fn decode_head(channel: u64, seq: u64, row: &[u8]) -> Result<(Timestamp, Uuid)> {
    open_message(channel, seq, row).map(|(_, at, id, _)| (Timestamp::from_micros(at), id))
}

/// Writes the row of a publish's idempotency key: fingerprint, key, number of messages, checksum.
pub(super) fn encode_key(channel: u64, kept: &KeptKey) -> Vec<u8> {
    let name = kept.key.as_str();
    let mut row = Vec::with_capacity(KEY_BYTES + name.len());
    row.extend(kept.fingerprint);
    row.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
    row.extend(name.as_bytes());
    row.extend(kept.numbers.count.to_le_bytes());
    seal_key((channel, kept.taken.as_micros(), kept.numbers.after.get()), &mut row);
    row
}

fn seal_key((channel, taken, after): (u64, u64, u64), row: &mut Vec<u8>) {
    row.extend(sum(seed(KEY, &[channel, taken, after]), &[row]));
}

/// The size of one message in a key's row of version 1: time and id. Their number was not written.
const KEYED_MESSAGE: usize = 8 + 16;

/// Decodes the row at `(channel, taken, after)`: the key of a publish that was taken then, after message `after`.
pub(super) fn decode_key(position: (u64, u64, u64), row: &[u8]) -> Result<KeptKey> {
    parse_key(position, row).ok_or(RowError::Damaged("an idempotency key"))
}

fn parse_key((channel, taken, after): (u64, u64, u64), row: &[u8]) -> Option<KeptKey> {
    let mut fields = Fields(row);
    let fingerprint = fields.array()?;
    let length = fields.byte()?.into();
    let key = IdempotencyKey::parse(std::str::from_utf8(fields.bytes(length)?).ok()?).ok()?;
    let count = match fields.0.len() {
        // Version 1; the next arm is the form that its last releases wrote.
        bytes if bytes % KEYED_MESSAGE == 0 => u32::try_from(bytes / KEYED_MESSAGE).unwrap_or(u32::MAX),
        4 => u32::from_le_bytes(fields.array()?),
        bytes if bytes == 4 + SUM => {
            let count = u32::from_le_bytes(fields.array()?);
            check(&mut fields, sum(seed(KEY, &[channel, taken, after]), &[&row[..row.len() - SUM]]))?;
            count
        }
        _ => return None,
    };
    let numbers = SeqRange { after: Seq::new(after), count };
    Some(KeptKey { key, fingerprint, taken: Timestamp::from_micros(taken), numbers })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::weight::weight;
    use super::*;

    fn message(seq: u64, at: u64, payload: Payload) -> Message {
        let at = Timestamp::from_micros(at);
        Message { seq: Seq::new(seq), id: crate::types::mint_id(at, seq), at, payload }
    }

    proptest! {
        #[test]
        fn rows_go_round(id: u64, epoch: u64, newest: u64, at in 0u64..1 << 57, ended: bool, name in "[^\\pC]{1,40}") {
            let (newest_at, losses) = (Timestamp::from_micros(at), epoch ^ id);
            let oldest = newest / 2;
            let row = Row { name: ChannelName::parse(&name).unwrap(), epoch, losses, newest, newest_at, ended, oldest };
            prop_assert_eq!(Row::decode(id, &row.encode(id)).unwrap(), row.clone());
            prop_assert!(Row::decode(id ^ 1, &row.encode(id)).is_err(), "under another number");
            let overhead = ended.then_some(Overhead { keys: id, channels: epoch, pages: Some(id >> 1) });
            let totals = Totals { commit: epoch, next: newest, channels: losses, bytes: at, overhead, losses, relaxed: ended, indexed: if overhead.is_some() { at } else { 0 }, unevictable: if overhead.is_some() { id } else { 0 } };
            prop_assert_eq!(Totals::decode(&totals.encode()).unwrap(), totals);
        }

        #[test]
        fn messages_go_round(channel: u64, seq: u64, at in 0u64..1 << 57, bytes: Vec<u8>) {
            let message = message(seq, at, Payload::bytes(bytes));
            let mut row = Vec::new();
            encode_message(channel, &message, &mut row);
            prop_assert_eq!(weight(&row), message.weight());
            prop_assert_eq!(decode_head(channel, seq, &row).unwrap(), (message.at, message.id));
            prop_assert_eq!(&*decode_message(channel, seq, &row).unwrap(), &message);
            prop_assert!(decode_message(channel, seq ^ 1, &row).is_err(), "under another number");
            prop_assert!(decode_message(channel ^ 1, seq, &row).is_err(), "in another channel");
        }

        #[test]
        fn one_changed_byte_is_noticed(
            numbers: [u64; 4],
            ended: bool,
            bytes: Vec<u8>,
            index: prop::sample::Index,
            change in 1u8..,
        ) {
            let [id, seq, epoch, losses] = numbers;
            let changed = |mut row: Vec<u8>| {
                let index = index.index(row.len());
                row[index] ^= change;
                row
            };
            let mut row = Vec::new();
            encode_message(id, &message(seq, losses >> 14, Payload::bytes(bytes)), &mut row);
            prop_assert!(decode_message(id, seq, &changed(row.clone())).is_err());
            encode_lost(id, seq, &mut row);
            prop_assert_eq!(decode_message(id, seq, &row), Err(RowError::Lost));
            prop_assert!(matches!(decode_message(id, seq, &changed(row)), Err(RowError::Damaged(_))));
            let name = ChannelName::parse("a channel").unwrap();
            let row = Row { name, epoch, losses, newest: seq, newest_at: Timestamp::ZERO, ended, oldest: id };
            prop_assert!(Row::decode(id, &changed(row.encode(id))).is_err());
            let overhead = Some(Overhead { keys: id, channels: epoch, pages: None });
            let totals = Totals { commit: epoch, next: id, channels: 1, bytes: seq, overhead, losses, relaxed: ended, indexed: epoch, unevictable: id };
            prop_assert!(Totals::decode(&changed(totals.encode().to_vec())).is_err());
        }

        #[test]
        fn garbage_is_refused_and_never_a_panic(row: Vec<u8>) {
            let _ = (Row::decode(1, &row), Totals::decode(&row), decode_message(1, 1, &row), weight(&row));
            let _ = decode_key((0, 0, u64::MAX), &row);
        }
    }

    #[test]
    fn rows_of_version_1_are_read_as_they_are() {
        let message = message(7, 1_800_000_000_000_000, Payload::text("old"));
        let mut row = vec![1];
        row.extend(message.at.as_micros().to_le_bytes());
        row.extend(message.id.as_bytes());
        row.extend(b"old");
        assert_eq!(*decode_message(1, 7, &row).unwrap(), message);
        assert_eq!(weight(&row), message.weight());

        let name = ChannelName::parse("a").unwrap();
        let channel =
            Row { name, epoch: 3, losses: 1, newest: 7, newest_at: message.at, ended: true, oldest: 0 };
        let mut row: Vec<u8> =
            [3, 1, 7, message.at.as_micros()].iter().flat_map(|n| n.to_le_bytes()).collect();
        row.extend(b"\x01a");
        assert_eq!(Row::decode(1, &row).unwrap(), channel);

        let totals = Totals {
            commit: 1,
            next: 2,
            channels: 3,
            bytes: 4,
            losses: 5,
            relaxed: true,
            ..Totals::default()
        };
        assert_eq!(Totals::decode(&totals.encode()[..Totals::BYTES]).unwrap(), totals);
        assert_eq!(Totals::decode(&totals.encode()[..Totals::SUMMED]).unwrap(), totals);

        let key = |row: &[u8]| decode_key((1, 5, 9), row).map(|kept| (kept.key, kept.numbers));
        let row = |rest: &[u8]| [&[7; 32][..], &[1, b'k'], rest].concat();
        let expected = (IdempotencyKey::parse("k").unwrap(), SeqRange { after: Seq::new(9), count: 2 });
        assert_eq!(key(&row(&[0; 2 * KEYED_MESSAGE])).unwrap(), expected);
        let mut count = row(&2u32.to_le_bytes());
        assert_eq!(key(&count).unwrap(), expected);
        seal_key((1, 5, 9), &mut count);
        assert_eq!(key(&count).unwrap(), expected);
        assert!(decode_key((1, 5, 8), &count).is_err(), "under another number");
        count[33] ^= 1;
        assert!(key(&count).is_err());
    }

    #[test]
    fn a_loss_gives_every_channel_a_new_epoch() {
        let row = Row {
            name: ChannelName::parse("a").unwrap(),
            epoch: 7,
            losses: 1,
            newest: 0,
            newest_at: Timestamp::ZERO,
            ended: false,
            oldest: 1,
        };
        assert_eq!(row.visible_epoch(1), Epoch::new(7));
        assert_ne!(row.visible_epoch(2), row.visible_epoch(1));
        assert_ne!(row.visible_epoch(3), row.visible_epoch(2));
    }
}
