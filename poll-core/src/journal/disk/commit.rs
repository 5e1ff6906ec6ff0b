//! One commit: publishes become rows, what is over its bounds goes, all or nothing of it.
//!
//! The ledger is what the writer knows of the file between commits: the totals, and the channels it wrote to
//! lately. After a failed commit it knows nothing and looks again.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use redb::{Database, ReadOnlyTable, ReadableDatabase, ReadableTable, Table, WriteTransaction};

use super::fault::guarded;
use super::format::{
    self, Beside, CHANNELS, KEYS, MESSAGES, NAMES, Result, Row, TOTALS, Totals, Weight, encode_key,
    encode_message,
};
use super::queue::Entry;
use super::retention::{Chores, Sweeper};
use super::stored_channel::{self, End, Place};
use super::synced_file::Watch;
use crate::types::{ChannelName, Ending, Epoch, Retention, Seq, Timestamp};

/// Channels remembered between commits; a megabyte for every few thousand.
const REMEMBERED: usize = 65_536;

pub(super) struct Ledger {
    pub(super) totals: Totals,
    pub(super) known: HashMap<ChannelName, Known>,
    pub(super) retention: Retention,
    pub(super) sweeper: Sweeper,
    pub(super) quick_repair: bool,
    /// Channels that were found damaged. Nothing more is written to them, and nothing of them is deleted.
    pub(super) damaged: HashSet<ChannelName>,
    /// The channel that a commit is at; after one that failed, where.
    pub(super) at: Option<ChannelName>,
    pub(super) watch: Arc<Watch>,
}

/// A channel as the writer will find it.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) id: u64,
    /// What the row would say if it were written now.
    pub(super) row: Row,
    pub(super) oldest: u64,
    /// Nothing stands before this number; before the oldest there may be what cannot be read.
    pub(super) front: u64,
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
    /// The channels that were touched.
    pub(super) touched: Vec<ChannelName>,
    /// What went before its time, to make room: up to where.
    pub(super) evicted: Vec<(ChannelName, Epoch, Seq)>,
    /// How many channels were forgotten.
    pub(super) forgotten: u64,
}

/// The tables of one commit.
pub(super) struct Tables<'t> {
    /// The file as it was before the commit. What may be damaged is read there first: a write that a senseless page
    /// stops half way would leave the file to be repaired.
    before: Before<'t>,
    pub(super) names: Table<'t, &'static str, u64>,
    pub(super) channels: Table<'t, u64, &'static [u8]>,
    pub(super) messages: Table<'t, (u64, u64), &'static [u8]>,
    pub(super) keys: Table<'t, (u64, u64, u64), &'static [u8]>,
}

/// The file before a commit.
struct Before<'t> {
    database: &'t Database,
    /// Made when it is first asked for: most commits have no need of it.
    tables: OnceCell<BeforeTables>,
}

struct BeforeTables {
    names: ReadOnlyTable<&'static str, u64>,
    channels: ReadOnlyTable<u64, &'static [u8]>,
    messages: ReadOnlyTable<(u64, u64), &'static [u8]>,
}

impl Before<'_> {
    fn tables(&self) -> Result<&BeforeTables> {
        if let Some(tables) = self.tables.get() {
            return Ok(tables);
        }
        let txn = self.database.begin_read()?;
        let tables = BeforeTables {
            names: txn.open_table(NAMES)?,
            channels: txn.open_table(CHANNELS)?,
            messages: txn.open_table(MESSAGES)?,
        };
        Ok(self.tables.get_or_init(|| tables))
    }
}

impl<'t> Tables<'t> {
    pub(super) fn open(txn: &'t WriteTransaction, database: &'t Database) -> Result<Self> {
        Ok(Self {
            before: Before { database, tables: OnceCell::new() },
            names: txn.open_table(NAMES)?,
            channels: txn.open_table(CHANNELS)?,
            messages: txn.open_table(MESSAGES)?,
            keys: txn.open_table(KEYS)?,
        })
    }

    /// A channel as it is now.
    pub(super) fn find(&self, name: &ChannelName) -> Result<Option<Place>> {
        with_end(stored_channel::find(&self.names, &self.channels, &self.messages, name)?)
    }

    /// A channel as it was before the commit.
    pub(super) fn find_before(&self, name: &ChannelName) -> Result<Option<Place>> {
        guarded(|| {
            let before = self.before.tables()?;
            with_end(stored_channel::find(&before.names, &before.channels, &before.messages, name)?)
        })
    }

    /// What messages weigh that were there before the commit.
    pub(super) fn weigh_before(&self, id: u64, numbers: Range<u64>) -> Result<Weight> {
        guarded(|| {
            let mut weight = Weight::default();
            for message in self.before.tables()?.messages.range((id, numbers.start)..(id, numbers.end))? {
                weight += Weight::of(message?.1.value());
            }
            Ok(weight)
        })
    }
}

