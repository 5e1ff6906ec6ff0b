//! Lines out: rows become records.

use std::io;

use redb::{Database, Error, ReadableDatabase, ReadableTable};

use super::error::{BackupError, Report};
use super::record::{ChannelRecord, LostRecord, MessageRecord, Record};
use crate::environment::{Environment, Location};
use crate::journal::disk::codec::{Fault, decode_message};
use crate::journal::disk::fault::guarded;
use crate::journal::disk::format::{CHANNELS, LIVES, MESSAGES, Result, Row, TOTALS};
use crate::journal::disk::options::Progress;
use crate::journal::disk::stored_channel::{StoredChannel, all_of};
use crate::journal::disk::{lives, recovery, tables};

/// Passes everything in the journal to `take`, record by record.
///
/// # Errors
/// When the journal cannot be read, or `take` fails.
pub fn export(
    environment: &Environment,
    location: impl Location,
    progress: impl Fn(Progress) + Send + Sync + 'static,
    mut take: impl FnMut(&Record) -> io::Result<()>,
) -> std::result::Result<Report, BackupError> {
    let (database, _) = recovery::open_alone(environment, location, progress)?;
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

/// Calls `take` with each record until it returns false.
fn each(database: &Database, mut take: impl FnMut(Record) -> bool) -> Result<()> {
    let txn = database.begin_read()?;
    let losses = tables::totals(&txn.open_table(TOTALS)?)?.losses;
    let (messages, lives) = (txn.open_table(MESSAGES)?, txn.open_table(LIVES)?);
    for channel in txn.open_table(CHANNELS)?.iter()? {
        let (id, row) = channel?;
        let stored = StoredChannel::of(&messages, id.value(), Row::decode(id.value(), row.value())?)?;
        let name = stored.row.name.as_str();
        let broken = |seq: u64| Error::Corrupted(format!("message {seq} of channel {name:?} is damaged"));
        if let Some(&(seq, _)) = stored.damaged.first() {
            return Err(broken(seq));
        }
        let (oldest, newest) = (stored.oldest.0, stored.row.newest);
        let life = lives.get(stored.id)?.map(|row| lives::life(stored.id, row.value())).transpose()?;
        let record = ChannelRecord::of(&stored.row, stored.row.life(losses), oldest);
        let record = record.living(life.as_ref(), lives::producers(&txn, stored.id)?);
        if !take(Record::Channel(record)) {
            return Ok(());
        }
        // Messages known to be lost are exported as such; no others may be missing.
        let (mut lost, mut expected) = (None, oldest);
        for message in messages.range((stored.id, oldest)..=*all_of(stored.id).end())? {
            let (key, row) = message?;
            let seq = key.value().1;
            let message = match decode_message(stored.id, seq, row.value()) {
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
