//! What is in the file: tables, rows, and the version that says so.
//!
//! A batch of publishes touches as few rows as it can: its messages, and one row of totals. A channel's own row
//! is written when the channel is born, when it ends and when messages are deleted; where it says less than the
//! messages do, the messages are right.
//!
//! | table | key | row |
//! | --- | --- | --- |
//! | `format` | `"poll"` | [`VERSION`] |
//! | `totals` | nothing | [`Totals`] |
//! | `names` | channel name | channel number |
//! | `channels` | channel number | [`Row`] |
//! | `messages` | channel number, seq | kind, time, id, payload |
//! | `keys` | channel number, time taken, seq before the publish | fingerprint, key, number of messages |
//!
//! Numbers in rows are little-endian. Nothing here decides what is kept.

use std::sync::Arc;

use bytes::Bytes;
use redb::{Error, TableDefinition};
use uuid::Uuid;

use crate::channel::ChannelName;
use crate::cursor::{Epoch, Seq};
use crate::idempotency::{IdempotencyKey, Numbers};
use crate::journal::KeptKey;
use crate::message::{Message, Payload};
use crate::store::Append;
use crate::time::Timestamp;

/// The version that this code reads and writes.
pub(super) const VERSION: u64 = 1;
/// The name under which the version stands.
pub(super) const POLL: &str = "poll";

pub(super) const FORMAT: TableDefinition<'_, &str, u64> = TableDefinition::new("format");
pub(super) const TOTALS: TableDefinition<'_, (), &[u8]> = TableDefinition::new("totals");
pub(super) const NAMES: TableDefinition<'_, &str, u64> = TableDefinition::new("names");
pub(super) const CHANNELS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("channels");
pub(super) const MESSAGES: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("messages");
pub(super) const KEYS: TableDefinition<'_, (u64, u64, u64), &[u8]> = TableDefinition::new("keys");

pub(super) type Result<T> = std::result::Result<T, Error>;

/// One row for all that is counted, so that opening counts nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Totals {
    /// Which commit this is; tells whether one that failed happened all the same.
    pub(super) batch: u64,
    /// The number that the next channel gets.
    pub(super) next: u64,
    pub(super) channels: u64,
    /// What all messages weigh.
    pub(super) bytes: u64,
    /// How often messages may have been lost that readers had seen; each time, all epochs change.
    pub(super) losses: u64,
    /// Whether messages may be shown before they are kept, since the file was opened.
    pub(super) loose: bool,
}

/// A channel. A row may lag behind its messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) name: ChannelName,
    pub(super) epoch: u64,
    /// [`Totals::losses`] when the epoch was minted.
    pub(super) losses: u64,
    pub(super) newest: u64,
    pub(super) newest_at: Timestamp,
    pub(super) ended: bool,
}

impl Totals {
    pub(super) fn encode(&self) -> [u8; 41] {
        let mut row = [0; 41];
        let numbers = [self.batch, self.next, self.channels, self.bytes, self.losses];
        for (place, number) in row.chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        row[40] = self.loose.into();
        row
    }

    pub(super) fn decode(row: &[u8]) -> Result<Self> {
        let mut row = Fields(row);
        Ok(Self {
            batch: row.number()?,
            next: row.number()?,
            channels: row.number()?,
            bytes: row.number()?,
            losses: row.number()?,
            loose: row.byte()? != 0,
        })
    }
}