impl Known {
    pub(super) fn of(place: Place) -> Self {
        let (oldest, newest) = (place.oldest.0, place.row.newest);
        Self { id: place.id, row: place.row, oldest, front: 0, keyed: 0, touched: (0, newest), stale: false }
    }

    pub(super) fn len(&self) -> u64 {
        (self.row.newest + 1).saturating_sub(self.oldest)
    }
}

impl Ledger {
    pub(super) fn new(totals: Totals, quick_repair: bool, watch: &Arc<Watch>) -> Self {
        Self {
            totals,
            known: HashMap::new(),
            retention: Retention::default(),
            sweeper: Sweeper::default(),
            quick_repair,
            damaged: HashSet::new(),
            at: None,
            watch: watch.clone(),
        }
    }

    /// Whether to leave a channel alone, because something of it is damaged or cannot be read.
    pub(super) fn spares(&self, name: &ChannelName) -> bool {
        self.damaged.contains(name) || self.watch.unreadable.has(name)
    }

    /// The file was opened again: only it says what is in it.
    pub(super) fn reset(&mut self, totals: Totals) {
        self.totals = totals;
        self.known.clear();
        self.damaged.clear();
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
        self.at = None;
        let committed = guarded(|| self.write(database, entries, chores, done));
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
            let mut tables = Tables::open(&txn, database)?;
            let mut row = Vec::new();
            for entry in entries {
                self.at = Some(entry.append.channel().clone());
                let kept = self.enter(&mut tables, entry, &mut row, done)?;
                done.kept.push(kept);
            }
            self.keep_bounds(&mut tables, entries, done)?;
            self.do_chores(&mut tables, chores, done)?;
            for name in &done.touched {
                self.at = Some(name.clone());
                if let Some(known) = self.known.get_mut(name).filter(|known| known.stale) {
                    tables.channels.insert(known.id, known.row.encode(known.id).as_slice())?;
                    known.stale = false;
                }
            }
            self.at = None;
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
            let Some(place) = tables.find_before(name)? else { return Ok(None) };
            self.known.insert(name.clone(), Known::of(place));
        }
        let Some(known) = self.known.get_mut(name) else { return Ok(None) };
        if known.touched.0 != self.totals.batch {
            done.touched.push(name.clone());
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
            self.totals.took(Weight::of(row));
        }
        if append.ending() == Ending::Close {
            known.row.ended = true;
            known.stale = true;
        }
        if let Some(key) = encode_key(known.id, append) {
            let place = (known.id, append.taken().as_micros(), append.after().get());
            tables.keys.insert(place, key.as_slice())?;
            known.keyed += 1;
            self.totals.beside_mut().keys += format::key_weight(&key);
        }
        Ok(true)
    }

    fn give_birth(&mut self, tables: &mut Tables<'_>, entry: &Entry, done: &mut Done) -> Result<()> {
        let (name, id) = (entry.append.channel(), self.totals.next);
        // Where its first message will lie.
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
        self.totals.beside_mut().channels += format::channel_weight(name.as_str());
        done.touched.push(name.clone());
        let touched = (self.totals.batch, 0);
        self.known
            .insert(name.clone(), Known { id, row, oldest: 1, front: 1, keyed: 0, touched, stale: true });
        Ok(())
    }

    /// Writes the rows of all channels that were touched, as they are now: what is at the end of a channel and gets damaged
    /// while nobody has the file open is then known to have been there.
    pub(super) fn settle(&self, database: &Database) -> Result<()> {
        let touched = self.known.iter().filter(|(name, known)| known.touched.0 > 0 && !self.spares(name));
        let before = database.begin_read()?.open_table(CHANNELS)?;
        let rows: Vec<_> = touched
            .map(|(_, known)| (known.id, known.row.encode(known.id)))
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

/// A channel whose end is known. Where it is not, the next number may have been given out before.
fn with_end(place: Option<Place>) -> Result<Option<Place>> {
    match place {
        Some(place) if place.end == End::Uncertain => Err(format::damaged("the end of a channel")),
        place => Ok(place),
    }
}

/// What a file holds beside messages, counted row by row. Only a file that an earlier version wrote needs it: a few
/// bytes a key of the last minutes and a channel are read. What is damaged is not counted.
pub(super) fn count_beside(database: &Database) -> Result<Beside> {
    let txn = database.begin_read()?;
    let mut beside = Beside::default();
    let counted = guarded(|| {
        for name in txn.open_table(NAMES)?.iter()? {
            beside.channels += format::channel_weight(name?.0.value());
        }
        for key in txn.open_table(KEYS)?.iter()? {
            beside.keys += format::key_weight(key?.1.value());
        }
        Ok(())
    });
    stored_channel::passing_damage(counted.map(Some))?;
    Ok(beside)
}

/// The totals of a file that has some.
pub(super) fn totals(table: &impl ReadableTable<(), &'static [u8]>) -> Result<Totals> {
    let row = table.get(())?.ok_or_else(|| format::damaged("the totals"))?;
    Ok(Totals::decode(row.value())?)
}
