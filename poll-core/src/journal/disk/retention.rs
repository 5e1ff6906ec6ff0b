//! What is deleted: messages over their channel's number, over their age, or over the bytes of all channels; idempotency
//! keys past their window; channels that hold nothing, when another needs the room.
//!
//! Rows are deleted a few at a time along with other commits, so that no segment waits for a large deletion. The store enforces
//! number and age by itself, to the message: whatever is deleted here for those was evicted there before. Only the limit on
//! all bytes is applied here, and the store is notified.

use std::collections::{BTreeSet, BinaryHeap};
use std::time::Duration;

use redb::{Database, ReadableDatabase, ReadableTable};

use super::cached_channel::{CachedChannel, delete_keys};
use super::codec::{Row, Totals};
use super::commit_state::{CommitState, CommitSummary};
use super::fault::guarded;
use super::format::{CHANNELS, FORKS, KEYS, LIVES, MESSAGES, NAMES, Result};
use super::lives;
use super::log::recent::Recent;
use super::stored_channel::{StoredChannel, unless_damaged};
use super::tables::Tables;
use super::weight::Weight;
use crate::journal::Host;
use crate::life::Bounds;
use crate::types::{ChannelName, Seq, Timestamp};

/// Messages deleted with one commit, besides twice as many as it brings.
const SLICE: u64 = 4_096;
/// Messages deleted at once before checking whether that is enough.
const STEP: u64 = 32;
/// The allowed size of the file beyond twice the retained bytes. Half of it is for pages that the last commits freed.
const SPARE: u64 = 32 << 20;
/// Channels visited by one sweep.
const VISITS: usize = 512;
/// Channels sampled to find one that has long been unused, and how many of those one commit shrinks.
const SAMPLE: usize = 16;
const VICTIMS: usize = 8;

/// What to delete with the next commit, besides what its own publishes push out.
#[derive(Default)]
pub(super) struct Deletions {
    old: Vec<Expired>,
    forget: Vec<ChannelName>,
}

/// What is too old in a channel.
struct Expired {
    id: u64,
    name: ChannelName,
    /// Messages before this number.
    messages: u64,
    /// Keys taken before this time.
    keys: u64,
}

impl Deletions {
    pub(super) fn is_empty(&self) -> bool {
        self.old.is_empty() && self.forget.is_empty()
    }

    /// Plans to forget a channel if one of a sample can be forgotten and the store agrees; returns whether there was one.
    pub(super) fn forget_one(
        &mut self,
        database: &Database,
        commit_state: &mut CommitState,
        now: Timestamp,
        host: &Host,
        recent: &Recent,
    ) -> Result<bool> {
        let retention = commit_state.retention;
        let unused = now.before(retention.idempotency.max(retention.age));
        let txn = database.begin_read()?;
        let (channels, messages) = (txn.open_table(CHANNELS)?, txn.open_table(MESSAGES)?);
        let (keys, lives) = (txn.open_table(KEYS)?, txn.open_table(LIVES)?);
        let (forks, names) = (txn.open_table(FORKS)?, txn.open_table(NAMES)?);
        let window = now.before(retention.idempotency).as_micros();
        let sample = commit_state.sample(&names, &channels, &messages, |stored| {
            let (id, row) = (stored.id, &stored.row);
            let empty = stored.oldest.0 > row.newest
                || retention.age().is_some_and(|age| row.newest_at < now.before(age));
            if recent.has(&row.name) || !empty || row.newest_at >= unused {
                return Ok(false);
            }
            let key = keys.range((id, 0, 0)..=(id, u64::MAX, u64::MAX))?.next_back().transpose()?;
            let keyless = key.is_none_or(|(key, _)| key.value().1 < window);
            let has_forks = || lives::first_fork(&forks, row.name.as_str(), "", |_| true);
            Ok(keyless && lives.get(id)?.is_none() && has_forks()?.is_none())
        })?;
        let found = sample.into_iter().find(|row| host.agrees_to_forget(&row.name, now, unused));
        let found = found.map(|row| self.forget.push(row.name));
        Ok(found.is_some())
    }
}

