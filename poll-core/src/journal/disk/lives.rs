//! Lives, producers and forks in the database: their rows, and what a commit does to them.
//!
//! A life's row is a checksum and the life as it is encoded; a producer's is its epoch, last number and time (8 bytes
//! each), then a checksum. What cannot be read counts as damage of its channel.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use redb::{ReadTransaction, ReadableTable};

use super::cached_channel::{CachedChannel, delete_keys};
use super::codec::{self, Row, RowError, Totals};
use super::commit_state::{CommitState, CommitSummary};
use super::format::{CHANNELS, LIVES, PRODUCERS, Result};
use super::log::forks::Forking;
use super::log::life::PartLife;
use super::log::recent::Memtable;
use super::sweeper::Sweeper;
use super::tables::Tables;
use super::weight::{self, SUM, Weight};
use crate::life::{Bounds, Life, Phase, Producer, ProducerId};
use crate::sync::Mutex;
use crate::types::{ChannelName, Timestamp, put_numbers};

/// The tables' parts in checksums, beside those of `codec`.
const LIFE: u64 = 5;
const PRODUCER: u64 = 6;

/// What a producer costs beside its name, in bytes: its row, and its entry in the table.
const PRODUCER_BYTES: u64 = 128;

fn life_row(id: u64, life: &Life) -> Vec<u8> {
    let life = life.to_bytes();
    let mut row = codec::sum(codec::seed(LIFE, &[id]), &[&life]).to_vec();
    row.extend(life);
    row
}

/// The life in a row, as it is encoded.
pub(super) fn decode_life(id: u64, row: &[u8]) -> std::result::Result<&[u8], RowError> {
    let (sum, life) = row.split_at_checked(SUM).ok_or(RowError::Damaged("a channel's life"))?;
    if codec::sum(codec::seed(LIFE, &[id]), &[life]) != *sum {
        return Err(RowError::Damaged("a channel's life"));
    }
    Ok(life)
}

/// The life in a row.
pub(super) fn life(id: u64, row: &[u8]) -> Result<Life> {
    let life = Life::from_bytes(decode_life(id, row)?);
    Ok(life.map_err(|_| RowError::Damaged("a channel's life"))?)
}

fn producer_row(id: u64, name: &str, producer: Producer) -> Vec<u8> {
    let mut row = Vec::with_capacity(3 * 8 + SUM);
    put_numbers(&mut row, [producer.epoch, producer.last, producer.used.as_micros()]);
    row.extend(codec::sum(codec::seed(PRODUCER, &[id]), &[name.as_bytes(), &row]));
    row
}

/// A producer of a channel.
pub(super) fn decode_producer(
    id: u64,
    name: &str,
    row: &[u8],
) -> std::result::Result<(ProducerId, Producer), RowError> {
    let fault = RowError::Damaged("a producer");
    let (numbers, sum) = row.split_at_checked(3 * 8).ok_or(fault)?;
    if codec::sum(codec::seed(PRODUCER, &[id]), &[name.as_bytes(), numbers]) != *sum {
        return Err(fault);
    }
    let (numbers, _) = numbers.as_chunks::<8>();
    let [epoch, last, used] = [0, 1, 2].map(|at: usize| u64::from_le_bytes(numbers[at]));
    let used = Timestamp::from_micros(used);
    Ok((ProducerId::parse(name).map_err(|_| fault)?, Producer { epoch, last, used }))
}

/// All producers of one channel.
pub(super) fn producers_of(id: u64) -> std::ops::Range<(u64, &'static str)> {
    (id, "")..(id + 1, "")
}

impl Tables<'_> {
    /// A channel's life; `None` if it has none.
    pub(super) fn life(&self, id: u64) -> Result<Option<Life>> {
        self.lives.get(id)?.map(|row| life(id, row.value())).transpose()
    }
}

/// The first of a channel's forks that counts, in the order of names.
pub(super) fn first_fork(
    forks: &impl ReadableTable<(&'static str, &'static str), ()>,
    source: &str,
    from: &str,
    counts: impl Fn(&ChannelName) -> bool,
) -> Result<Option<ChannelName>> {
    for fork in forks.range((source, from)..)? {
        let (key, _) = fork?;
        let (of, fork) = key.value();
        if of != source {
            break;
        }
        let fork = ChannelName::parse(fork).ok().filter(&counts);
        if fork.is_some() {
            return Ok(fork);
        }
    }
    Ok(None)
}

