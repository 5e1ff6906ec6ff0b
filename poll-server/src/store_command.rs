//! Commands for a store that no server has open.
//!
//! What: `export` and `import` as lines of JSON, `check`, and `salvage`, which exports what is intact. They take the server's
//! flags, environment and file, of which only the store counts.
//! Why: a backup that any tool can read, a way to another store, a way in for golongpoll's event files, and a way out of a
//! damaged file.
//! Not here: what a line says and what is intact (poll-core).

use std::ffi::OsString;
use std::io::{self, BufRead, Write};
use std::time::Duration;

use poll_core::environment::{Directory, Environment};
use poll_core::journal::disk::{self, BackupError, Condition, Progress, Record, Report};

use crate::config::{Config, StoreUrl};
use crate::counted::counted;
use crate::store_opening::log_repair;

/// What to do with the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreCommand {
    /// Write the store to standard output.
    Export,
    /// Read standard input into the store.
    Import,
    /// Check the whole store.
    Check,
    /// Write what is intact to standard output.
    Salvage,
}

/// How a command ended if it did not fail.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    /// This was exported or imported.
    Moved(Moved),
    /// Everything is intact.
    Whole,
    /// Something is damaged, and was reported.
    Damaged,
}

/// How much was exported or imported.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moved {
    /// Channels and messages.
    pub report: Report,
    /// Size of the lines, without what ends them.
    pub bytes: u64,
    /// How long it took.
    pub took: Duration,
}

/// The end of every command's help.
const FLAGS: &str = "Flags, environment and file are those of `poll-server` (see `poll-server --help`), of which --store counts.\n\
                     No server may have the store open.\n";

impl StoreCommand {
    /// All of them, in the order of `--help`.
    pub(crate) const ALL: [Self; 4] = [Self::Export, Self::Import, Self::Check, Self::Salvage];

    /// The command that the first argument names, if any.
    pub fn named(argument: Option<&OsString>) -> Option<Self> {
        let argument = argument?;
        Self::ALL.into_iter().find(|command| argument == command.name())
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Export => "export",
            Self::Import => "import",
            Self::Check => "check",
            Self::Salvage => "salvage",
        }
    }

    /// The help of the command, if one of its arguments asks for it.
    pub fn help(self, arguments: &[OsString]) -> Option<String> {
        let asks = |argument: &OsString| argument == "--help" || argument == "-h";
        arguments.iter().any(asks).then(|| format!("{}\n{FLAGS}", self.description()))
    }

    /// How to call it, an empty line, and what it does.
    pub(crate) fn description(self) -> &'static str {
        match self {
            Self::Export => {
                "poll-server export [FLAGS] > FILE\n\nWrites all that is kept to standard output, as lines of JSON: a line a \
                 channel, then one a message.\nA store that is damaged is not exported; see `poll-server salvage --help`.\n"
            }
            Self::Import => {
                "poll-server import [FLAGS] < FILE\n\nReads what `poll-server export` and `poll-server salvage` wrote into a \
                 store, which is made if there is none.\nMessages keep their numbers and cursors; those that are there are passed \
                 over. golongpoll's event files are read too; their events have no numbers, and are added each time.\n"
            }
            Self::Check => {
                "poll-server check [FLAGS]\n\nLooks through all of the store and changes nothing. Writes a line for each damage, \
                 then what is whole.\nExits with 0 if everything is whole, with 2 if something is damaged, and with 1 if the store \
                 cannot be looked through.\n"
            }
            Self::Salvage => {
                "poll-server salvage [FLAGS] > FILE\n\nWrites all that is whole to standard output, as `poll-server export` does, \
                 also of a file that the server refuses,\nand changes nothing. What is damaged goes to the log. Put it into a new \
                 store with `poll-server import`: messages keep\ntheir numbers and cursors, and readers are told how many they \
                 missed.\n"
            }
        }
    }

    /// Runs the command.
    ///
    /// # Errors
    /// Why the command failed, as one line.
    pub fn run(self, config: &Config, lines: impl BufRead, mut out: impl Write) -> Result<Outcome, String> {
        let StoreUrl::Disk(path) = &config.store else {
            return Err("only a disk: store can be exported, imported, checked or salvaged".to_owned());
        };
        let environment = Environment::system();
        let place = match self {
            Self::Export | Self::Import => Directory::new(path),
            Self::Check | Self::Salvage => Directory::read_only(path),
        };
        if self != Self::Import && !place.file().exists() {
            return Err(format!("there is no store at {}", path.display()));
        }
        let (begun, mut bytes) = (environment.now(), 0);
        let done = match self {
            Self::Check => return check(&environment, &place, &mut out).map_err(|error| error.to_string()),
            Self::Export => written(out, &mut bytes, |take| disk::export(&environment, place, report, take)),
            Self::Import => disk::import(&environment, place, report, counting(lines, &mut bytes)),
            Self::Salvage => {
                let found = |damage: &str| tracing::error!(damage, "damaged: {damage}");
                written(out, &mut bytes, |take| disk::salvage(&environment, &place, found, take))
                    .map(|(taken, _)| taken)
            }
        };
        let report = done.map_err(|error| error.to_string())?;
        let took = environment.now().as_micros().saturating_sub(begun.as_micros());
        Ok(Outcome::Moved(Moved { report, bytes, took: Duration::from_micros(took) }))
    }

    /// Logs what was exported or imported.
    pub fn log(self, moved: Moved) {
        let Moved { report: Report { channels, messages }, bytes, took } = moved;
        let (seconds, did) = (took.as_secs_f64(), if self == Self::Import { "imported" } else { "exported" });
        let (of_channels, of_messages) = (counted(channels, "channel"), counted(messages, "message"));
        tracing::info!(
            channels,
            messages,
            bytes,
            seconds,
            "{did} {of_channels} with {of_messages}: {} in {took:.1?}",
            counted(bytes, "byte")
        );
    }
}

