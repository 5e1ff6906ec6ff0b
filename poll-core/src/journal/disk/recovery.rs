//! Opening the file: repairing what a crash left, checking that it is ours, taking up the totals.

use std::io;

use redb::{Builder, Database, ReadableDatabase, TableError};

use super::commit;
use super::fault::{OpenError, guarded, guarded_open, io_error};
use super::format::{
    Beside, CHANNELS, FORMAT, KEYS, MESSAGES, NAMES, OLDEST_VERSION, POLL, Result, TOTALS, Totals, VERSION,
};
use super::synced_file::Watched;
use super::{Compact, Durability, Progress, Shared};

/// Whether memory knows what an earlier commit showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opening {
    /// The process has just begun.
    First,
    /// The file was open before, and everything that readers saw is in memory or in the file.
    Again,
}

/// Opens the file; at the beginning, makes it.
pub(super) fn open(shared: &Shared, opening: Opening) -> std::result::Result<(Database, Totals), OpenError> {
    let place = shared.medium.name();
    let opened = open_database(shared, opening);
    let mut database = opened.map_err(|error| match opening {
        Opening::First => OpenError::of(&place, &error),
        Opening::Again => OpenError::again(&place, &error),
    })?;
    let checked = guarded(|| {
        if opening == Opening::First && shared.options.compact == Compact::AtOpen {
            (shared.progress)(Progress::Compacting);
            while database.compact()? {}
        }
        check(&database)
    });
    match checked.map_err(|error| OpenError::of(&place, &error))? {
        Content::Nothing if opening == Opening::First => {}
        Content::Nothing => return Err(OpenError::Gone(format!("{place} was emptied"))),
        Content::Ours => {
            return begin(shared, database, opening).map_err(|error| OpenError::of(&place, &error));
        }
        Content::Version(version) => {
            return Err(OpenError::Version(format!(
                "{place} has format version {version}, but this server reads and writes version {VERSION}"
            )));
        }
        Content::Strange => {
            return Err(OpenError::Damaged(format!(
                "{place} is a database, but not a journal of this server"
            )));
        }
    }
    guarded(|| create(&database))
        .and_then(|()| begin(shared, database, opening))
        .map_err(|error| OpenError::of(&place, &error))
}

fn open_database(shared: &Shared, opening: Opening) -> Result<Database> {
    let storage = match opening {
        Opening::First => shared.medium.open(),
        Opening::Again => shared.medium.reopen().and_then(|storage| match storage.len()? {
            0 => Err(io::Error::new(io::ErrorKind::NotFound, "it was emptied")),
            _ => Ok(storage),
        }),
    };
    let storage = storage.map_err(io_error)?;
    let watched = Watched::new(storage, &shared.watch);
    let mut builder = Builder::new();
    builder.set_cache_size(shared.options.cache_bytes);
    let (progress, inbox) = (shared.progress.clone(), shared.inbox.clone());
    builder.set_repair_callback(move |session| {
        progress(Progress::Repairing(session.progress()));
        if inbox.is_closed() {
            session.abort();
        }
    });
    guarded_open(|| builder.create_with_backend(watched))
}

enum Content {
    Nothing,
    Ours,
    Version(u64),
    Strange,
}

fn check(database: &Database) -> Result<Content> {
    let txn = database.begin_read()?;
    let format = match txn.open_table(FORMAT) {
        Ok(format) => format,
        Err(TableError::TableDoesNotExist(_)) => {
            let is_new = txn.list_tables()?.next().is_none() && txn.list_multimap_tables()?.next().is_none();
            return Ok(if is_new { Content::Nothing } else { Content::Strange });
        }
        Err(TableError::Storage(error)) => return Err(error.into()),
        Err(_) => return Ok(Content::Strange),
    };
    Ok(match format.get(POLL)?.map(|version| version.value()) {
        Some(OLDEST_VERSION..=VERSION) => Content::Ours,
        Some(version) => Content::Version(version),
        None => Content::Strange,
    })
}

fn create(database: &Database) -> Result<()> {
    let txn = database.begin_write()?;
    txn.open_table(FORMAT)?.insert(POLL, VERSION)?;
    let nothing =
        Totals { beside: Some(Beside { pages: Some(0), ..Beside::default() }), ..Totals::default() };
    txn.open_table(TOTALS)?.insert((), nothing.encode().as_slice())?;
    txn.open_table(NAMES)?;
    txn.open_table(CHANNELS)?;
    txn.open_table(MESSAGES)?;
    txn.open_table(KEYS)?;
    Ok(txn.commit()?)
}

fn begin(shared: &Shared, database: Database, opening: Opening) -> Result<(Database, Totals)> {
    let totals = guarded(|| {
        // Where one of them cannot be reached, nothing can be read.
        let txn = database.begin_read()?;
        drop((txn.open_table(NAMES)?, txn.open_table(CHANNELS)?));
        drop((txn.open_table(MESSAGES)?, txn.open_table(KEYS)?));
        drop(txn);
        take_over(&database)?;
        let mut totals = commit::totals(&database.begin_read()?.open_table(TOTALS)?)?;
        let before = totals;
        if totals.beside.is_none() {
            totals.beside = Some(commit::count_beside(&database)?);
        }
        if opening == Opening::First {
            if totals.loose {
                // Messages that readers saw may be lost, and their numbers would be given out again.
                totals.losses += 1;
            }
            totals.loose = matches!(shared.options.durability, Durability::Interval(_));
        }
        if totals != before {
            write_totals(&database, &totals)?;
        }
        Ok(totals)
    })?;
    Ok((database, totals))
}

/// Says that nothing was shown that is not kept, as the last that is written.
pub(super) fn end(database: &Database, totals: &Totals) -> Result<()> {
    if !totals.loose {
        return Ok(());
    }
    guarded(|| write_totals(database, &Totals { loose: false, ..*totals }))
}

/// Says that this version has written, before it writes rows that others do not read.
fn take_over(database: &Database) -> Result<()> {
    let version = database.begin_read()?.open_table(FORMAT)?.get(POLL)?.map(|version| version.value());
    if version == Some(VERSION) {
        return Ok(());
    }
    let txn = database.begin_write()?;
    txn.open_table(FORMAT)?.insert(POLL, VERSION)?;
    Ok(txn.commit()?)
}

fn write_totals(database: &Database, totals: &Totals) -> Result<()> {
    let txn = database.begin_write()?;
    txn.open_table(TOTALS)?.insert((), totals.encode().as_slice())?;
    Ok(txn.commit()?)
}
