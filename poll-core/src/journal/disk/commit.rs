//! One commit: writes publishes as rows and deletes what exceeds the limits, all or nothing.

use redb::{Database, ReadableDatabase};

use super::cached_channel::CachedChannel;
use super::commit_state::{CACHED, CommitState, CommitSummary};
use super::fault::guarded;
use super::format::{self, CHANNELS, Result, Row, TOTALS, Weight, encode_key, encode_message};
use super::retention::Deletions;
use super::tables::Tables;
use super::write_queue::PendingAppend;
use crate::types::{Ending, Seq, Timestamp};

impl CommitState {
    /// Commits `entries` and `deletions`. `summary` is filled in even if the commit fails, because it may have happened all the
    /// same.
    pub(super) fn commit(
        &mut self,
        database: &Database,
        entries: &[PendingAppend],
        deletions: &Deletions,
        summary: &mut CommitSummary,
    ) -> Result<()> {
        if self.cache.len() > CACHED {
            self.cache.clear();
        }
        let before = self.totals;
        self.totals.batch += 1;
        self.current = None;
        let committed = guarded(|| self.write(database, entries, deletions, summary));
        if committed.is_err() {
            self.cache.clear();
            self.totals = before;
        }
        committed
    }

    fn write(
        &mut self,
        database: &Database,
        entries: &[PendingAppend],
        deletions: &Deletions,
        summary: &mut CommitSummary,
    ) -> Result<()> {
        let mut txn = database.begin_write()?;
        txn.set_quick_repair(self.quick_repair);
        {
            let mut tables = Tables::open(&txn, database)?;
            let mut row = Vec::new();
            for entry in entries {
                self.current = Some(entry.append.channel().clone());
                let kept = self.write_publish(&mut tables, entry, &mut row, summary)?;
                summary.kept.push(kept);
            }
            self.enforce_bounds(&mut tables, entries, summary)?;
            self.apply_deletions(&mut tables, deletions, summary)?;
            for name in &summary.touched {
                self.current = Some(name.clone());
                if let Some(channel) = self.cache.get_mut(name).filter(|channel| channel.stale) {
                    tables.channels.insert(channel.id, channel.row.encode(channel.id).as_slice())?;
                    channel.stale = false;
                }
            }
            self.current = None;
            txn.open_table(TOTALS)?.insert((), self.totals.encode().as_slice())?;
        }
        Ok(txn.commit()?)
    }

    /// Writes one publish; returns whether it continues the log.
    fn write_publish(
        &mut self,
        tables: &mut Tables<'_>,
        entry: &PendingAppend,
        row: &mut Vec<u8>,
        summary: &mut CommitSummary,
    ) -> Result<bool> {
        let append = &entry.append;
        let (name, losses) = (append.channel(), self.totals.losses);
        if self.touch(tables, name, summary)?.is_none() {
            if append.after() != Seq::ZERO {
                return Ok(false);
            }
            self.create(tables, entry, summary)?;
        }
        let Some(channel) = self.cache.get_mut(name) else { return Ok(false) };
        let follows =
            channel.row.life(losses) == append.epoch() && channel.row.newest == append.after().get();
        if !follows || channel.row.ended {
            // After a commit of unknown outcome, a publish that was visible already is tried again.
            return Ok(entry.write_behind.is_some() && append.newest().get() <= channel.row.newest);
        }
        for message in append.messages() {
            encode_message(channel.id, message, row);
            tables.messages.insert((channel.id, message.seq.get()), row.as_slice())?;
            (channel.row.newest, channel.row.newest_at) = (message.seq.get(), message.at);
            self.totals.took(Weight::of(row));
        }
        if append.ending() == Ending::Close {
            channel.row.ended = true;
            channel.stale = true;
        }
        if let Some(key) = encode_key(channel.id, append) {
            let position = (channel.id, append.taken().as_micros(), append.after().get());
            tables.keys.insert(position, key.as_slice())?;
            channel.keyed += 1;
            self.totals.overhead_mut().keys += format::key_weight(&key);
        }
        Ok(true)
    }

    fn create(
        &mut self,
        tables: &mut Tables<'_>,
        entry: &PendingAppend,
        summary: &mut CommitSummary,
    ) -> Result<()> {
        let (name, id) = (entry.append.channel(), self.totals.next);
        // Reads the page that its first message will go to.
        tables.weigh_before(id, 0..1)?;
        let row = Row {
            name: name.clone(),
            epoch: entry.append.epoch().get(),
            losses: self.totals.losses,
            newest: 0,
            newest_at: Timestamp::ZERO,
            ended: false,
        };
        tables.names.insert(name.as_str(), id)?;
        self.totals.next += 1;
        self.totals.channels += 1;
        self.totals.overhead_mut().channels += format::channel_weight(name.as_str());
        summary.touched.push(name.clone());
        let touched = (self.totals.batch, 0);
        self.cache.insert(
            name.clone(),
            CachedChannel { id, row, oldest: 1, front: 1, keyed: 0, touched, stale: true },
        );
        Ok(())
    }

    /// Writes the rows of all channels that were changed, as they are now. If the end of a channel is damaged while the file is
    /// closed, its row then says what is missing.
    pub(super) fn write_rows(&self, database: &Database) -> Result<()> {
        let touched = self.cache.iter().filter(|(name, channel)| channel.touched.0 > 0 && !self.spares(name));
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
        let txn = database.begin_write()?;
        {
            let mut channels = txn.open_table(CHANNELS)?;
            for (id, row) in rows {
                channels.insert(id, row.as_slice())?;
            }
        }
        Ok(txn.commit()?)
    }
}
