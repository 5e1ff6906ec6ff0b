//! Errors of the journal's files, each with a line of text, and panics of redb, which count as damage.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::panic::PanicHookInfo;
use std::sync::Arc;

use redb::{Error, StorageError};

use crate::environment::Location;
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

/// Why a file that crashed an earlier process is not opened; `None` if it did not.
pub(super) fn noted_fault(location: &dyn Location) -> Option<Fault> {
    let why = match location.noted_panic() {
        Ok(note) => note?,
        Err(error) => return Some(open_fault(&location.name(), &io_error(error))),
    };
    let what = format!("{} is damaged and crashed an earlier process: {}", location.name(), line(&why));
    Some(Fault::new(FaultKind::Damaged, what))
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
    static GUARD: RefCell<Guard> = const { RefCell::new(Guard::Off) };
    static LOCATION: RefCell<Option<Arc<dyn Location>>> = const { RefCell::new(None) };
}

/// Whether this thread works on the database.
enum Guard {
    Off,
    On,
    /// A panic with this message is unwinding.
    Unwinding(String),
}

/// What becomes of a panic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Panicked {
    /// It is none of the journal's.
    Elsewhere,
    /// The journal catches it, and takes it for damage of its file.
    Caught,
    /// It began in a destructor while a panic that the journal would catch was unwinding, and nothing can catch two at once.
    /// The process aborts. The journal's location has a note of it, so that the next start refuses the file instead of
    /// crashing in the same way. This is the message of the first panic.
    EndsProcess(String),
}

/// Takes note of a panic that has just begun on this thread. To be called by the panic hook of the process, once for each.
pub fn on_panic(panic: &PanicHookInfo<'_>) -> Panicked {
    panicked(|| panic.to_string().lines().collect::<Vec<_>>().join(" "))
}

fn panicked(message: impl FnOnce() -> String) -> Panicked {
    // It may be gone at the end of a thread.
    let first = match GUARD.try_with(|guard| guard.replace(Guard::Off)).unwrap_or(Guard::Off) {
        Guard::Off => return Panicked::Elsewhere,
        Guard::On => {
            GUARD.set(Guard::Unwinding(message()));
            return Panicked::Caught;
        }
        Guard::Unwinding(first) => first,
    };
    LOCATION.with_borrow(|location| {
        if let Some(location) = location {
            // Without the note, the next start tries once more.
            drop(location.note_panic(&first));
        }
    });
    Panicked::EndsProcess(first)
}

/// What `work` on the journal at a location returns; `None` where it panicked.
pub(super) fn caught<T>(location: &Arc<dyn Location>, work: impl FnOnce() -> T) -> Option<T> {
    let _at = At::new(location);
    catch(work)
}

/// Works at a location on this thread, until it is dropped.
pub(super) struct At {
    outer: Option<Arc<dyn Location>>,
}

impl At {
    pub(super) fn new(location: &Arc<dyn Location>) -> Self {
        Self { outer: LOCATION.replace(Some(location.clone())) }
    }
}

impl Drop for At {
    fn drop(&mut self) {
        LOCATION.set(self.outer.take());
    }
}

/// Runs `work` on the database. What it panics with, on a page that no check covers, is damage like any other.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    let outer = GUARD.replace(Guard::On);
    let done = catch(work);
    GUARD.set(outer);
    done.unwrap_or_else(|| Err(Error::Corrupted("a page makes no sense".to_owned())))
}

fn catch<T>(work: impl FnOnce() -> T) -> Option<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).ok()
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
        let panics = |message: &str| panicked(|| message.to_owned());
        let inner = || {
            assert_eq!(panics("inner"), Panicked::Caught);
            guarded(|| {
                assert_eq!(panics("in a destructor that catches it"), Panicked::Caught);
                Ok(())
            })
        };
        let done: Result<(), Error> = guarded(|| {
            guarded(inner)?;
            assert_eq!(panics("outer"), Panicked::Caught);
            assert_eq!(panics("in a destructor"), Panicked::EndsProcess("outer".to_owned()));
            panic!("of a corrupt page")
        });
        assert!(is_damage(&done.unwrap_err()));
        assert_eq!(panics("later"), Panicked::Elsewhere);
    }
}
