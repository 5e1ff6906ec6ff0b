//! Lines out: rows become records.

use std::io;

use redb::{Database, Error, ReadableDatabase, ReadableTable};

use super::error::{BackupError, Report};
use super::output::Output;
use super::record::Record;
use crate::environment::{Environment, Location};
use crate::journal::disk::codec::{Row, RowError, decode_message};
use crate::journal::disk::fault::guarded;
use crate::journal::disk::format::{CHANNELS, LIVES, MESSAGES, Result, TOTALS};
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
    take: impl FnMut(&Record) -> io::Result<()>,
) -> std::result::Result<Report, BackupError> {
    let alone = recovery::open_alone(environment, location, progress)?;
    let mut output = Output::new(take);
    let passed = guarded(|| pass(&alone.database, &mut output));
    output.end(passed)
}

/// Passes everything on. Messages known to be lost are exported as such; no others may be missing.
fn pass(database: &Database, output: &mut Output<impl FnMut(&Record) -> io::Result<()>>) -> Result<()> {
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
        let producers = lives::producers(&txn, stored.id)?;
        output.channel(&stored.row, (stored.row.visible_epoch(losses), oldest), life.as_ref(), producers)?;
        let mut expected = oldest;
        for message in messages.range((stored.id, oldest)..=*all_of(stored.id).end())? {
            let (key, row) = message?;
            let seq = key.value().1;
            match decode_message(stored.id, seq, row.value()) {
                _ if seq != expected => return Err(broken(expected)),
                Err(RowError::Damaged(_)) => return Err(broken(seq)),
                Err(RowError::Lost) => {}
                Ok(message) => output.message(&message)?,
            }
            expected += 1;
        }
        if expected <= newest {
            return Err(broken(expected));
        }
        output.lost_before(newest + 1)?;
    }
    Ok(())
}
