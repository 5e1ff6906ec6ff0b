//! The `poll` command: publish to channels, watch them and who is present, report a command's progress, and administer them.
//!
//! Bad arguments exit with 64, other errors with 1, each with one line on stderr. A reader that closes the pipe
//! (`poll tail … | head -1`) is not an error. `poll job NAME -- COMMAND` exits as the command does.

mod admin;
mod arguments;
mod format;
mod input;
mod job;
mod manual;
mod notices;
mod outcome;
mod presence;
mod publish;
mod reader;
mod table;
mod tail;

use std::error::Error;
use std::io;
use std::process::ExitCode;

use arguments::{Arguments, Command};
use clap::Parser;
use clap::error::ErrorKind;

/// `EX_USAGE` of sysexits.h.
const BAD_ARGUMENTS: u8 = 64;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return explain(&error),
    };
    let server = &arguments.server;
    let done = match arguments.command {
        Command::Publish(publish) => publish::run(server, &publish).await,
        Command::Tail(tail) => tail::run(server, &tail).await,
        Command::Job(job) => job::run(server, &job).await,
        Command::Presence(presence) => presence::run(server, &presence).await,
        Command::Admin(admin) => admin::run(server, &admin).await,
        Command::Completions { shell } => manual::complete(shell),
        Command::Man { command } => manual::page(&command),
    };
    match done {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => complain(&*error),
    }
}

/// Prints help as it is, and an error in one line, with what may have been meant.
fn explain(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        drop(error.print());
    } else {
        notices::say(&one_line(&error.to_string()));
    }
    if error.use_stderr() { ExitCode::from(BAD_ARGUMENTS) } else { ExitCode::SUCCESS }
}

/// The fault and the tips of an error of several paragraphs, which end with the usage.
fn one_line(error: &str) -> String {
    let paragraphs = error.split("\n\n").map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "));
    let mut parts: Vec<_> = paragraphs
        .enumerate()
        .filter(|(index, text)| *index == 0 || text.starts_with("tip: "))
        .map(|(_, text)| text.trim_start_matches("error: ").trim_start_matches("tip: ").to_owned())
        .collect();
    let fault = parts.remove(0);
    parts.iter().fold(fault, |line, tip| format!("{line}; {tip}"))
}

/// Prints the error and its causes in one line.
fn complain(error: &(dyn Error + 'static)) -> ExitCode {
    notices::say(&notices::chain(error));
    let is_usage = matches!(error.downcast_ref(), Some(poll_client::Error::Usage(_)));
    if is_usage { ExitCode::from(BAD_ARGUMENTS) } else { ExitCode::FAILURE }
}

fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref().is_some_and(|error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_is_one_line_with_what_was_meant() {
        let line =
            |arguments: &[&str]| one_line(&Arguments::try_parse_from(arguments).unwrap_err().to_string());
        for (arguments, expected) in [
            (
                &["poll", "tial", "a"][..],
                "unrecognized subcommand 'tial'; a similar subcommand exists: 'tail'",
            ),
            (
                &["poll", "tail", "a", "--patern", "long"],
                "unexpected argument '--patern' found; a similar argument exists: '--pattern'",
            ),
            (
                &["poll", "tail", "a", "--pattern", "lnog"],
                "invalid value 'lnog' for '--pattern <PATTERN>' [possible values: short, long, stream, sse, push]; \
                 a similar value exists: 'long'",
            ),
        ] {
            assert_eq!(line(arguments), expected);
        }
    }
}
