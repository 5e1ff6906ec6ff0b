//! The tables that a commit writes, and the same tables as they were before it.

use std::cell::OnceCell;
use std::ops::Range;

use redb::{Database, ReadOnlyTable, ReadableDatabase, ReadableTable, Table, WriteTransaction};

use super::codec::Totals;
use super::fault::guarded;
use super::format::{self, CHANNELS, FORKS, KEYS, LIVES, MESSAGES, NAMES, PRODUCERS, Result};
use super::stored_channel::{self, End, StoredChannel};
use super::weight::Weight;
use crate::types::ChannelName;

/// The tables of one commit.
pub(super) struct Tables<'t> {
    /// The file as it was before the commit. What may be damaged is read there first, because a write that stops half way at
    /// a corrupt page would leave the file in need of repair.
    before: Before<'t>,
    pub(super) names: Table<'t, &'static str, u64>,
    pub(super) channels: Table<'t, u64, &'static [u8]>,
    pub(super) messages: Table<'t, (u64, u64), &'static [u8]>,
    pub(super) keys: Table<'t, (u64, u64, u64), &'static [u8]>,
    pub(super) lives: Table<'t, u64, &'static [u8]>,
    pub(super) producers: Table<'t, (u64, &'static str), &'static [u8]>,
    pub(super) forks: Table<'t, (&'static str, &'static str), ()>,
}

/// The file before a commit.
struct Before<'t> {
    database: &'t Database,
    /// Opened on first use: most commits do without.
    tables: OnceCell<BeforeTables>,
}

struct BeforeTables {
    names: ReadOnlyTable<&'static str, u64>,
    channels: ReadOnlyTable<u64, &'static [u8]>,
    messages: ReadOnlyTable<(u64, u64), &'static [u8]>,
    keys: ReadOnlyTable<(u64, u64, u64), &'static [u8]>,
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
            keys: txn.open_table(KEYS)?,
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
            lives: txn.open_table(LIVES)?,
            producers: txn.open_table(PRODUCERS)?,
            forks: txn.open_table(FORKS)?,
        })
    }

    /// A channel as it is now.
    pub(super) fn find(&self, name: &ChannelName) -> Result<Option<StoredChannel>> {
        with_end(stored_channel::find(&self.names, &self.channels, &self.messages, name)?)
    }

    /// A channel as it was before the commit.
    pub(super) fn find_before(&self, name: &ChannelName) -> Result<Option<StoredChannel>> {
        guarded(|| {
            let before = self.before.tables()?;
            with_end(stored_channel::find(&before.names, &before.channels, &before.messages, name)?)
        })
    }

    /// Reads the pages that a new channel's rows will go to.
    pub(super) fn probe(&self, name: &ChannelName, id: u64) -> Result<()> {
        guarded(|| {
            let before = self.before.tables()?;
            before.names.get(name.as_str())?;
            before.channels.get(id)?;
            before.messages.get((id, 1))?;
            before.keys.get((id, 0, 0))?;
            Ok(())
        })
    }

    /// The weight of messages that were there before the commit.
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

/// Refuses a channel whose end is not known: its next number may have been given out before.
fn with_end(stored: Option<StoredChannel>) -> Result<Option<StoredChannel>> {
    match stored {
        Some(stored) if stored.unreachable == Some(End::Newest) => {
            Err(format::damaged("the end of a channel"))
        }
        stored => Ok(stored),
    }
}

/// Begins a transaction that leaves nothing to repair after a crash: it saves which pages are in use. That makes a commit
/// more expensive, but there is at most one for each segment.
pub(super) fn begin_write(database: &Database) -> Result<WriteTransaction> {
    let mut txn = database.begin_write()?;
    txn.set_quick_repair(true);
    Ok(txn)
}

/// The totals of a file.
pub(super) fn totals(table: &impl ReadableTable<(), &'static [u8]>) -> Result<Totals> {
    let row = table.get(())?.ok_or_else(|| format::damaged("the totals"))?;
    Ok(Totals::decode(row.value())?)
}