impl Row {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut row = Vec::with_capacity(33 + self.name.as_str().len());
        for number in [self.epoch, self.losses, self.newest, self.newest_at.as_micros()] {
            row.extend(number.to_le_bytes());
        }
        row.push(self.ended.into());
        row.extend(self.name.as_str().as_bytes());
        row
    }

    pub(super) fn decode(row: &[u8]) -> Result<Self> {
        let mut row = Fields(row);
        Ok(Self {
            epoch: row.number()?,
            losses: row.number()?,
            newest: row.number()?,
            newest_at: Timestamp::from_micros(row.number()?),
            ended: row.byte()? != 0,
            name: ChannelName::parse(row.text()?).map_err(|_| damaged("a channel's name"))?,
        })
    }

    /// The life that readers know. It is another one than was minted, once messages may have been lost that
    /// they had seen: a cursor beyond what is left must not pass for one of what comes.
    pub(super) fn life(&self, losses: u64) -> Epoch {
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

/// What stands before the payload in a message's row.
const HEAD: usize = 1 + 8 + 16;

pub(super) fn encode_message(message: &Message, row: &mut Vec<u8>) {
    row.clear();
    row.push(match message.payload {
        Payload::Json(_) => 0,
        Payload::Text(_) => 1,
        Payload::Binary(_) => 2,
    });
    row.extend(message.at.as_micros().to_le_bytes());
    row.extend(message.id.as_bytes());
    row.extend(message.payload.as_bytes());
}

pub(super) fn decode_message(seq: u64, row: &[u8]) -> Result<Arc<Message>> {
    let mut fields = Fields(row);
    let (kind, at, id) = (fields.byte()?, fields.number()?, fields.id()?);
    let bytes = Bytes::copy_from_slice(fields.0);
    let payload = match kind {
        0 => Payload::Json(bytes),
        1 => Payload::Text(bytes),
        2 => Payload::Binary(bytes),
        _ => return Err(damaged("a message's kind")),
    };
    if kind < 2 && std::str::from_utf8(payload.as_bytes()).is_err() {
        return Err(damaged("a message's text"));
    }
    Ok(Arc::new(Message { seq: Seq::new(seq), id, at: Timestamp::from_micros(at), payload }))
}

/// When a message was taken, and its id.
pub(super) fn decode_head(row: &[u8]) -> Result<(Timestamp, Uuid)> {
    let mut fields = Fields(row);
    fields.byte()?;
    Ok((Timestamp::from_micros(fields.number()?), fields.id()?))
}

/// What retention counts for a message with this row.
pub(super) fn weight(row: &[u8]) -> u64 {
    row.len().saturating_sub(HEAD) as u64 + Message::OVERHEAD_BYTES
}

pub(super) fn encode_key(append: &Append) -> Option<Vec<u8>> {
    let (key, fingerprint) = append.key()?;
    let mut row = Vec::with_capacity(37 + key.as_str().len());
    row.extend(fingerprint);
    row.push(u8::try_from(key.as_str().len()).unwrap_or(u8::MAX));
    row.extend(key.as_str().as_bytes());
    row.extend(u32::try_from(append.messages().len()).unwrap_or(u32::MAX).to_le_bytes());
    Some(row)
}

/// What earlier versions kept of each message in a key's row: time and id. How many there are was not written.
const KEYED_MESSAGE: usize = 8 + 16;

/// The key under which a publish was taken after message `after`.
pub(super) fn decode_key(taken: u64, after: u64, row: &[u8]) -> Result<KeptKey> {
    let mut row = Fields(row);
    let fingerprint = row.array()?;
    let length = row.byte()?.into();
    let key = std::str::from_utf8(row.bytes(length)?).ok().and_then(|text| IdempotencyKey::parse(text).ok());
    let key = key.ok_or_else(|| damaged("an idempotency key"))?;
    let count = match row.0.len() {
        4 => u32::from_le_bytes(row.array()?),
        bytes if bytes % KEYED_MESSAGE == 0 => u32::try_from(bytes / KEYED_MESSAGE).unwrap_or(u32::MAX),
        _ => return Err(damaged("an idempotency key")),
    };
    let numbers = Numbers { after: Seq::new(after), count };
    Ok(KeptKey { key, fingerprint, taken: Timestamp::from_micros(taken), numbers })
}

pub(super) fn damaged(what: &str) -> Error {
    Error::Corrupted(format!("{what} cannot be read"))
}

/// A row that is read from its front.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn bytes(&mut self, count: usize) -> Result<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(count).ok_or_else(|| damaged("a short row"))?;
        self.0 = rest;
        Ok(front)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.bytes(N)?.try_into().map_err(|_| damaged("a row"))
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    fn number(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn id(&mut self) -> Result<Uuid> {
        Ok(Uuid::from_bytes(self.array()?))
    }

    fn text(&mut self) -> Result<&'a str> {
        std::str::from_utf8(std::mem::take(&mut self.0)).map_err(|_| damaged("a text"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn rows_go_round(epoch: u64, losses: u64, newest: u64, at in 0u64..1 << 57, ended: bool, name in "[^\\pC]{1,40}") {
            let newest_at = Timestamp::from_micros(at);
            let row = Row { name: ChannelName::parse(&name).unwrap(), epoch, losses, newest, newest_at, ended };
            prop_assert_eq!(Row::decode(&row.encode()).unwrap(), row);
            let totals = Totals { batch: epoch, next: newest, channels: losses, bytes: at, losses, loose: ended };
            prop_assert_eq!(Totals::decode(&totals.encode()).unwrap(), totals);
        }

        #[test]
        fn messages_go_round(seq: u64, at in 0u64..1 << 57, bytes: Vec<u8>) {
            let at = Timestamp::from_micros(at);
            let payload = Payload::bytes(bytes);
            let message = Message { seq: Seq::new(seq), id: crate::message::mint_id(at, seq), at, payload };
            let mut row = Vec::new();
            encode_message(&message, &mut row);
            prop_assert_eq!(weight(&row), message.weight());
            prop_assert_eq!(decode_head(&row).unwrap(), (message.at, message.id));
            prop_assert_eq!(&*decode_message(seq, &row).unwrap(), &message);
        }

        #[test]
        fn garbage_is_refused_and_never_a_panic(row: Vec<u8>) {
            let _ = (Row::decode(&row), Totals::decode(&row), decode_message(1, &row));
            let _ = decode_key(0, 0, &row);
        }
    }

    #[test]
    fn a_key_of_an_earlier_version_is_read() {
        let stamps = [0; 2 * KEYED_MESSAGE];
        let row = |rest: &[u8]| [&[7; 32][..], &[1, b'k'], rest].concat();
        let key = |rest: &[u8]| decode_key(5, 9, &row(rest)).map(|kept| (kept.key, kept.numbers));
        let expected = (IdempotencyKey::parse("k").unwrap(), Numbers { after: Seq::new(9), count: 2 });
        assert_eq!(key(&stamps).unwrap(), expected);
        assert_eq!(key(&2u32.to_le_bytes()).unwrap(), expected);
        assert!(key(&[0; 5]).is_err());
    }

    #[test]
    fn a_loss_gives_every_channel_another_life() {
        let row = Row {
            name: ChannelName::parse("a").unwrap(),
            epoch: 7,
            losses: 1,
            newest: 0,
            newest_at: Timestamp::ZERO,
            ended: false,
        };
        assert_eq!(row.life(1), Epoch::new(7));
        assert_ne!(row.life(2), row.life(1));
        assert_ne!(row.life(3), row.life(2));
    }
}
