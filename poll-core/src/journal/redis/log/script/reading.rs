//! Reading a channel: its tail, a stretch of it, a landmark in it.

use std::sync::Arc;

use bytes::Bytes;
use redis::Cmd;

use super::call::{Call, Known, Script};
use super::life::life_of;
use crate::journal::redis::log::entry;
use crate::journal::redis::log::fields::{Fields, Garbled, Result};
use crate::journal::redis::log::generation::{Birth, Generation, Mark};
use crate::journal::redis::log::partition::Partition;
use crate::journal::{Landmark, Loaded, Located, Piece, Stretch};
use crate::types::{ChannelName, Ending, Epoch, Limit, Message, Seq, Timestamp, mint_id};

/// Reads a channel and its tail. Age is applied as of Redis' time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) channel: ChannelName,
    /// How much of the tail.
    pub(crate) limit: Limit,
}

/// Reads a stretch of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Read(pub(crate) Stretch);

/// What a [`Read`] brings.
#[derive(Debug)]
pub(crate) struct Range {
    pub(crate) piece: Piece,
    /// The channel's newest message.
    pub(crate) newest: Seq,
    pub(crate) ending: Ending,
}

/// Finds a landmark in a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Locate {
    pub(crate) channel: ChannelName,
    pub(crate) epoch: Epoch,
    pub(crate) landmark: Landmark,
}

fn keys(script: &Script, channel: &ChannelName) -> [String; 3] {
    let (partition, prefix) = (Partition::of(channel), &script.prefix);
    [partition.record(prefix), partition.channel(prefix, channel), partition.stream(prefix, channel)]
}

fn settings(script: &Script, numbers: &[u64]) -> Vec<u8> {
    script.bounds().iter().chain(numbers).flat_map(|number| number.to_be_bytes()).collect()
}

/// A count, as the script takes it.
fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX).min(1 << 52)
}

/// The messages of entries that follow each other from `first`, and the last of those that cannot be read, if some
/// cannot.
struct Decoded {
    readable: Vec<(Seq, Option<Arc<Message>>)>,
}

impl Decoded {
    fn new(first: Seq, entries: Vec<Vec<u8>>) -> Self {
        let numbers = (first.get()..).map(Seq::new);
        let decode = |(seq, bytes)| (seq, entry::decode(seq, &Bytes::from(bytes)).ok());
        Self { readable: numbers.zip(entries).map(decode).collect() }
    }
}

impl Call for Load {
    type Reply = Option<Loaded>;

    fn command(&self, script: &Script, known: Known) -> Cmd {
        let limit = [number(self.limit.messages), number(self.limit.bytes)];
        script.call("load", &keys(script, &self.channel), known, &settings(script, &limit))
    }

    fn read(&self, mark: Mark, mut fields: Fields<'_>, entries: Vec<Vec<u8>>) -> Result<Option<Loaded>> {
        let Some(birth) = Birth::new(fields.u32()?) else { return fields.end().map(|()| None) };
        let (newest, newest_at, ending) = (fields.seq()?, fields.time()?, fields.ending()?);
        let oldest = (fields.seq()?, fields.time()?);
        let life = life_of(fields.0)?;
        let first = Seq::new(newest.get().checked_sub(entries.len() as u64).ok_or(Garbled)?).next();
        let mut tail = Decoded::new(first, entries).readable;
        let unreadable = tail.iter().rposition(|(_, message)| message.is_none());
        // The tail has no holes: it begins after the last entry that cannot be read.
        let readable = tail.split_off(unreadable.map_or(0, |last| last + 1));
        let damaged = match tail.last() {
            Some((last, None)) if readable.is_empty() => {
                let run = tail.iter().rev().take_while(|(_, message)| message.is_none());
                run.last().map(|(first, _)| (*first, *last))
            }
            // Something else has removed the newest entry; a read finds what else is gone.
            None if readable.is_empty() && oldest.0 <= newest => Some((newest, newest)),
            _ => None,
        };
        Ok(Some(Loaded {
            life,
            epoch: mark.generation.epoch(birth),
            oldest,
            newest: (newest, newest_at),
            ended: ending == Ending::Close,
            tail: readable.into_iter().filter_map(|(_, message)| message).collect(),
            damaged,
        }))
    }
}

