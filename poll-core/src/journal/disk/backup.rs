//! The journal as lines of JSON, out and in, while no server has it open.
//!
//! A channel comes as one line that says what it is, then one line a message. Going in again, channels keep
//! their epochs and messages their numbers, so cursors that readers hold stay good; an import that was broken
//! off goes on where it was. A line of golongpoll's persisted events is taken too: it becomes the next message
//! of its category.
//!
//! Not in it: idempotency keys, whose window is over in minutes.

mod import;
mod record;

use std::fmt;
use std::io;
use std::sync::Arc;

use redb::{Database, Error, ReadableDatabase, ReadableTable};

use super::codec::{Fault, decode_message};
use super::commit;
use super::fault::{OpenError, guarded, journal_error};
use super::format::{CHANNELS, MESSAGES, Result, Row, TOTALS};
use super::recovery::{self, Opening};
use super::stored_channel::{Place, all_of};
use super::synced_file::Medium;
use super::{Options, Progress, Shared};
pub use import::import;
pub use record::{ChannelRecord, EventRecord, LostRecord, MessageRecord, Record};

/// What went through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// Channels.
    pub channels: u64,
    /// Messages.
    pub messages: u64,
}

/// Why a backup was not made or taken. Displays as one line.
#[derive(Debug)]
pub enum BackupError {
    /// The journal cannot be opened.
    Open(OpenError),
    /// The journal failed on the way.
    Journal(String),
    /// A line, by its number from 1, is no record or does not fit what is there.
    Line(u64, String),
    /// The lines cannot be written or read.
    Io(io::Error),
}

impl fmt::Display for BackupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(error) => error.fmt(f),
            Self::Journal(error) => f.write_str(error),
            Self::Line(number, what) => write!(f, "line {number}: {what}"),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for BackupError {}

impl From<redb::Error> for BackupError {
    fn from(error: redb::Error) -> Self {
        Self::Journal(journal_error(&error).to_string())
    }
}

/// Gives all that is kept to `take`, one record after the other.
///
/// # Errors
/// When the journal cannot be read, or `take` fails.
pub fn export(
    medium: impl Medium,
    progress: impl Fn(Progress) + Send + Sync + 'static,
    mut take: impl FnMut(&Record) -> io::Result<()>,
) -> std::result::Result<Report, BackupError> {
    let (database, _) = open(medium, progress)?;
    let mut failed = None;
    let mut report = Report::default();
    let read = guarded(|| {
        each(&database, |record| {
            match &record {
                Record::Channel(_) => report.channels += 1,
                Record::Message(_) | Record::Event(_) => report.messages += 1,
                Record::Lost(_) => {}
            }
            failed = take(&record).err();
            failed.is_none()
        })
    });
    match failed {
        Some(error) => Err(BackupError::Io(error)),
        None => Ok(read.map(|()| report)?),
    }
}

/// Calls `take` with each record, for as long as it says so.
fn each(database: &Database, mut take: impl FnMut(Record) -> bool) -> Result<()> {
    let txn = database.begin_read()?;
    let losses = commit::totals(&txn.open_table(TOTALS)?)?.losses;
    let messages = txn.open_table(MESSAGES)?;
    for channel in txn.open_table(CHANNELS)?.iter()? {
        let (id, row) = channel?;
        let place = Place::of(&messages, id.value(), Row::decode(id.value(), row.value())?)?;
        let name = place.row.name.as_str();
        let broken = |seq: u64| Error::Corrupted(format!("message {seq} of channel {name:?} is damaged"));
        if let Some(&(seq, _)) = place.damaged.first() {
            return Err(broken(seq));
        }
        let (oldest, newest) = (place.oldest.0, place.row.newest);
        if !take(Record::Channel(ChannelRecord::of(&place.row, place.row.life(losses), oldest))) {
            return Ok(());
        }
        // What is known to be lost is told as such, and nothing else may be missing.
        let (mut lost, mut expected) = (None, oldest);
        for message in messages.range((place.id, oldest)..=*all_of(place.id).end())? {
            let (key, row) = message?;
            let seq = key.value().1;
            let message = match decode_message(place.id, seq, row.value()) {
                _ if seq != expected => return Err(broken(expected)),
                Err(Fault::Damaged(_)) => return Err(broken(seq)),
                Err(Fault::Lost) => None,
                Ok(message) => Some(MessageRecord::of(&message)?),
            };
            expected += 1;
            let Some(message) = message else {
                lost.get_or_insert(seq);
                continue;
            };
            let gap = lost.take().map(|lost_from| Record::Lost(LostRecord { lost_from, lost_to: seq - 1 }));
            if !gap.into_iter().chain([Record::Message(message)]).all(&mut take) {
                return Ok(());
            }
        }
        if oldest <= newest && expected <= newest {
            return Err(broken(expected));
        }
        if let Some(lost_from) = lost
            && !take(Record::Lost(LostRecord { lost_from, lost_to: newest }))
        {
            return Ok(());
        }
    }
    Ok(())
}

fn open(
    medium: impl Medium,
    progress: impl Fn(Progress) + Send + Sync + 'static,
) -> std::result::Result<(Database, super::format::Totals), BackupError> {
    let shared = Shared::new(Box::new(medium), Options::default(), Arc::new(progress));
    recovery::open(&shared, Opening::First).map_err(BackupError::Open)
}
