//! The tables that a commit writes, and the same tables as they were before it.

use std::cell::OnceCell;
use std::ops::Range;

use redb::{
    Database, Key, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, Table, TableDefinition,
    Value, WriteTransaction,
};
use scopeguard::ScopeGuard;

use super::codec::Totals;
use super::fault::guarded;
use super::format::{self, CHANNELS, FORKS, KEYS, LIVES, MESSAGES, NAMES, PRODUCERS, Result};
use super::stored_channel::{self, End, StoredChannel};
use super::weight::Weight;
use crate::types::ChannelName;

/// A table of a transaction that writes. When it is dropped, redb writes down where it begins, and panics if the page for that
/// makes no sense. Such a panic goes no further: out of a destructor it would end the process while another one unwinds. The
/// transaction cannot be committed any more, because the panic poisons its lock.
pub(super) type WriteTable<'t, K, V> = ScopeGuard<Table<'t, K, V>, fn(Table<'t, K, V>)>;

/// The tables of one commit.
pub(super) struct Tables<'t> {
    /// The file as it was before the commit. What may be damaged is read there first, because a write that stops half way at
    /// a corrupt page would leave the file in need of repair.
    before: Before<'t>,
    pub(super) names: WriteTable<'t, &'static str, u64>,
    pub(super) channels: WriteTable<'t, u64, &'static [u8]>,
    pub(super) messages: WriteTable<'t, (u64, u64), &'static [u8]>,
    pub(super) keys: WriteTable<'t, (u64, u64, u64), &'static [u8]>,
    pub(super) lives: WriteTable<'t, u64, &'static [u8]>,
    pub(super) producers: WriteTable<'t, (u64, &'static str), &'static [u8]>,
    pub(super) forks: WriteTable<'t, (&'static str, &'static str), ()>,
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
            names: open(txn, NAMES)?,
            channels: open(txn, CHANNELS)?,
            messages: open(txn, MESSAGES)?,
            keys: open(txn, KEYS)?,
            lives: open(txn, LIVES)?,
            producers: open(txn, PRODUCERS)?,
            forks: open(txn, FORKS)?,
        })
    }

    /// A channel as it is now.
    pub(super) fn find(&self, name: &ChannelName) -> Result<Option<StoredChannel>> {
        with_end(stored_channel::find(&*self.names, &*self.channels, &*self.messages, name)?)
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

    /// The file as it was before the commit, read anew.
    pub(super) fn read_before(&self) -> Result<ReadTransaction> {
        Ok(self.before.database.begin_read()?)
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

/// Opens a table to write to it.
pub(super) fn open<'t, K: Key + 'static, V: Value + 'static>(
    txn: &'t WriteTransaction,
    definition: TableDefinition<'_, K, V>,
) -> Result<WriteTable<'t, K, V>> {
    let close: fn(Table<'t, K, V>) = |table| {
        let closed = guarded(|| {
            drop(table);
            Ok(())
        });
        drop(closed);
    };
    Ok(scopeguard::guard(txn.open_table(definition)?, close))
}

/// The totals of a file.
pub(super) fn totals(table: &impl ReadableTable<(), &'static [u8]>) -> Result<Totals> {
    let row = table.get(())?.ok_or_else(|| format::damaged("the totals"))?;
    Ok(Totals::decode(row.value())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::disk::fault::is_damage;

    /// A file in which the last of the tables claims more bytes than the page has that holds all of them.
    fn overrun() -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let database = Database::create(file.path()).unwrap();
        let txn = database.begin_write().unwrap();
        drop((Tables::open(&txn, &database).unwrap(), open(&txn, format::TOTALS).unwrap()));
        txn.commit().unwrap();
        drop(database);
        let mut bytes = std::fs::read(file.path()).unwrap();
        let leaves = bytes.chunks_exact_mut(4096).filter(|page| {
            let holds = |name: &[u8]| memchr::memmem::find(page, name).is_some();
            page[0] == 1 && holds(b"producers") && holds(b"totals")
        });
        for leaf in leaves {
            // How many there are; where each name ends, then where each table ends.
            let count = usize::from(u16::from_le_bytes([leaf[2], leaf[3]]));
            leaf[4 + 4 * (2 * count - 1) + 1] ^= 0x20;
        }
        std::fs::write(file.path(), bytes).unwrap();
        file
    }

    #[test]
    fn tables_that_cannot_be_closed_do_not_end_the_process() {
        let file = overrun();
        let database = Database::open(file.path()).unwrap();
        let committed = guarded(|| {
            let txn = begin_write(&database)?;
            let tables = Tables::open(&txn, &database)?;
            // It panics, and has redb close the others while that unwinds.
            let totals = open(&txn, format::TOTALS)?;
            drop((tables, totals));
            Ok(txn.commit()?)
        });
        assert!(committed.is_err_and(|error| is_damage(&error)));
    }
}
