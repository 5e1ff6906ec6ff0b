//! What of a journal is whole: looked through and said, or taken out as lines that can be imported.
//!
//! The file is read below the database (`pages`), because that gives nothing of a file in which a page is damaged that it
//! needs, and after a crash it needs all of them. Rows are judged one by one by their checksums, whatever page they
//! stand on; where a page is so damaged that rows cannot be found in it, those of the commit before are looked for as
//! well. Nothing is written.

mod pages;
mod survey;

use std::io;

use super::backup::{BackupError, ChannelRecord, LostRecord, MessageRecord, Record, Report};
use super::fault::OpenError;
use super::synced_file::Medium;
use pages::{Header, Pages};
use survey::{Content, Survey};

/// What there is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Condition {
    /// Channels that are whole, at least as far as their name and number go.
    pub channels: u64,
    /// Messages that are whole.
    pub messages: u64,
    /// Damages found: channels, stretches of messages, idempotency keys.
    pub damages: u64,
    /// Pages of the file that are not what was written, whether or not what stands on them is whole.
    pub pages: u64,
    /// Whether a server can use the file as it is.
    pub opens: bool,
}

impl Condition {
    /// Whether nothing is damaged.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.damages == 0 && self.pages == 0
    }
}

/// Looks through all that is kept; `found` is called with a line for each damage.
///
/// # Errors
/// When the journal cannot be read at all, or a server has it open.
pub fn check(medium: &dyn Medium, found: impl FnMut(&str)) -> Result<Condition, BackupError> {
    let (pages, header) = open(medium)?;
    Survey::of(&pages, &header, found).map(|survey| survey.condition).map_err(|what| damaged(medium, what))
}

/// Gives all that is whole to `take`, one record after the other, and a line for each damage to `found`. What is lost in
/// between keeps its numbers, so that whoever has a cursor is told what it missed.
///
/// # Errors
/// When the journal cannot be read at all, a server has it open, or `take` fails.
pub fn salvage(
    medium: &dyn Medium,
    found: impl FnMut(&str),
    mut take: impl FnMut(&Record) -> io::Result<()>,
) -> Result<(Report, Condition), BackupError> {
    let (pages, header) = open(medium)?;
    let survey = Survey::of(&pages, &header, found).map_err(|what| damaged(medium, what))?;
    let mut report = Report::default();
    let mut messages = survey.messages(&pages).peekable();
    for (id, channel) in &survey.channels {
        take(&Record::Channel(ChannelRecord::of(&channel.row, channel.epoch, channel.oldest())))
            .map_err(BackupError::Io)?;
        report.channels += 1;
        let mut next = channel.oldest();
        // Of those before it the channel is not known.
        while messages.peek().is_some_and(|(other, ..)| other < id) {
            messages.next();
        }
        while let Some((_, seq, content)) = messages.next_if(|(other, ..)| other == id) {
            let Content::Message(message) = content else { continue };
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

/// Says that the messages from `first` on, before `next`, are lost, if there are any.
fn lost(take: &mut impl FnMut(&Record) -> io::Result<()>, first: u64, next: u64) -> Result<(), BackupError> {
    if first >= next {
        return Ok(());
    }
    let record = LostRecord { lost_from: first, lost_to: next - 1 };
    take(&Record::Lost(record)).map_err(BackupError::Io)
}

fn open(medium: &dyn Medium) -> Result<(Pages, Header), BackupError> {
    let place = medium.name();
    let of =
        |error: io::Error| BackupError::Open(OpenError::of(&place, &redb::StorageError::Io(error).into()));
    let pages = Pages::open(medium.open().map_err(of)?).map_err(of)?;
    let in_use = || BackupError::Open(OpenError::InUse(format!("{place} is in use by another server")));
    let pages = pages.ok_or_else(in_use)?;
    let header = pages.header().map_err(of)?;
    Ok((pages, header))
}

fn damaged(medium: &dyn Medium, what: &str) -> BackupError {
    BackupError::Open(OpenError::Damaged(format!("{}: {what}", medium.name())))
}
