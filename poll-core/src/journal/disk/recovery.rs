//! Opening the database: checking that the file is ours, upgrading it, and finding what a crash left in the log
//! ([`backlog`]).

mod backlog;

use std::io;
use std::sync::Arc;

use redb::{
    Builder, Database, Error, ReadableDatabase, ReadableTable, ReadableTableMetadata, StorageBackend,
    TableError,
};

use super::codec::{Overhead, Totals};
use super::fault::{At, guarded, io_error, noted_fault, open_fault, reopen_fault};
use super::format::{
    CHANNELS, FORKS, FORMAT, KEYS, LIVES, MESSAGES, NAMES, OLDEST_VERSION, POLL, PRODUCERS, Result, TOTALS,
    VERSION,
};
use super::index_queue::Sealed;
use super::open_file::{self, OpenFile};
use super::options::{Compact, Durability, Options, Progress, Recovered};
use super::shared::Shared;
use super::stored_channel::unless_damaged;
use super::synced_file::SyncedFile;
use super::tables::{self, Tables};
use super::weight::{channel_weight, key_row_weight};
use crate::environment::{Environment, Location};
use crate::journal::{Fault, FaultKind};

/// Whether what readers have seen is still in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opening {
    /// The process has just started.
    First,
    /// The same, and only the database is used: it has to have all of the log first.
    Alone,
    /// The file was open before, and everything that readers have seen is in memory or in the file.
    Again,
}

/// A database that was opened.
pub(super) struct Opened {
    pub(super) database: OpenFile,
    pub(super) totals: Totals,
    /// What a crash left in the log, to be moved to the database.
    pub(super) backlog: Option<Sealed>,
}

/// Opens the file; the first time, creates it if there is none.
pub(super) fn open(shared: &Shared, opening: Opening) -> std::result::Result<Opened, Fault> {
    let name = shared.location.name();
    let fault = |error: Error| match opening {
        Opening::First | Opening::Alone => open_fault(&name, &error),
        Opening::Again => reopen_fault(&name, &error),
    };
    let storage = open_storage(shared, opening).map_err(|error| fault(io_error(error)))?;
    if opening != Opening::Again
        && let Some(fault) = noted_fault(&*shared.location)
    {
        return Err(fault);
    }
    let mut database = open_database(shared, storage).map_err(fault)?;
    let checked = guarded(|| {
        if opening != Opening::Again && shared.options.compact == Compact::AtOpen {
            (shared.progress)(Progress::Compacting);
            while database.compact()? {}
        }
        check(&database)
    });
    let version = match checked.map_err(|error| open_fault(&name, &error))? {
        FileKind::Empty if opening != Opening::Again => {
            (shared.progress)(Progress::Creating);
            guarded(|| create(&database)).map_err(|error| open_fault(&name, &error))?;
            VERSION
        }
        FileKind::Empty => return Err(Fault::new(FaultKind::Gone, format!("{name} was emptied"))),
        FileKind::Journal(version @ OLDEST_VERSION..=VERSION) => version,
        FileKind::Journal(version) => {
            let why = format!("but this server reads and writes version {VERSION}");
            return Err(Fault::new(
                FaultKind::Version,
                format!("{name} has format version {version}, {why}"),
            ));
        }
        FileKind::Foreign => {
            let why = format!("{name} is a database, but not a journal of this server");
            return Err(Fault::new(FaultKind::Damaged, why));
        }
    };
    begin(shared, database, version, opening).map_err(|error| open_fault(&name, &error))
}

/// How much there is. What cannot be counted because of damage counts as nothing.
pub(super) fn recovered(opened: &Opened) -> Recovered {
    let Opened { database, backlog, .. } = opened;
    let stored = guarded(|| Ok(database.begin_read()?.open_table(MESSAGES)?.len()?)).unwrap_or(0);
    let memtable = backlog.as_ref().map(|sealed| &*sealed.memtable);
    let messages = memtable.map_or(0, |memtable| memtable.parts().map(|(_, part)| part.messages.len()).sum());
    Recovered { channels: channels(opened), messages: stored + messages as u64 }
}

/// How many channels there are: those of the database, with what the backlog begins and removes.
fn channels(opened: &Opened) -> u64 {
    let Opened { database, totals, backlog } = opened;
    let Some(sealed) = backlog else { return totals.channels };
    let (mut begun, mut removed) = (0, 0);
    let Ok(names) = guarded(|| Ok(database.begin_read()?.open_table(NAMES)?)) else { return totals.channels };
    for (name, part) in sealed.memtable.parts().filter(|(_, part)| part.may_begin_or_end()) {
        match guarded(|| Ok(names.get(name.as_str())?.is_some())) {
            Ok(true) => removed += u64::from(part.is_gone()),
            Ok(false) => begun += u64::from(!part.is_gone()),
            Err(_) => {}
        }
    }
    (totals.channels + begun).saturating_sub(removed)
}

/// A database that no server uses, with all of the log in it.
pub(super) struct Alone {
    pub(super) database: OpenFile,
    pub(super) totals: Totals,
    /// Keeps servers out until it is dropped.
    _location: Arc<dyn Location>,
    /// Dropped last: a panic that ends the process is noted there.
    _at: At,
}

/// Opens a file that is not in use, and moves all of the log to it. Nothing is deleted for the bounds of a server.
pub(super) fn open_alone(
    environment: &Environment,
    location: impl Location,
    progress: impl Fn(Progress) + Send + Sync + 'static,
) -> std::result::Result<Alone, Fault> {
    let location: Arc<dyn Location> = Arc::new(location);
    let at = At::new(&location);
    let shared = Shared::new(environment, location.clone(), Options::default(), Arc::new(progress));
    let Opened { database, totals, .. } = open(&shared, Opening::Alone)?;
    Ok(Alone { database, totals, _location: location, _at: at })
}