/// A channel's life as it is encoded; `None` if it has none.
pub(super) fn read(txn: &ReadTransaction, id: u64) -> Result<Option<Bytes>> {
    let row = txn.open_table(LIVES)?.get(id)?;
    Ok(row.map(|row| decode_life(id, row.value()).map(Bytes::copy_from_slice)).transpose()?)
}

/// A channel's producers.
pub(super) fn producers(txn: &ReadTransaction, id: u64) -> Result<BTreeMap<ProducerId, Producer>> {
    let mut producers = BTreeMap::new();
    for producer in txn.open_table(PRODUCERS)?.range(producers_of(id))? {
        let (key, row) = producer?;
        let (id, producer) = decode_producer(id, key.value().1, row.value())?;
        producers.insert(id, producer);
    }
    Ok(producers)
}

/// Some of the channels whose time may be over, or that are hidden: those that have not been used since their lives were
/// written. Repeated calls visit all of them, then pause.
pub(super) fn lapsed(
    txn: &ReadTransaction,
    sweeper: &Mutex<Sweeper>,
    now: Timestamp,
) -> Result<Vec<ChannelName>> {
    /// Lives that one call looks at.
    const VISITS: usize = 1_024;
    /// The pause after the last of them.
    const PAUSE: Duration = Duration::from_secs(1);
    let mut sweeper = sweeper.lock();
    if sweeper.pauses(now, PAUSE) {
        return Ok(Vec::new());
    }
    let (lives, channels) = (txn.open_table(LIVES)?, txn.open_table(CHANNELS)?);
    let (mut visited, mut names) = (0, Vec::new());
    for entry in lives.range(sweeper.next..)?.take(VISITS) {
        let (id, row) = entry?;
        let id = id.value();
        (visited, sweeper.next) = (visited + 1, id + 1);
        let Ok(life) = life(id, row.value()) else { continue };
        let is_over = life.ends_at(life.touched).is_some_and(|end| end <= now);
        if !is_over && life.phase == Phase::Live {
            continue;
        }
        if let Some(row) = channels.get(id)? {
            names.extend(Row::decode(id, row.value()).map(|row| row.name));
        }
    }
    if visited < VISITS {
        sweeper.finish(now);
    }
    Ok(names)
}

/// Writes a life, and that its channel is a fork if it is one.
pub(super) fn put(
    tables: &mut Tables<'_>,
    totals: &mut Totals,
    id: u64,
    name: &ChannelName,
    life: &Life,
) -> Result<()> {
    if let Some(origin) = &life.origin {
        tables.forks.insert((origin.source.as_str(), name.as_str()), ())?;
    }
    put_life(tables, totals, id, life)
}

pub(super) fn put_life(tables: &mut Tables<'_>, totals: &mut Totals, id: u64, life: &Life) -> Result<()> {
    let row = life_row(id, life);
    let before = tables.lives.insert(id, row.as_slice())?.map_or(0, |before| before.value().len());
    let channels = &mut totals.overhead_mut().channels;
    *channels = (*channels + row.len() as u64).saturating_sub(before as u64);
    Ok(())
}

/// Writes a producer.
pub(super) fn put_producer(
    tables: &mut Tables<'_>,
    totals: &mut Totals,
    id: u64,
    producer: &ProducerId,
    state: Producer,
) -> Result<()> {
    let row = producer_row(id, producer.as_str(), state);
    if tables.producers.insert((id, producer.as_str()), row.as_slice())?.is_none() {
        totals.overhead_mut().keys += PRODUCER_BYTES + producer.as_str().len() as u64;
    }
    Ok(())
}