/// Reads lines, and counts their bytes.
fn counting(lines: impl BufRead, bytes: &mut u64) -> impl Iterator<Item = io::Result<String>> {
    lines.lines().inspect(|line| *bytes += line.as_ref().map_or(0, |line| line.len() as u64))
}

/// Writes the records that `give` passes on, one a line, and counts their bytes.
fn written<T>(
    out: impl Write,
    bytes: &mut u64,
    give: impl FnOnce(&mut dyn FnMut(&Record) -> io::Result<()>) -> Result<T, BackupError>,
) -> Result<T, BackupError> {
    let mut out = io::BufWriter::new(out);
    let given = give(&mut |record| {
        let line = record.to_line()?;
        *bytes += line.len() as u64;
        out.write_all(line.as_bytes())?;
        out.write_all(b"\n")
    })?;
    out.flush().map_err(BackupError::Io)?;
    Ok(given)
}

fn check(environment: &Environment, place: &Directory, out: &mut impl Write) -> Result<Outcome, BackupError> {
    let mut failed = None;
    let found = |line: &str| failed = writeln!(out, "damaged: {line}").err().or(failed.take());
    let Condition { channels, messages, damages, pages, opens } = disk::check(environment, place, found)?;
    let whole = format!("whole: {channels} channels with {messages} messages");
    let is_whole = damages == 0 && pages == 0;
    let told = match (is_whole, opens) {
        (true, _) => writeln!(out, "{whole}; nothing is damaged"),
        (false, true) => writeln!(out, "{whole}; {pages} pages of the file are damaged; a server can use it"),
        (false, false) => writeln!(
            out,
            "{whole}; {pages} pages of the file are damaged; a server refuses it: use poll-server salvage"
        ),
    };
    match failed.or(told.err()) {
        Some(error) => Err(BackupError::Io(error)),
        None => Ok(if is_whole { Outcome::Whole } else { Outcome::Damaged }),
    }
}

fn report(progress: Progress) {
    if let Progress::Repairing(done) = progress {
        log_repair(done);
    }
}
