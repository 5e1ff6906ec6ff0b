//! `poll completions` and `poll man`: what a shell and `man` have to know of the command's arguments.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::{Shell, generate};
use clap_mangen::Man;
use poll_client::Error;

use crate::arguments::Arguments;
use crate::outcome::Done;

/// Prints a script that completes arguments.
pub(crate) fn complete(shell: Shell) -> Done {
    // Generating panics when its writer fails, so it writes to memory.
    let mut script = Vec::new();
    generate(shell, &mut Arguments::command(), "poll", &mut script);
    io::stdout().write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints a page of the manual: the command's, or that of one of its subcommands.
pub(crate) fn page(name: Option<&str>) -> Done {
    let mut whole = Arguments::command().disable_help_subcommand(true);
    whole.build();
    let page = match name {
        None => whole,
        Some(name) => match whole.find_subcommand(name) {
            Some(command) => command.clone(),
            None => return Err(Error::Usage(format!("there is no command {name:?}")).into()),
        },
    };
    Man::new(page).source(concat!("poll ", env!("CARGO_PKG_VERSION"))).render(&mut io::stdout())?;
    Ok(ExitCode::SUCCESS)
}
