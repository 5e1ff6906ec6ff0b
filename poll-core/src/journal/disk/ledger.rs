//! One commit: publishes become rows, what is over its bounds goes, all or nothing of it.
//!
//! The ledger is what the writer knows of the file between commits: the totals, and the channels it wrote to
//! lately. After a failed commit it knows nothing and looks again.

use std::collections::HashMap;

use redb::{Database, ReadableTable, Table, WriteTransaction};

use super::format::{
    self, CHANNELS, KEYS, MESSAGES, NAMES, Result, Row, TOTALS, Totals, encode_key, encode_message,
};
use super::inbox::Entry;
use super::place::{self, End, Place};
use super::retention::{Chores, Sweeper};
use crate::channel::ChannelName;
use crate::cursor::{Epoch, Seq};
use crate::retention::Retention;
use crate::store::Ending;
use crate::time::Timestamp;

/// Channels remembered between commits; a megabyte for every few thousand.
const REMEMBERED: usize = 65_536;

pub(super) struct Ledger {
    pub(super) totals: Totals,
    pub(super) known: HashMap<ChannelName, Known>,
    pub(super) retention: Retention,
    pub(super) sweeper: Sweeper,
    pub(super) quick_repair: bool,
}

/// A channel as the writer will find it.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) id: u64,
    /// What the row would say if it were written now.
    pub(super) row: Row,
    pub(super) oldest: u64,
    /// Keys written since they were last counted.
    pub(super) keyed: usize,
    /// The commit that touched it last, and what was the newest message before.
    pub(super) touched: (u64, u64),
    /// Whether the row has to be written with the next commit.
    pub(super) stale: bool,
}

/// What one commit did.
#[derive(Default)]
pub(super) struct Done {
    /// Of each publish, whether it is kept; one that is not follows one that failed.
    pub(super) kept: Vec<bool>,
    /// What the channels that were touched were before; `None` for those that were born.
    pub(super) before: Vec<(ChannelName, Option<Known>)>,
    /// What went before its time, to make room: up to where.
    pub(super) evicted: Vec<(ChannelName, Epoch, Seq)>,
    /// How many channels were forgotten.
    pub(super) forgotten: u64,
}

/// The tables of one commit.
pub(super) struct Tables<'t> {
    pub(super) names: Table<'t, &'static str, u64>,
    pub(super) channels: Table<'t, u64, &'static [u8]>,
    pub(super) messages: Table<'t, (u64, u64), &'static [u8]>,
    pub(super) keys: Table<'t, (u64, u64, u64), &'static [u8]>,
}

impl<'t> Tables<'t> {
    pub(super) fn open(txn: &'t WriteTransaction) -> Result<Self> {
        Ok(Self {
            names: txn.open_table(NAMES)?,
            channels: txn.open_table(CHANNELS)?,
            messages: txn.open_table(MESSAGES)?,
            keys: txn.open_table(KEYS)?,
        })
    }

    pub(super) fn find(&self, name: &ChannelName) -> Result<Option<Place>> {
        let place = place::find(&self.names, &self.channels, &self.messages, name)?;
        match place {
            // The next number may have been given out before.
            Some(place) if place.end == End::Uncertain => Err(format::damaged("the end of a channel")),
            place => Ok(place),
        }
    }
}

impl Known {
    pub(super) fn of(place: Place) -> Self {
        let (oldest, newest) = (place.oldest.0, place.row.newest);
        Self { id: place.id, row: place.row, oldest, keyed: 0, touched: (0, newest), stale: false }
    }

    pub(super) fn len(&self) -> u64 {
        (self.row.newest + 1).saturating_sub(self.oldest)
    }
}

impl Ledger {
    pub(super) fn new(totals: Totals, retention: Retention, quick_repair: bool) -> Self {
        Self { totals, known: HashMap::new(), retention, sweeper: Sweeper::default(), quick_repair }
    }

    /// Commits `entries` and what `chores` say; `done` tells of it even where the commit fails, because it may
    /// have happened all the same.
    pub(super) fn commit(
        &mut self,
        database: &Database,
        entries: &[Entry],
        chores: &Chores,
        done: &mut Done,
    ) -> Result<()> {
        if self.known.len() > REMEMBERED {
            self.known.clear();
        }
        let before = self.totals;
        self.totals.batch += 1;
        let committed = self.write(database, entries, chores, done);
        if committed.is_err() {
            self.known.clear();
            self.totals = before;
        }
        committed
    }