impl CommitState {
    /// Visits the next channels and plans to delete what is too old. After a failure, the next sweep begins after it.
    pub(super) fn sweep(
        &mut self,
        database: &Database,
        now: Timestamp,
        deletions: &mut Deletions,
    ) -> Result<()> {
        let from = self.sweeper.next;
        let swept = guarded(|| self.sweep_some(database, now, deletions));
        if swept.is_err() {
            self.sweeper.next = self.sweeper.next.max(from.saturating_add(1));
        }
        swept
    }

    fn sweep_some(&mut self, database: &Database, now: Timestamp, deletions: &mut Deletions) -> Result<()> {
        let retention = self.retention;
        let round = (retention.age.min(retention.idempotency) / 32).max(Duration::from_secs(1));
        if self.sweeper.pauses(now, round) {
            return Ok(());
        }
        let window = now.before(retention.idempotency).as_micros();
        let txn = database.begin_read()?;
        let (channels, messages) = (txn.open_table(CHANNELS)?, txn.open_table(MESSAGES)?);
        let (keys, lives, names) = (txn.open_table(KEYS)?, txn.open_table(LIVES)?, txn.open_table(NAMES)?);
        let mut budget = SLICE;
        let mut visited = 0;
        let mut rows = channels.range(self.sweeper.next..)?.take(VISITS);
        loop {
            // What the next row needs is not the last one's.
            self.current = None;
            let Some(channel) = rows.next() else { break };
            let (id, row) = channel?;
            let id = id.value();
            visited += 1;
            self.sweeper.next = id + 1;
            // What is damaged stays, and does not keep the sweep from other channels.
            let decoded = Row::decode(id, row.value()).map_err(Into::into);
            let Some(row) = unless_damaged(decoded)?.filter(|row| !self.is_damaged(&row.name)) else {
                continue;
            };
            let is_left = guarded(|| is_current(&names, &row.name, id).map(|current| !current));
            if unless_damaged(is_left)?.unwrap_or(true) {
                continue;
            }
            self.current = Some(row.name.clone());
            let Some(stored) = unless_damaged(StoredChannel::of(&messages, id, row))? else {
                continue;
            };
            let life = lives.get(id)?.map(|row| lives::life(id, row.value())).transpose();
            let bounds = unless_damaged(life)?.flatten().map(|life| life.bounds);
            let bounds = self.bounds_of(&stored.row.name, bounds);
            let cutoff = bounds.unwrap_or_default().cutoff(now, &retention);
            let expired = match Some(cutoff).filter(|&cutoff| stored.oldest.1 < cutoff) {
                Some(cutoff) if stored.oldest.0 <= stored.row.newest => {
                    stored.first_unseen(&messages, |at, _| at < cutoff)?.0
                }
                _ => stored.oldest.0,
            };
            let upto = expired.min(stored.oldest.0 + budget);
            budget -= upto - stored.oldest.0;
            let key = keys.range((id, 0, 0)..(id, window, 0))?.next().transpose()?;
            if upto > stored.oldest.0 || key.is_some() {
                deletions.old.push(Expired { id, name: stored.row.name, messages: upto, keys: window });
            }
            if budget == 0 {
                self.sweeper.next = id;
                return Ok(());
            }
        }
        if visited < VISITS {
            self.sweeper.finish(now);
        }
        Ok(())
    }

