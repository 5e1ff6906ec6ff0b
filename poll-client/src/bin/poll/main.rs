//! The `poll` command: publish to a channel, or watch one, from a terminal.
//!
//! Bad arguments exit with 64, other errors with 1, each with one line on stderr. A reader that closes the pipe
//! (`poll tail … | head -1`) is not an error.

mod arguments;
mod publish;
mod reader;
mod tail;

use std::error::Error;
use std::io::{self, Write};
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
    let done = match arguments.command {
        Command::Publish(publish) => publish::run(publish).await,
        Command::Tail(tail) => tail::run(tail).await,
    };
    match done {
        Err(error) if !is_broken_pipe(&*error) => complain(&*error),
        Ok(()) | Err(_) => ExitCode::SUCCESS,
    }
}

/// Prints help as it is, and an error in one line.
fn explain(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        drop(error.print());
    } else {
        let text = error.to_string();
        let fault: Vec<_> = text.lines().take_while(|line| !line.is_empty()).map(str::trim).collect();
        let fault = fault.join(" ");
        drop(writeln!(io::stderr(), "poll: {}", fault.strip_prefix("error: ").unwrap_or(&fault)));
    }
    if error.use_stderr() { ExitCode::from(BAD_ARGUMENTS) } else { ExitCode::SUCCESS }
}

/// Prints the error and its causes in one line.
fn complain(error: &(dyn Error + 'static)) -> ExitCode {
    let mut line = format!("poll: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        line = format!("{line}: {error}");
        cause = error.source();
    }
    // If stderr is closed as well, there is nothing left to do.
    drop(writeln!(io::stderr(), "{}", line.replace('\n', " ")));
    let is_usage = matches!(error.downcast_ref(), Some(poll_client::Error::Usage(_)));
    if is_usage { ExitCode::from(BAD_ARGUMENTS) } else { ExitCode::FAILURE }
}

fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref().is_some_and(|error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe)
}
