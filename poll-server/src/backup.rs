//! `poll-server export` and `poll-server import`: the store as lines of JSON, while no server has it open.
//!
//! What: the two commands; their flags, environment and file are the server's, of which the store counts.
//! Why: a backup that any tool can read, a move to another store, and a way in for golongpoll's event files.
//! Not here: what a line says (poll-core).

use std::ffi::OsString;
use std::io::{self, BufRead, Write};

use poll_core::journal::disk::{self, Directory, Progress, Report};

use crate::config::{Config, StoreUrl};

/// Which way the lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backup {
    /// From the store to standard output.
    Export,
    /// From standard input into the store.
    Import,
}

impl Backup {
    /// The command that the first argument names, if it names one.
    pub fn named(argument: Option<&OsString>) -> Option<Self> {
        match argument?.to_str()? {
            "export" => Some(Self::Export),
            "import" => Some(Self::Import),
            _ => None,
        }
    }

    /// Runs it.
    ///
    /// # Errors
    /// Why it failed, as one line.
    pub fn run(self, config: &Config, lines: impl BufRead, out: impl Write) -> Result<Report, String> {
        let StoreUrl::Disk(path) = &config.store else {
            return Err("only a disk: store can be exported or imported".to_owned());
        };
        match self {
            Self::Export if !Directory::new(path).file().exists() => {
                Err(format!("there is no store at {}", path.display()))
            }
            Self::Export => export(path, out),
            Self::Import => {
                let report = disk::import(Directory::new(path), report, lines.lines());
                report.map_err(|error| error.to_string())
            }
        }
    }
}

fn export(path: &std::path::Path, out: impl Write) -> Result<Report, String> {
    let mut out = io::BufWriter::new(out);
    let exported = disk::export(Directory::new(path), report, |record| {
        out.write_all(record.to_line()?.as_bytes())?;
        out.write_all(b"\n")
    });
    let exported = exported.map_err(|error| error.to_string())?;
    out.flush().map_err(|error| error.to_string())?;
    Ok(exported)
}

fn report(progress: Progress) {
    if let Progress::Repairing(done) = progress {
        tracing::info!(
            "the last stop was not a clean one: the store is being repaired, {:.0} %",
            done * 100.0
        );
    }
}