    /// Deletes what exceeds the limits on number and bytes, up to the limit of one commit.
    pub(super) fn enforce_bounds(
        &mut self,
        tables: &mut Tables<'_>,
        (brought, weight): (u64, Weight),
        summary: &mut CommitSummary,
    ) -> Result<()> {
        let retention = self.retention;
        let own = summary.touched.clone();
        for name in &own {
            self.current = Some(name.clone());
            let Some(bounds) = self.cache.get(name).map(|channel| self.bounds_of(name, channel.bounds))
            else {
                continue;
            };
            let Some(channel) = self.cache.get_mut(name) else { continue };
            let most = bounds.unwrap_or_default().messages(&retention) as u64;
            // In slices, so that not every commit touches both ends of a channel.
            let slice = (most / 8).clamp(1, 64);
            let excess = channel.len().saturating_sub(most);
            if excess >= slice {
                let upto = channel.oldest + excess.min(SLICE);
                self.totals.freed(channel.delete(tables, upto)?);
            }
            if channel.keyed > self.retention.keys / 4 + 16 {
                self.totals.freed_keys(channel.delete_keys(tables, self.retention.keys)?);
            }
            self.enforce_bytes(tables, name, summary)?;
        }
        let mut bounds = self.byte_bounds();
        // The pages that this commit frees are of use to the next one only.
        bounds.pages = bounds.pages.saturating_sub(weight.pages);
        if bounds.hold(&self.totals) {
            return Ok(());
        }
        let mut budget = SLICE + 2 * brought;
        self.shrink(tables, &own, bounds, &mut budget, summary)?;
        for _ in 0..VICTIMS {
            if bounds.hold(&self.totals) || budget == 0 {
                break;
            }
            self.current = None;
            if let Some(victim) = self.long_unused(tables, &own)? {
                self.current = Some(victim.clone());
                self.touch(tables, &victim, summary)?;
                self.shrink(tables, &[victim], bounds, &mut budget, summary)?;
            }
        }
        Ok(())
    }

    pub(super) fn apply_deletions(
        &mut self,
        tables: &mut Tables<'_>,
        deletions: &Deletions,
        summary: &mut CommitSummary,
    ) -> Result<()> {
        for old in &deletions.old {
            if self.is_damaged(&old.name) {
                continue;
            }
            self.current = Some(old.name.clone());
            let id = old.id;
            let Some(channel) = self.touch(tables, &old.name, summary)?.filter(|channel| channel.id == id)
            else {
                continue;
            };
            let freed = channel.delete(tables, old.messages.min(channel.row.newest + 1))?;
            self.totals.freed(freed);
            self.totals.freed_keys(delete_keys(tables, (id, 0, 0)..(id, old.keys, 0), usize::MAX)?);
        }
        for name in &deletions.forget {
            if self.is_damaged(name) {
                continue;
            }
            self.current = Some(name.clone());
            if self.remove(tables, name, summary)? {
                summary.forgotten += 1;
            }
        }
        Ok(())
    }

    fn byte_bounds(&self) -> ByteBounds {
        let bytes = self.retention.bytes();
        ByteBounds { bytes, pages: most_pages(self.file.length(), bytes) }
    }

    /// Deletes the oldest messages of these channels until the bounds hold. The longest shrinks first, each down to what this
    /// commit brings.
    fn shrink(
        &mut self,
        tables: &mut Tables<'_>,
        channels: &[ChannelName],
        bounds: ByteBounds,
        budget: &mut u64,
        summary: &mut CommitSummary,
    ) -> Result<()> {
        let losses = self.totals.losses;
        let keeps = |name: &ChannelName, channel: &CachedChannel| {
            self.bounds_of(name, channel.bounds).as_ref().is_some_and(Bounds::keep_everything)
        };
        let evictable = |name: &ChannelName| self.cache.get(name).filter(|channel| !keeps(name, channel));
        let length = |name: &ChannelName| evictable(name).map_or(0, CachedChannel::len);
        let mut longest: BinaryHeap<_> =
            channels.iter().enumerate().map(|(at, name)| (length(name), at)).collect();
        let mut shrunk = BTreeSet::new();
        while !bounds.hold(&self.totals) && *budget > 0 {
            let Some((length, at)) = longest.pop() else { break };
            let Some(channel) = self.cache.get_mut(&channels[at]) else { continue };
            self.current = Some(channels[at].clone());
            let older = (channel.touched.1 + 1).saturating_sub(channel.oldest);
            let count = STEP.min(*budget).min(older).min(length);
            if count == 0 {
                continue;
            }
            *budget -= count;
            self.totals.freed(channel.delete(tables, channel.oldest + count)?);
            shrunk.insert(at);
            longest.push((length - count, at));
        }
        for name in shrunk.into_iter().map(|at| &channels[at]) {
            if let Some(channel) = self.cache.get(name) {
                summary.evicted.push((
                    name.clone(),
                    channel.row.visible_epoch(losses),
                    Seq::new(channel.oldest),
                ));
            }
        }
        Ok(())
    }

