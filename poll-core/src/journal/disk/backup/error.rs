//! How an export or import ended.

use std::fmt;
use std::io;

use super::super::fault::journal_error;
use crate::journal::Fault;

/// How much was exported or imported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// Channels.
    pub channels: u64,
    /// Messages.
    pub messages: u64,
}

/// Why an export or import failed. Displays as one line.
#[derive(Debug)]
pub enum BackupError {
    /// The journal cannot be opened.
    Open(Fault),
    /// The journal failed half way.
    Journal(String),
    /// The line with this number, from 1, is no record or conflicts with the journal or the lines before it.
    Line(u64, String),
    /// Lines cannot be read or written.
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

impl From<Fault> for BackupError {
    fn from(fault: Fault) -> Self {
        Self::Open(fault)
    }
}

impl From<redb::Error> for BackupError {
    fn from(error: redb::Error) -> Self {
        Self::Journal(journal_error(&error).to_string())
    }
}
