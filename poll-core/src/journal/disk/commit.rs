//! One commit: moves a sealed segment of the log to the database and deletes what exceeds the limits, all or nothing.

use redb::{Database, ReadableDatabase};

use super::cached_channel::CachedChannel;
use super::codec::{Row, encode_key, encode_message};
use super::commit_state::{CACHED, CommitState, CommitSummary};
use super::fault::{guarded, is_damage};
use super::format::{CHANNELS, Result, TOTALS};
use super::index_queue::Sealed;
use super::log::recent::Part;
use super::retention::Deletions;
use super::tables::{self, Tables};
use super::weight::{Weight, channel_weight, key_row_weight};
use crate::types::{ChannelName, Ending};

impl CommitState {
    /// Moves a sealed segment to the database and applies `deletions`, all or nothing. A channel that turns out to be damaged
    /// begins anew with what is left of it beside its messages, or else with nothing. If even that fails, so does the commit:
    /// what was acknowledged stays in the log.
    pub(super) fn index_past_damage(
        &mut self,
        database: &Database,
        sealed: Option<&Sealed>,
        deletions: &Deletions,
    ) -> Result<CommitSummary> {
        let mut damaged = Vec::new();
        loop {
            let error = match self.index(database, sealed, deletions) {
                Ok(mut summary) => {
                    self.renewed(&summary);
                    summary.damaged.append(&mut damaged);
                    return Ok(summary);
                }
                Err(error) => error,
            };
            let name = self.current.clone().filter(|name| is_damage(&error) && self.give_up(name));
            let Some(name) = name else { return Err(error) };
            damaged.push((name, error.to_string()));
        }
    }

    /// Leaves a damaged channel alone from now on; returns whether that changes anything.
    fn give_up(&mut self, name: &ChannelName) -> bool {
        self.damaged.insert(name.clone()) || self.bare.insert(name.clone())
    }

    /// One attempt. Where it failed, it may have happened all the same.
    fn index(
        &mut self,
        database: &Database,
        sealed: Option<&Sealed>,
        deletions: &Deletions,
    ) -> Result<CommitSummary> {
        if self.cache.len() > CACHED {
            self.cache.clear();
        }
        let before = self.totals;
        self.totals.commit += 1;
        self.current = None;
        self.undecided = None;
        self.removed.clear();
        let mut summary = CommitSummary::default();
        let committed = guarded(|| self.write(database, sealed, deletions, &mut summary));
        if committed.is_err() {
            self.cache.clear();
            self.undecided = Some((self.totals.commit, std::mem::take(&mut summary)));
            self.totals = before;
        }
        committed.map(|()| summary)
    }

    fn write(
        &mut self,
        database: &Database,
        sealed: Option<&Sealed>,
        deletions: &Deletions,
        summary: &mut CommitSummary,
    ) -> Result<()> {
        let txn = tables::begin_write(database)?;
        {
            let mut tables = Tables::open(&txn, database)?;
            let mut brought = Weight::default();
            let mut count = 0;
            if let Some(sealed) = sealed {
                for (name, part) in sealed.memtable.parts() {
                    self.current = Some(name.clone());
                    brought += self.write_part(&mut tables, name, part, summary)?;
                    count += part.messages.len() as u64;
                }
                self.current = None;
                self.write_forks(&mut tables, &sealed.memtable)?;
                self.totals.indexed = self.totals.indexed.max(*sealed.segments.end());
            }
            self.enforce_bounds(&mut tables, (count, brought), summary)?;
            self.apply_deletions(&mut tables, deletions, summary)?;
            for name in &summary.touched {
                self.current = Some(name.clone());
                if let Some(channel) = self.cache.get_mut(name).filter(|channel| channel.stale) {
                    tables.channels.insert(channel.id, channel.row.encode(channel.id).as_slice())?;
                    channel.stale = false;
                }
            }
            self.current = None;
            tables::open(&txn, TOTALS)?.insert((), self.totals.encode().as_slice())?;
        }
        Ok(txn.commit()?)
    }