    /// Some random channels that `fit`, the least recently used first. Those that cannot be read are passed over.
    fn sample(
        &mut self,
        names: &impl ReadableTable<&'static str, u64>,
        channels: &impl ReadableTable<u64, &'static [u8]>,
        messages: &impl ReadableTable<(u64, u64), &'static [u8]>,
        mut fits: impl FnMut(&StoredChannel) -> Result<bool>,
    ) -> Result<Vec<Row>> {
        let mut sample = Vec::new();
        for _ in 0..SAMPLE {
            let picked = guarded(|| self.pick(names, channels, messages));
            if let Some(stored) = unless_damaged(picked)?.flatten()
                && fits(&stored)?
            {
                sample.push(stored.row);
            }
        }
        sample.sort_by_key(|row| row.newest_at);
        Ok(sample)
    }

    /// A random channel; `None` if there is none, or this one is left alone.
    fn pick(
        &mut self,
        names: &impl ReadableTable<&'static str, u64>,
        channels: &impl ReadableTable<u64, &'static [u8]>,
        messages: &impl ReadableTable<(u64, u64), &'static [u8]>,
    ) -> Result<Option<StoredChannel>> {
        self.current = None;
        let from = self.environment.random() % self.totals.next.max(1);
        let above = channels.range(from..)?.next().transpose()?;
        let found = match above {
            Some(found) => Some(found),
            None => channels.first()?,
        };
        let Some((id, row)) = found else { return Ok(None) };
        let row = Row::decode(id.value(), row.value())?;
        if self.is_damaged(&row.name) || !is_current(names, &row.name, id.value())? {
            return Ok(None);
        }
        self.current = Some(row.name.clone());
        StoredChannel::of(messages, id.value(), row).map(Some)
    }

    /// The least recently used of a sample of channels that hold messages.
    fn long_unused(&mut self, tables: &Tables<'_>, own: &[ChannelName]) -> Result<Option<ChannelName>> {
        let recent = self.recent.clone();
        let sample = self.sample(&*tables.names, &*tables.channels, &*tables.messages, |stored| {
            let bounds = recent.bounds(&stored.row.name).or(tables.life(stored.id)?.map(|life| life.bounds));
            let keeps = bounds.as_ref().is_some_and(Bounds::keep_everything);
            Ok(stored.oldest.0 <= stored.row.newest && !own.contains(&stored.row.name) && !keeps)
        })?;
        Ok(sample.into_iter().next().map(|row| row.name))
    }
}

/// Whether the channel of this name has this number. If it was damaged and began anew, another row is left of it, which nothing
/// is done with.
fn is_current(names: &impl ReadableTable<&'static str, u64>, name: &ChannelName, id: u64) -> Result<bool> {
    Ok(names.get(name.as_str())?.is_some_and(|current| current.value() == id))
}

/// Bounds on all channels together.
#[derive(Clone, Copy)]
struct ByteBounds {
    /// In what retention counts.
    bytes: u64,
    /// In pages, so that the file does not grow beyond its bound.
    pages: u64,
}

impl ByteBounds {
    fn hold(self, totals: &Totals) -> bool {
        totals.weight() <= self.bytes && totals.footprint() <= self.pages
    }
}

