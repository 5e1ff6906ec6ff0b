//! Finds what is intact in a damaged journal, and reports it or exports it as lines that can be imported.
//!
//! The file's pages are read directly (`pages`), because redb refuses a file if a page that it needs is damaged, and after a
//! crash it needs all of them. Each row is judged by its own checksum, whatever page it is on. Where a page is too damaged
//! to find its rows, those of the previous commit are used as well. Nothing is written.

mod condition;
mod lives;
mod log;
mod pages;
mod survey;

use std::io;

use super::backup::{BackupError, ChannelRecord, LostRecord, MessageRecord, Record, Report};
use super::fault::OpenError;
use crate::environment::{Environment, Location};
pub use condition::Condition;
use pages::{Header, Pages};
use survey::{Content, Survey};

/// Checks the whole journal; `found` is called with a line for each finding.
///
/// # Errors
/// When the journal cannot be read at all, or a server has it open.
pub fn check(
    environment: &Environment,
    location: &dyn Location,
    found: impl FnMut(&str),
) -> Result<Condition, BackupError> {
    let (pages, header) = open(location)?;
    Survey::of(&pages, &header, location, environment, found)
        .map(|survey| survey.condition)
        .map_err(|what| damaged(location, what))
}

/// Passes everything that is intact to `take`, record by record, and a line for each finding to `found`. Lost messages keep
/// their numbers, so readers with a cursor learn how many they missed.
///
/// # Errors
/// When the journal cannot be read at all, a server has it open, or `take` fails.
pub fn salvage(
    environment: &Environment,
    location: &dyn Location,
    found: impl FnMut(&str),
    mut take: impl FnMut(&Record) -> io::Result<()>,
) -> Result<(Report, Condition), BackupError> {
    let (pages, header) = open(location)?;
    let survey =
        Survey::of(&pages, &header, location, environment, found).map_err(|what| damaged(location, what))?;
    let mut report = Report::default();
    let mut messages = survey.messages(&pages).peekable();
    for (id, channel) in &survey.channels {
        let record = ChannelRecord::of(&channel.row, channel.epoch, channel.oldest());
        let producers = channel.producers.iter().map(|(id, producer)| (id.clone(), *producer));
        let record = record.living(channel.life.as_ref(), producers);
        take(&Record::Channel(record)).map_err(BackupError::Io)?;
        report.channels += 1;
        let mut next = channel.oldest();
        // Skips messages whose channel is not known.
        while messages.peek().is_some_and(|(other, ..)| other < id) {
            messages.next();
        }
        while let Some((_, seq, content)) = messages.next_if(|(other, ..)| other == id) {
            let Content::Message(message) = content else { continue };
            if !channel.keeps(seq) {
                continue;
            }
            lost(&mut take, next, seq)?;
            let record = MessageRecord::of(&message)?;
            take(&Record::Message(record)).map_err(BackupError::Io)?;
            report.messages += 1;
            next = seq.saturating_add(1);
        }
        if channel.oldest() <= channel.row.newest {
            lost(&mut take, next, channel.row.newest.saturating_add(1))?;
        }
    }
    drop(messages);
    Ok((report, survey.condition))
}

/// Records the messages in `first..next` as lost, if there are any.
fn lost(take: &mut impl FnMut(&Record) -> io::Result<()>, first: u64, next: u64) -> Result<(), BackupError> {
    if first >= next {
        return Ok(());
    }
    let record = LostRecord { lost_from: first, lost_to: next - 1 };
    take(&Record::Lost(record)).map_err(BackupError::Io)
}

fn open(location: &dyn Location) -> Result<(Pages, Header), BackupError> {
    let name = location.name();
    let of =
        |error: io::Error| BackupError::Open(OpenError::of(&name, &redb::StorageError::Io(error).into()));
    let pages = Pages::open(location.open().map_err(of)?).map_err(of)?;
    let in_use = || BackupError::Open(OpenError::InUse(format!("{name} is in use by another server")));
    let pages = pages.ok_or_else(in_use)?;
    let header = pages.header().map_err(of)?;
    Ok((pages, header))
}

fn damaged(location: &dyn Location, what: &str) -> BackupError {
    BackupError::Open(OpenError::Damaged(format!("{}: {what}", location.name())))
}
