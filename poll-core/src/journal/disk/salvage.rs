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

use super::backup::{BackupError, Output, Record, Report};
use super::fault::{in_use, io_error, open_fault};
use super::format;
use crate::environment::{Environment, Location};
use crate::journal::{Fault, FaultKind};
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
    take: impl FnMut(&Record) -> io::Result<()>,
) -> Result<(Report, Condition), BackupError> {
    let (pages, header) = open(location)?;
    let survey =
        Survey::of(&pages, &header, location, environment, found).map_err(|what| damaged(location, what))?;
    let mut output = Output::new(take);
    let passed = pass(&survey, &pages, &mut output);
    Ok((output.end(passed)?, survey.condition))
}

fn pass(
    survey: &Survey,
    pages: &Pages,
    output: &mut Output<impl FnMut(&Record) -> io::Result<()>>,
) -> format::Result<()> {
    let mut messages = survey.messages(pages).peekable();
    for (id, channel) in &survey.channels {
        let producers = channel.producers.iter().map(|(id, producer)| (id.clone(), *producer));
        output.channel(&channel.row, (channel.epoch, channel.oldest()), channel.life.as_ref(), producers)?;
        // Skips messages whose channel is not known.
        while messages.peek().is_some_and(|(other, ..)| other < id) {
            messages.next();
        }
        while let Some((_, seq, content)) = messages.next_if(|(other, ..)| other == id) {
            if let Content::Message(message) = content
                && channel.keeps(seq)
            {
                output.message(&message)?;
            }
        }
        output.lost_before(channel.row.newest.saturating_add(1))?;
    }
    Ok(())
}

fn open(location: &dyn Location) -> Result<(Pages, Header), BackupError> {
    let name = location.name();
    let of = |error: io::Error| open_fault(&name, &io_error(error));
    let pages = Pages::open(location.open().map_err(of)?).map_err(of)?;
    let pages = pages.ok_or_else(|| in_use(&name))?;
    let header = pages.header().map_err(of)?;
    Ok((pages, header))
}

fn damaged(location: &dyn Location, what: &str) -> BackupError {
    Fault::new(FaultKind::Damaged, format!("{}: {what}", location.name())).into()
}