    fn write(
        &mut self,
        database: &Database,
        entries: &[Entry],
        chores: &Chores,
        done: &mut Done,
    ) -> Result<()> {
        let mut txn = database.begin_write()?;
        txn.set_quick_repair(self.quick_repair);
        {
            let mut tables = Tables::open(&txn)?;
            let mut row = Vec::new();
            for entry in entries {
                let kept = self.enter(&mut tables, entry, &mut row, done)?;
                done.kept.push(kept);
            }
            self.keep_bounds(&mut tables, entries, done)?;
            self.do_chores(&mut tables, chores, done)?;
            for (name, _) in &done.before {
                if let Some(known) = self.known.get_mut(name).filter(|known| known.stale) {
                    tables.channels.insert(known.id, known.row.encode(known.id).as_slice())?;
                    known.stale = false;
                }
            }
            txn.open_table(TOTALS)?.insert((), self.totals.encode().as_slice())?;
        }
        Ok(txn.commit()?)
    }

    /// The channel of a name, as it stands within this commit, ready to be changed.
    pub(super) fn touch(
        &mut self,
        tables: &Tables<'_>,
        name: &ChannelName,
        done: &mut Done,
    ) -> Result<Option<&mut Known>> {
        if !self.known.contains_key(name) {
            let Some(place) = tables.find(name)? else { return Ok(None) };
            self.known.insert(name.clone(), Known::of(place));
        }
        let Some(known) = self.known.get_mut(name) else { return Ok(None) };
        if known.touched.0 != self.totals.batch {
            done.before.push((name.clone(), Some(known.clone())));
            known.touched = (self.totals.batch, known.row.newest);
        }
        Ok(Some(known))
    }

    /// Enters one publish; says whether it follows what is there.
    fn enter(
        &mut self,
        tables: &mut Tables<'_>,
        entry: &Entry,
        row: &mut Vec<u8>,
        done: &mut Done,
    ) -> Result<bool> {
        let append = &entry.append;
        let (name, losses) = (append.channel(), self.totals.losses);
        if self.touch(tables, name, done)?.is_none() {
            if append.after() != Seq::ZERO {
                return Ok(false);
            }
            self.give_birth(tables, entry, done)?;
        }
        let Some(known) = self.known.get_mut(name) else { return Ok(false) };
        let follows = known.row.life(losses) == append.epoch() && known.row.newest == append.after().get();
        if !follows || known.row.ended {
            // One that was shown before it was kept may be tried again after a commit of unknown outcome.
            return Ok(entry.receipt.is_some() && append.newest().get() <= known.row.newest);
        }
        for message in append.messages() {
            encode_message(known.id, message, row);
            tables.messages.insert((known.id, message.seq.get()), row.as_slice())?;
            (known.row.newest, known.row.newest_at) = (message.seq.get(), message.at);
            self.totals.bytes += message.weight();
        }
        if append.ending() == Ending::Close {
            known.row.ended = true;
            known.stale = true;
        }
        if let Some(key) = encode_key(known.id, append) {
            let place = (known.id, append.taken().as_micros(), append.after().get());
            tables.keys.insert(place, key.as_slice())?;
            known.keyed += 1;
        }
        Ok(true)
    }

    fn give_birth(&mut self, tables: &mut Tables<'_>, entry: &Entry, done: &mut Done) -> Result<()> {
        let (name, id) = (entry.append.channel(), self.totals.next);
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
        done.before.push((name.clone(), None));
        let touched = (self.totals.batch, 0);
        self.known.insert(name.clone(), Known { id, row, oldest: 1, keyed: 0, touched, stale: true });
        Ok(())
    }

    /// Takes back what a commit did that was given up and happened all the same.
    pub(super) fn undo(
        &mut self,
        database: &Database,
        before: &[(ChannelName, Option<Known>)],
    ) -> Result<()> {
        self.known.clear();
        let txn = database.begin_write()?;
        self.totals.batch += 1;
        {
            let mut tables = Tables::open(&txn)?;
            for (name, before) in before {
                let Some(place) = tables.find(name)? else { continue };
                let newest = before.as_ref().map_or(0, |known| known.row.newest);
                let newer = (place.id, newest + 1)..=(place.id, u64::MAX);
                for message in tables.messages.extract_from_if(newer, |_, _| true)? {
                    let (_, row) = message?;
                    self.totals.bytes = self.totals.bytes.saturating_sub(format::weight(row.value()));
                }
                let all = (place.id, 0, 0)..=(place.id, u64::MAX, u64::MAX);
                tables.keys.retain_in(all, |(_, _, after), _| after < newest)?;
                if let Some(known) = before {
                    tables.channels.insert(place.id, known.row.encode(place.id).as_slice())?;
                } else {
                    tables.names.remove(name.as_str())?;
                    tables.channels.remove(place.id)?;
                    self.totals.channels = self.totals.channels.saturating_sub(1);
                }
            }
            txn.open_table(TOTALS)?.insert((), self.totals.encode().as_slice())?;
        }
        Ok(txn.commit()?)
    }
}

/// The totals of a file that has some.
pub(super) fn totals(table: &impl ReadableTable<(), &'static [u8]>) -> Result<Totals> {
    let row = table.get(())?.ok_or_else(|| format::damaged("the totals"))?;
    Ok(Totals::decode(row.value())?)
}