/// How many bytes of pages may be in use, so that a file of this length does not get longer than twice `bytes` and
/// [`SPARE`]. It grows by doubling, from 4 GiB on by 4 GiB, when no page is free.
fn most_pages(length: u64, bytes: u64) -> u64 {
    const STEP: u64 = 4 << 30;
    let most = bytes.saturating_mul(2).saturating_add(SPARE);
    if most == u64::MAX {
        return most;
    }
    let mut length = length.max(SPARE / 16);
    while length < STEP && length * 2 <= most {
        length *= 2;
    }
    if length >= STEP {
        length += most.saturating_sub(length) / STEP * STEP;
    }
    length.min(most).saturating_sub(SPARE / 2)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::index_queue::Sealed;
    use super::super::log::recent::Memtable;
    use super::super::log::record::{Publish, Retains};
    use super::super::options::Options;
    use super::super::recovery::{self, Opened, Opening};
    use super::super::shared::{Shared, UNBOUNDED};
    use super::*;
    use crate::environment::{Directory, Environment};
    use crate::life::{Change, Content};
    use crate::types::{Ending, Epoch, Message, Payload, Retention, mint_id};

    /// A publish of so many messages, a millisecond apart.
    fn add(memtable: &mut Memtable, epoch: u64, from: Timestamp, count: u64, change: Option<&Change>) {
        let channel = ChannelName::parse("reborn").unwrap();
        let message = |seq| {
            let (at, payload) = (from.after(Duration::from_millis(seq)), Payload::text("x"));
            Arc::new(Message { seq: Seq::new(seq), id: mint_id(at, seq), at, payload })
        };
        let messages: Vec<_> = (1..=count).map(message).collect();
        let publish = Publish {
            channel: &channel,
            epoch: Epoch::new(epoch),
            after: Seq::ZERO,
            taken: from,
            ending: Ending::Open,
            key: None,
            change,
            retains: Retains::AsUsual,
            messages: &messages,
        };
        memtable.add(publish, &UNBOUNDED);
    }

    #[test]
    fn what_a_sweep_found_is_not_deleted_of_a_later_channel_of_that_name() {
        let directory = tempfile::tempdir().unwrap();
        let location = Arc::new(Directory::new(directory.path()));
        let shared = Shared::new(&Environment::seeded(1), location, Options::default(), Arc::new(|_| {}));
        let Opened { database, totals, .. } = recovery::open(&shared, Opening::First).unwrap();
        let mut state = CommitState::new(totals, &shared);
        state.retention = Retention { age: Duration::from_secs(60), ..UNBOUNDED };
        let index = |state: &mut CommitState, segment, memtable, deletions: &Deletions| {
            let sealed = Sealed { segments: segment..=segment, memtable: Arc::new(memtable) };
            state.index_past_damage(&database, Some(&sealed), deletions).unwrap();
        };
        let (old, now) = (Timestamp::from_millis(1_000_000), Timestamp::from_millis(2_000_000));
        let mut first = Memtable::default();
        add(&mut first, 1, old, 20, None);
        index(&mut state, 1, first, &Deletions::default());
        let mut deletions = Deletions::default();
        state.sweep(&database, now, &mut deletions).unwrap();
        assert_eq!(deletions.old.len(), 1);

        let mut second = Memtable::default();
        let removed = Change { content: Content::Removed, ..Change::default() };
        add(&mut second, 1, old, 0, Some(&removed));
        let born = Change { content: Content::Born, ..Change::default() };
        add(&mut second, 2, now, 5, Some(&born));
        index(&mut state, 2, second, &deletions);
        let messages = database.begin_read().unwrap().open_table(MESSAGES).unwrap();
        let numbers: Vec<_> = messages.iter().unwrap().map(|row| row.unwrap().0.value().1).collect();
        assert_eq!(numbers, [1, 2, 3, 4, 5]);
    }
}
