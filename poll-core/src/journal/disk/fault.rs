//! Errors of the journal's files, each with a line of text, and panics of redb, which count as damage.

use std::cell::Cell;
use std::fmt;
use std::io;

use redb::{Error, StorageError};

use crate::journal::{Fault, FaultKind};
use crate::types::JournalError;

/// Why the file of this name cannot be opened.
pub(super) fn open_fault(name: &str, error: &Error) -> Fault {
    let damaged = |what: &dyn fmt::Display| {
        Fault::new(FaultKind::Damaged, format!("{name} is damaged or not a journal: {what}"))
    };
    match error {
        Error::DatabaseAlreadyOpen => in_use(name),
        Error::UpgradeRequired(version) => {
            let why = format!("has version {version} of the file format, which this server does not read");
            Fault::new(FaultKind::Version, format!("{name} {why}"))
        }
        Error::Io(error) => match error.kind() {
            io::ErrorKind::WouldBlock => in_use(name),
            io::ErrorKind::PermissionDenied => {
                Fault::new(FaultKind::Failing, format!("{name} may not be opened: {error}"))
            }
            io::ErrorKind::ReadOnlyFilesystem => {
                let advice = "copy its directory to a disk that can be written, and use the copy";
                Fault::new(FaultKind::Failing, format!("{name} cannot be written: {error}; {advice}"))
            }
            _ if means_full(error) => {
                Fault::new(FaultKind::Full, format!("there is no room for {name}: {error}"))
            }
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => damaged(error),
            _ => Fault::new(FaultKind::Failing, format!("{name} cannot be used: {error}")),
        },
        error => damaged(&line(&error.to_string())),
    }
}

/// Why it cannot be opened again.
pub(super) fn reopen_fault(name: &str, error: &Error) -> Fault {
    use io::ErrorKind::{NotFound, StaleNetworkFileHandle};
    match error {
        Error::Io(error) if matches!(error.kind(), NotFound | StaleNetworkFileHandle) => {
            Fault::new(FaultKind::Gone, format!("{name} is gone: {error}"))
        }
        error => open_fault(name, error),
    }
}

pub(super) fn in_use(name: &str) -> Fault {
    Fault::new(FaultKind::InUse, format!("{name} is in use by another server"))
}

/// The error for a publisher or reader.
pub(super) fn journal_error(error: &Error) -> JournalError {
    match error {
        error if is_damage(error) => JournalError::Damaged(line(&error.to_string())),
        error => fault(error).error(),
    }
}

/// What the journal's health is after this.
pub(super) fn fault(error: &Error) -> Fault {
    let kind = match error {
        Error::Io(error) if means_full(error) => FaultKind::Full,
        error if is_damage(error) => FaultKind::Damaged,
        _ => FaultKind::Failing,
    };
    Fault::new(kind, line(&error.to_string()))
}

/// Whether what the file holds is wrong, and not that it cannot be read. Trying again does not help, and neither does
/// opening the file anew.
pub(super) fn is_damage(error: &Error) -> bool {
    matches!(
        error,
        Error::Corrupted(_)
            | Error::TableTypeMismatch { .. }
            | Error::TableIsMultimap(_)
            | Error::TypeDefinitionChanged { .. }
            | Error::TableDoesNotExist(_)
    )
}

fn means_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

fn line(text: &str) -> String {
    text.lines().next().unwrap_or("no reason given").to_owned()
}

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Whether the journal catches the panic that has just begun on this thread, and takes it for damage of its file. For a panic
/// hook, which asks once for each: a second one, in a destructor while the first unwinds, ends the process.
#[must_use]
pub fn catches_panics() -> bool {
    GUARDED.replace(false)
}

/// What `work` returns; `None` where it panicked.
pub(super) fn caught<T>(work: impl FnOnce() -> T) -> Option<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).ok()
}

/// Runs `work` on the database. What it panics with, on a page that no check covers, is damage like any other.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    let outer = GUARDED.replace(true);
    let done = caught(work);
    GUARDED.set(outer);
    done.unwrap_or_else(|| Err(Error::Corrupted("a page makes no sense".to_owned())))
}

pub(super) fn io_error(error: io::Error) -> Error {
    StorageError::Io(error).into()
}

/// The journal cannot be used.
pub(super) fn unavailable(why: &str) -> JournalError {
    JournalError::Unavailable(why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_is_damaged_is_not_one_that_fails() {
        let damaged = guarded(|| -> Result<(), Error> { panic!("of a corrupt page") }).unwrap_err();
        assert_eq!(fault(&damaged).kind, FaultKind::Damaged);
        let failed = io_error(io::Error::other("the disk failed"));
        assert_eq!(fault(&failed).kind, FaultKind::Failing);
    }

    #[test]
    fn what_makes_no_sense_is_damage_and_known_to_be_caught() {
        let inner = || {
            guarded(|| if catches_panics() { Ok(()) } else { Err(io_error(io::Error::other("not known"))) })
        };
        let done = guarded(|| {
            inner()?;
            if catches_panics() {
                assert!(catches_panics(), "a second one");
            }
            Ok(())
        });
        assert!(is_damage(&done.unwrap_err()));
        assert!(!catches_panics());
    }
}