impl Call for Read {
    /// `None` if there is no such channel in that incarnation.
    type Reply = Option<Range>;

    fn command(&self, script: &Script, known: Known) -> Cmd {
        let Stretch { channel, after, limit, .. } = &self.0;
        let numbers = [after.get().min(1 << 52), number(limit.messages), number(limit.bytes)];
        script.call("read", &keys(script, channel), known, &settings(script, &numbers))
    }

    fn read(&self, mark: Mark, mut fields: Fields<'_>, entries: Vec<Vec<u8>>) -> Result<Option<Range>> {
        let Some(birth) = Birth::new(fields.u32()?) else { return fields.end().map(|()| None) };
        let (newest, ending) = (fields.seq()?, fields.ending()?);
        let (oldest, first) = ((fields.seq()?, fields.time()?), fields.seq()?);
        fields.end()?;
        if mark.generation.epoch(birth) != self.0.epoch {
            return Ok(None);
        }
        // Entries that are gone although they are retained (removed by something else) cannot be read either.
        let there = if entries.is_empty() { newest.next() } else { first };
        if there > self.0.after.next().max(oldest.0) {
            let piece = Piece { oldest, messages: Vec::new(), damaged: Some(there.previous()) };
            return Ok(Some(Range { piece, newest, ending }));
        }
        let decoded = Decoded::new(first, entries).readable;
        let broken = decoded.iter().take_while(|(_, message)| message.is_none()).last();
        let damaged = broken.map(|(last, _)| *last);
        let messages = decoded.into_iter().map_while(|(_, message)| message).collect();
        Ok(Some(Range { piece: Piece { oldest, messages, damaged }, newest, ending }))
    }
}

impl Locate {
    /// No message after this time is at or before the landmark, and of those up to it, only one at exactly this time may
    /// not be.
    fn bound(&self) -> Timestamp {
        let id = match self.landmark {
            Landmark::Time(at) => return at,
            Landmark::Id(id) => id,
        };
        let (high, _) = id.as_u64_pair();
        let (millis, version) = (high >> 16, high >> 12 & 0xf);
        let micros = match version {
            ..7 => 0,
            // The last microsecond whose twelve bits are not above these.
            7 => ((high & 0xfff) + 1).saturating_mul(1_000).div_ceil(4_096),
            _ => 1_000,
        };
        Timestamp::from_micros((millis * 1_000 + micros).saturating_sub(1))
    }
}

impl Call for Locate {
    /// `None` if there is no such channel in that incarnation.
    type Reply = Option<Located>;

    fn command(&self, script: &Script, known: Known) -> Cmd {
        let numbers = [self.bound().as_micros()];
        script.call("locate", &keys(script, &self.channel), known, &settings(script, &numbers))
    }

    /// The script brings the two messages up to the time and the one after it, of each the number, time and random bits;
    /// zeros where there is none.
    fn read(&self, mark: Mark, mut fields: Fields<'_>, _: Vec<Vec<u8>>) -> Result<Option<Located>> {
        let Some(birth) = Birth::new(fields.u32()?) else { return fields.end().map(|()| None) };
        let newest = fields.seq()?;
        let mut around = [None; 3];
        for place in &mut around {
            let (seq, at, random) = (fields.seq()?, fields.time()?, fields.u64()?);
            *place = (seq > Seq::ZERO).then_some((seq, at, random));
        }
        fields.end()?;
        if mark.generation.epoch(birth) != self.epoch || Generation::of(self.epoch) != mark.generation {
            return Ok(None);
        }
        let [earlier, before, after] = around;
        let above = match (self.landmark, before) {
            (Landmark::Id(id), Some((_, at, random))) => mint_id(at, random) > id,
            _ => false,
        };
        let (before, after) = if above { (earlier, before) } else { (before, after) };
        Ok(Some(Located {
            before: before.map(|(seq, ..)| seq),
            after: after.map(|(seq, at, _)| (seq, at)),
            end: newest.next(),
        }))
    }
}
