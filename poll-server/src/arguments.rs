//! Parses the arguments of a command that has flags of its own.
//!
//! What: what clap found, its help, or what is wrong in one line, as for the server's own flags.
//! Not here: any flag; the server's flags, which also come from the environment and a file (`config/typed.rs`).

use std::ffi::OsString;

use clap::{ArgMatches, Command};

/// What the arguments of a command are.
#[derive(Debug)]
pub(crate) enum Parsed {
    /// These values.
    Matches(ArgMatches),
    /// A request for help, and this is it.
    Help(String),
}

/// Parses the arguments behind the command's name.
///
/// # Errors
/// What is wrong with them, in one line.
pub(crate) fn parse(
    command: Command,
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<Parsed, String> {
    let name = OsString::from(format!("poll-server {}", command.get_name()));
    match command.try_get_matches_from(std::iter::once(name).chain(arguments)) {
        Ok(matches) => Ok(Parsed::Matches(matches)),
        Err(error) if !error.use_stderr() => Ok(Parsed::Help(error.render().to_string())),
        Err(error) => {
            let text = error.render().to_string();
            let first = text.lines().take_while(|line| !line.is_empty()).map(str::trim);
            let line = first.collect::<Vec<_>>().join(" ");
            Err(line.strip_prefix("error: ").unwrap_or(&line).to_owned())
        }
    }
}