impl CommitState {
    /// Writes what a memtable has of a channel's life.
    pub(super) fn write_life(
        &mut self,
        tables: &mut Tables<'_>,
        name: &ChannelName,
        part: &PartLife,
    ) -> Result<()> {
        let Some(channel) = self.cache.get_mut(name) else { return Ok(()) };
        let id = channel.id;
        if let Some(life) = &part.life {
            put_life(tables, &mut self.totals, id, life)?;
            let was = channel.bounds.as_ref().is_some_and(Bounds::keep_everything);
            let is = life.bounds.keep_everything();
            channel.bounds = Some(life.bounds);
            if was != is {
                let bytes = weigh(tables, channel)?.bytes;
                let sum = &mut self.totals.unevictable;
                *sum = if is { *sum + bytes } else { sum.saturating_sub(bytes) };
            }
        }
        for (producer, state) in &part.producers {
            let Some(state) = state else {
                if tables.producers.remove((id, producer.as_str()))?.is_some() {
                    self.totals.freed_keys(PRODUCER_BYTES + producer.as_str().len() as u64);
                }
                continue;
            };
            put_producer(tables, &mut self.totals, id, producer, *state)?;
        }
        Ok(())
    }

    /// Writes which forks a memtable made and removed.
    pub(super) fn write_forks(&self, tables: &mut Tables<'_>, memtable: &Memtable) -> Result<()> {
        for (source, fork, forking) in memtable.forks() {
            let key = (source.as_str(), fork.as_str());
            match forking {
                Forking::Made => drop(tables.forks.insert(key, ())?),
                Forking::Removed => drop(tables.forks.remove(key)?),
            }
        }
        Ok(())
    }

    /// Deletes a channel with everything of it; returns whether there was one.
    pub(super) fn remove(
        &mut self,
        tables: &mut Tables<'_>,
        name: &ChannelName,
        summary: &mut CommitSummary,
    ) -> Result<bool> {
        let Some(channel) = self.touch(tables, name, summary)? else { return Ok(false) };
        let (id, end) = (channel.id, channel.row.newest + 1);
        let freed = channel.delete(tables, end)?;
        self.totals.freed(freed);
        self.totals.freed_keys(delete_keys(tables, (id, 0, 0)..=(id, u64::MAX, u64::MAX), usize::MAX)?);
        let mut weight = 0;
        for producer in tables.producers.extract_from_if(producers_of(id), |_, _| true)? {
            weight += PRODUCER_BYTES + producer?.0.value().1.len() as u64;
        }
        self.totals.freed_keys(weight);
        let life = tables.lives.remove(id)?.map_or(0, |row| row.value().len() as u64);
        let channels = &mut self.totals.overhead_mut().channels;
        *channels = channels.saturating_sub(life);
        tables.channels.remove(id)?;
        tables.names.remove(name.as_str())?;
        self.cache.remove(name);
        self.removed.insert(name.clone());
        self.totals.channels = self.totals.channels.saturating_sub(1);
        self.totals.freed_channel(name);
        Ok(true)
    }

    /// Deletes what exceeds a channel's own bound in bytes, oldest first.
    pub(super) fn enforce_bytes(
        &mut self,
        tables: &mut Tables<'_>,
        name: &ChannelName,
        summary: &mut CommitSummary,
    ) -> Result<()> {
        let losses = self.totals.losses;
        let stored = self.cache.get(name).and_then(|channel| channel.bounds);
        let bounds = self.bounds_of(name, stored);
        let Some(channel) = self.cache.get_mut(name) else { return Ok(()) };
        let Some(most) = bounds.map(|bounds| bounds.bytes()).filter(|most| *most < u64::MAX) else {
            return Ok(());
        };
        let mut bytes = match channel.bytes {
            Some(bytes) => bytes,
            None => weigh(tables, channel)?.bytes,
        };
        let first = channel.oldest;
        let mut upto = first;
        while bytes > most && upto <= channel.row.newest {
            let message = tables.messages.get((channel.id, upto))?;
            bytes = bytes.saturating_sub(message.map_or(0, |row| weight::weight(row.value())));
            upto += 1;
        }
        self.totals.freed(channel.delete(tables, upto)?);
        channel.bytes = Some(bytes);
        if channel.oldest > first {
            let oldest = crate::types::Seq::new(channel.oldest);
            summary.evicted.push((name.clone(), channel.row.visible_epoch(losses), oldest));
        }
        Ok(())
    }
}

/// What a channel's messages weigh.
fn weigh(tables: &Tables<'_>, channel: &CachedChannel) -> Result<Weight> {
    let mut weight = Weight::default();
    for message in tables.messages.range((channel.id, channel.oldest)..=(channel.id, u64::MAX))? {
        weight += Weight::of(message?.1.value());
    }
    Ok(weight)
}
