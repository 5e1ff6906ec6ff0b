//! `poll completions`: prints a script that completes the command's arguments in a shell.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use crate::arguments::Arguments;
use crate::outcome::Done;

pub(crate) fn run(shell: Shell) -> Done {
    // Generating panics when its writer fails, so it writes to memory.
    let mut script = Vec::new();
    generate(shell, &mut Arguments::command(), "poll", &mut script);
    io::stdout().write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}