    /// Writes what a segment has of one channel, and returns what that weighs. A channel that cannot be read begins anew with
    /// it: what was acknowledged is kept, and readers are told that they missed what came before.
    fn write_part(
        &mut self,
        tables: &mut Tables<'_>,
        name: &ChannelName,
        part: &Part,
        summary: &mut CommitSummary,
    ) -> Result<Weight> {
        let losses = self.totals.losses;
        let mut weight = Weight::default();
        let life = part.life.as_deref();
        let known = self.known(tables, name, summary)?;
        let is_known = known.is_some_and(|channel| channel.row.visible_epoch(losses) == part.epoch);
        let is_over = part.is_gone() || life.is_some_and(|life| life.cleared && !is_known);
        // The store does not count it since the log has that.
        if is_over && !self.is_damaged(name) {
            self.remove(tables, name, summary)?;
        } else if part.is_gone() && !self.bare.contains(name) {
            self.abandon(tables, name, summary)?;
        }
        if part.is_gone() {
            return Ok(weight);
        }
        if !is_known {
            self.create(tables, name, part, summary)?;
        }
        if let Some(life) = life {
            self.write_life(tables, name, life)?;
        }
        let Some(channel) = self.cache.get_mut(name) else { return Ok(weight) };
        let (first, newest) = (part.first().get(), channel.row.newest);
        if part.after.get() <= newest && first > newest + 1 {
            // What came between has left by retention already, and with it everything older.
            self.totals.freed(channel.delete(tables, first)?);
        }
        if let Some(life) = life.filter(|life| life.purged.get() >= channel.oldest) {
            self.totals.freed(channel.delete(tables, life.purged.get() + 1)?);
        }
        let mut row = Vec::new();
        for message in part.messages.iter().filter(|message| message.seq.get() > newest) {
            encode_message(channel.id, message, &mut row);
            tables.messages.insert((channel.id, message.seq.get()), row.as_slice())?;
            let taken = Weight::of(&row).never_evicted(channel.bounds.as_ref());
            channel.bytes = channel.bytes.map(|bytes| bytes + taken.bytes);
            weight += taken;
            self.totals.took(taken);
        }
        if part.newest.get() > newest {
            (channel.row.newest, channel.row.newest_at) = (part.newest.get(), part.newest_at);
        }
        if part.ending == Ending::Close && !channel.row.ended {
            channel.row.ended = true;
            channel.stale = true;
        }
        for kept in &part.keys {
            let key = encode_key(channel.id, kept);
            let position = (channel.id, kept.taken.as_micros(), kept.numbers.after.get());
            if tables.keys.insert(position, key.as_slice())?.is_none() {
                channel.keyed += 1;
                self.totals.overhead_mut().keys += key_row_weight(&key);
            }
        }
        Ok(weight)
    }

    /// The channel as the database has it; `None` if it has none that can be read.
    fn known(
        &mut self,
        tables: &Tables<'_>,
        name: &ChannelName,
        summary: &mut CommitSummary,
    ) -> Result<Option<&CachedChannel>> {
        if self.is_damaged(name) {
            return Ok(None);
        }
        match self.touch(tables, name, summary) {
            Ok(Some(_)) => Ok(self.cache.get(name)),
            Ok(None) => Ok(None),
            Err(error) if is_damage(&error) => {
                self.damaged.insert(name.clone());
                summary.damaged.push((name.clone(), error.to_string()));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Removes the name of a damaged channel. Its rows stay where they are.
    fn abandon(
        &mut self,
        tables: &mut Tables<'_>,
        name: &ChannelName,
        summary: &mut CommitSummary,
    ) -> Result<()> {
        if tables.names.remove(name.as_str())?.is_some() {
            self.totals.channels = self.totals.channels.saturating_sub(1);
            self.totals.freed_channel(name);
        }
        self.cache.remove(name);
        self.removed.insert(name.clone());
        summary.renewed.push(name.clone());
        Ok(())
    }

    fn create(
        &mut self,
        tables: &mut Tables<'_>,
        name: &ChannelName,
        part: &Part,
        summary: &mut CommitSummary,
    ) -> Result<()> {
        let id = self.totals.next;
        tables.probe(name, id)?;
        let first = part.first().get();
        let row = Row {
            newest: first - 1,
            newest_at: part.newest_at,
            oldest: first,
            ..Row::begin(name.clone(), part.epoch.get(), self.totals.losses)
        };
        self.totals.next += 1;
        let old = tables.names.insert(name.as_str(), id)?.map(|old| old.value());
        if old.is_none() {
            self.totals.channels += 1;
            self.totals.overhead_mut().channels += channel_weight(name.as_str());
        }
        let is_damaged = self.is_damaged(name);
        if is_damaged {
            summary.renewed.push(name.clone());
        }
        summary.touched.push(name.clone());
        let touched = (self.totals.commit, first - 1);
        let created = CachedChannel::new(id, row, None);
        self.cache.insert(name.clone(), CachedChannel { front: first, touched, stale: true, ..created });
        let is_new = part.life.as_ref().is_some_and(|life| life.cleared);
        match old {
            Some(old) if is_damaged && !is_new => self.take_along(tables, name, old, part.after),
            _ => Ok(()),
        }
    }

    /// Writes the rows of all channels that were changed, as they are now. If the end of a channel is damaged while the file is
    /// closed, its row then says what is missing.
    pub(super) fn write_rows(&self, database: &Database) -> Result<()> {
        let touched =
            self.cache.iter().filter(|(name, channel)| channel.touched.0 > 0 && !self.is_damaged(name));
        let before = database.begin_read()?.open_table(CHANNELS)?;
        let rows: Vec<_> = touched
            .map(|(_, channel)| (channel.id, channel.row.encode(channel.id)))
            .filter(|(id, row)| {
                let written =
                    guarded(|| Ok(before.get(id)?.is_none_or(|written| written.value() == row.as_slice())));
                written.is_ok_and(|written| !written)
            })
            .collect();
        if rows.is_empty() {
            return Ok(());
        }
        let txn = tables::begin_write(database)?;
        {
            let mut channels = tables::open(&txn, CHANNELS)?;
            for (id, row) in rows {
                channels.insert(id, row.as_slice())?;
            }
        }
        Ok(txn.commit()?)
    }
}
