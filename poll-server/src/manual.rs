//! `poll-server completions` and `poll-server man`: what a shell and `man` have to know of the command line.
//!
//! What: all commands and flags as one tree, and what is made from it: a script for a shell, a page of the manual.
//! Why from the tree: a flag that is written down twice is two flags.
//! Not here: parsing (`config/typed.rs`, `arguments.rs`); where a package puts the pages.

use std::ffi::OsString;

use clap::builder::PossibleValuesParser;
use clap::{Arg, Command, value_parser};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::arguments::{self, Parsed};
use crate::config::{self, commands};
use crate::doctor::Doctor;
use crate::store_command::StoreCommand;
use crate::tokens;

/// What is made from the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManualCommand {
    /// A script that completes arguments in a shell.
    Completions,
    /// A page of the manual.
    Page,
}

impl ManualCommand {
    const ALL: [Self; 2] = [Self::Completions, Self::Page];

    /// The command that the first argument names, if any.
    pub fn named(argument: Option<&OsString>) -> Option<Self> {
        let argument = argument?;
        Self::ALL.into_iter().find(|command| argument == command.name())
    }

    /// What the command prints.
    ///
    /// # Errors
    /// What is wrong with the arguments behind its name, in one line.
    pub fn run(self, arguments: impl IntoIterator<Item = OsString>) -> Result<String, String> {
        let matches = match arguments::parse(self.command(), arguments)? {
            Parsed::Matches(matches) => matches,
            Parsed::Help(text) => return Ok(text),
        };
        // Generating a script panics when its writer fails, so it writes to memory.
        let mut text = Vec::new();
        match self {
            Self::Completions => {
                let shell = matches.get_one("shell").copied().unwrap_or(Shell::Bash);
                clap_complete::generate(shell, &mut whole(), "poll-server", &mut text);
            }
            Self::Page => {
                let command = matches.get_one::<String>("command").map(String::as_str);
                let source = concat!("poll ", env!("CARGO_PKG_VERSION"));
                Man::new(page(command))
                    .source(source)
                    .render(&mut text)
                    .map_err(|error| error.to_string())?;
            }
        }
        String::from_utf8(text).map_err(|error| error.to_string())
    }

    fn command(self) -> Command {
        let command = Command::new(self.name()).max_term_width(110);
        match self {
            Self::Completions => command
                .about("Prints a script that completes arguments in a shell")
                .after_help(
                    "For this shell, and for every new one:\n  source <(poll-server completions bash)\n  \
                     poll-server completions fish > ~/.config/fish/completions/poll-server.fish",
                )
                .arg(
                    Arg::new("shell")
                        .value_name("SHELL")
                        .required(true)
                        .value_parser(value_parser!(Shell))
                        .help("The shell"),
                ),
            Self::Page => command
                .about("Prints a page of the manual: the server's, or that of one of its commands")
                .after_help("poll-server man | man -l -")
                .arg(
                    Arg::new("command")
                        .value_name("COMMAND")
                        .value_parser(PossibleValuesParser::new(commands::names()))
                        .help("The command"),
                ),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Completions => "completions",
            Self::Page => "man",
        }
    }
}

/// The server with all its commands.
fn whole() -> Command {
    let server = config::command();
    let counts = |argument: &&Arg| ["config", "store"].contains(&argument.get_id().as_str());
    let counting: Vec<Arg> = server.get_arguments().filter(counts).cloned().collect();
    let examination = Doctor::command(server.get_arguments());
    let mut whole = server
        .disable_help_subcommand(true)
        .subcommands(StoreCommand::ALL.map(|command| of_the_store(command, &counting)))
        .subcommand(examination)
        .subcommand(tokens::command())
        .subcommands(ManualCommand::ALL.map(ManualCommand::command));
    whole.build();
    whole
}

/// A command for the store takes all flags of the server; those that count are here.
fn of_the_store(command: StoreCommand, counting: &[Arg]) -> Command {
    let description = command.description();
    let (usage, about) = description.split_once("\n\n").unwrap_or(("", description));
    Command::new(command.name())
        .about(commands::purpose(command.name()))
        .long_about(about.trim_end())
        .override_usage(usage)
        .args(counting)
}

/// The command that a page is about.
fn page(name: Option<&str>) -> Command {
    let whole = whole();
    let found = name.and_then(|name| whole.find_subcommand(name)).cloned();
    found.unwrap_or(whole)
}