fn open_storage(shared: &Shared, opening: Opening) -> io::Result<Box<dyn StorageBackend>> {
    if opening != Opening::Again {
        return shared.location.open();
    }
    let storage = shared.location.reopen()?;
    match storage.len()? {
        0 => Err(io::Error::new(io::ErrorKind::NotFound, "it was emptied")),
        _ => Ok(storage),
    }
}

fn open_database(shared: &Shared, storage: Box<dyn StorageBackend>) -> Result<OpenFile> {
    let file = SyncedFile::new(storage, &shared.file);
    let mut builder = Builder::new();
    builder.set_cache_size(shared.options.cache_bytes);
    let (progress, writes) = (shared.progress.clone(), shared.writes.clone());
    builder.set_repair_callback(move |session| {
        progress(Progress::Repairing(session.progress()));
        if writes.is_closed() {
            session.abort();
        }
    });
    guarded(|| Ok(open_file::guard(builder.create_with_backend(file)?)))
}

/// What a file holds.
enum FileKind {
    Empty,
    /// A journal of this version.
    Journal(u64),
    /// The database of another program.
    Foreign,
}

fn check(database: &Database) -> Result<FileKind> {
    let txn = database.begin_read()?;
    let format = match txn.open_table(FORMAT) {
        Ok(format) => format,
        Err(TableError::TableDoesNotExist(_)) => {
            let is_new = txn.list_tables()?.next().is_none() && txn.list_multimap_tables()?.next().is_none();
            return Ok(if is_new { FileKind::Empty } else { FileKind::Foreign });
        }
        Err(TableError::Storage(error)) => return Err(error.into()),
        Err(_) => return Ok(FileKind::Foreign),
    };
    let version = format.get(POLL)?.map(|version| version.value());
    Ok(version.map_or(FileKind::Foreign, FileKind::Journal))
}

fn create(database: &Database) -> Result<()> {
    let overhead = Some(Overhead { pages: Some(0), ..Overhead::default() });
    set_version(database, Some(Totals { overhead, ..Totals::default() }))
}

fn begin(shared: &Shared, database: OpenFile, version: u64, opening: Opening) -> Result<Opened> {
    let (totals, backlog) = guarded(|| {
        // Without any one of the tables, nothing can be read.
        let txn = database.begin_read()?;
        drop((txn.open_table(NAMES)?, txn.open_table(CHANNELS)?));
        drop((txn.open_table(MESSAGES)?, txn.open_table(KEYS)?));
        drop(txn);
        if version < VERSION {
            set_version(&database, None)?;
        }
        let txn = database.begin_read()?;
        drop((txn.open_table(LIVES)?, txn.open_table(PRODUCERS)?, txn.open_table(FORKS)?));
        drop(txn);
        let mut totals = tables::totals(&database.begin_read()?.open_table(TOTALS)?)?;
        let before = totals;
        if totals.overhead.is_none() {
            totals.overhead = Some(count_overhead(&database)?);
        }
        let mut backlog = None;
        if opening != Opening::Again {
            (totals, backlog) = backlog::read(shared, &database, totals, opening == Opening::Alone)?;
            if totals.relaxed {
                // Messages that readers have seen may be lost, and their numbers will be used again.
                totals.losses += 1;
            }
            totals.relaxed = matches!(shared.options.durability, Durability::Interval(_));
        }
        if totals != before {
            write_totals(&database, &totals)?;
        }
        Ok((totals, backlog))
    })?;
    Ok(Opened { database, totals, backlog })
}

/// Notes, with the last write, that every visible message was committed.
pub(super) fn end(database: &Database, totals: &Totals) -> Result<()> {
    if !totals.relaxed {
        return Ok(());
    }
    guarded(|| write_totals(database, &Totals { relaxed: false, ..*totals }))
}

/// Creates the tables that are missing and sets the file's version to ours, before any row is written that earlier versions
/// cannot read. A new file also gets its totals.
fn set_version(database: &Database, totals: Option<Totals>) -> Result<()> {
    let txn = tables::begin_write(database)?;
    drop(Tables::open(&txn, database)?);
    tables::open(&txn, FORMAT)?.insert(POLL, VERSION)?;
    if let Some(totals) = totals {
        tables::open(&txn, TOTALS)?.insert((), totals.encode().as_slice())?;
    }
    Ok(txn.commit()?)
}

fn write_totals(database: &Database, totals: &Totals) -> Result<()> {
    let txn = tables::begin_write(database)?;
    tables::open(&txn, TOTALS)?.insert((), totals.encode().as_slice())?;
    Ok(txn.commit()?)
}

/// What the file holds besides messages, counted row by row. Only a file that an earlier version wrote needs this. Rows
/// that are damaged are not counted.
fn count_overhead(database: &Database) -> Result<Overhead> {
    let txn = database.begin_read()?;
    let mut overhead = Overhead::default();
    let counted = guarded(|| {
        for name in txn.open_table(NAMES)?.iter()? {
            overhead.channels += channel_weight(name?.0.value());
        }
        for key in txn.open_table(KEYS)?.iter()? {
            overhead.keys += key_row_weight(key?.1.value());
        }
        Ok(())
    });
    unless_damaged(counted)?;
    Ok(overhead)
}
