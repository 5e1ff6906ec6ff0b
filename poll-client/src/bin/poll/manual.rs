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

/// Prints a page of the manual: the command's, or that of one of its subcommands, at any depth.
pub(crate) fn page(names: &[String]) -> Done {
    let mut whole = Arguments::command().disable_help_subcommand(true);
    whole.build();
    let mut page = &whole;
    for name in names {
        let found = page.find_subcommand(name);
        page = found.ok_or_else(|| Error::Usage(format!("there is no command {:?}", names.join(" "))))?;
    }
    let man = Man::new(page.clone()).source(concat!("poll ", env!("CARGO_PKG_VERSION")));
    man.render(&mut io::stdout())?;
    Ok(ExitCode::SUCCESS)
}
