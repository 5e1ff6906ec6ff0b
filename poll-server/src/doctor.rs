//! `poll-server doctor`: what of this machine, and of a proxy in front, does not suit the configuration.
//!
//! | file | what it looks at |
//! | --- | --- |
//! | `finding` | nothing: what a line says |
//! | `machine` | the machine: limits, memory, cores |
//! | `settings` | the settings against the machine |
//! | `disk` | how long the store's disk takes to keep something, and its room |
//! | `clock` | whether the clock is synchronised, and whether it jumps |
//! | `proxy` | what is in front, through which it reads |
//!
//! Why: what goes wrong there looks like a fault of the server, and is found at three in the morning.
//! Not here: mistakes in the configuration, which `--check` and every start report.

mod clock;
mod disk;
mod finding;
mod machine;
mod proxy;
mod settings;

use std::ffi::OsString;
use std::io::{self, Write};

use clap::Arg;
use http::Uri;
use poll_core::environment::Environment;

use self::clock::Clock;
pub use self::finding::{Finding, Verdict};
use self::machine::Machine;
use crate::config::{Config, commands};

/// What the command line asks for beside the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Doctor {
    /// Where clients reach the server, if that is to be looked at.
    url: Option<Uri>,
}

/// The name of the command.
pub(crate) const NAME: &str = "doctor";
const ABOUT: &str = "Looks at this machine, the store's disk and the clock, and whether the configuration suits them: a line each, \
                     with\nok, warning or fault, and what to change. With --url it reads through the proxy in front as well, \
                     for as long as\n--max-poll-seconds: does it buffer, and where does it cut?\n\nRun it as the server's user \
                     and under its limits. Exits with 0, with 2 if there is a fault, and with 64 if the\nconfiguration has a \
                     mistake.";
const URL: &str = "where clients reach the running server: http or https";

impl Doctor {
    /// Takes the command's name and its own flag out of the arguments, whose rest is the server's; `None` if they name
    /// another command.
    ///
    /// # Errors
    /// What is wrong with the flag, in one line.
    pub fn take(arguments: &mut Vec<OsString>) -> Result<Option<Self>, String> {
        if arguments.first().is_none_or(|argument| argument != NAME) {
            return Ok(None);
        }
        arguments.remove(0);
        let is_url =
            |word: &OsString| word.to_str().is_some_and(|word| word == "--url" || word.starts_with("--url="));
        let Some(at) = arguments.iter().position(is_url) else { return Ok(Some(Self::default())) };
        let word = arguments.remove(at).to_string_lossy().into_owned();
        let text = match word.split_once('=') {
            Some((_, text)) => text.to_owned(),
            None if at < arguments.len() => arguments.remove(at).to_string_lossy().into_owned(),
            None => return Err("--url: a URL is needed".to_owned()),
        };
        match text.parse::<Uri>() {
            Ok(url) if matches!(url.scheme_str(), Some("http" | "https")) => {
                Ok(Some(Self { url: Some(url) }))
            }
            _ => Err(format!("--url: {text:?} is no URL with http or https")),
        }
    }

    /// The help of the command, if one of its arguments asks for it.
    pub fn help(arguments: &[OsString]) -> Option<String> {
        let asks = arguments.iter().any(|argument| argument == "--help" || argument == "-h");
        asks.then(|| {
            format!(
                "poll-server doctor [--url URL] [FLAGS]\n\n{ABOUT}\n\n  --url <URL>  {URL}\n\nFlags, environment and file are \
                 those of `poll-server` (see `poll-server --help`).\n"
            )
        })
    }

    /// The command with its flags and those of the server.
    pub(crate) fn command<'a>(settings: impl Iterator<Item = &'a Arg>) -> clap::Command {
        clap::Command::new(NAME)
            .about(commands::purpose(NAME))
            .long_about(ABOUT)
            .override_usage("poll-server doctor [--url URL] [FLAGS]")
            .arg(Arg::new("url").long("url").value_name("URL").help(URL))
            .args(settings.filter(|argument| argument.get_id() != "check").cloned())
    }

    /// Looks at everything, and writes a line for each thing as soon as it is known. The worst of them is what it returns.
    ///
    /// # Errors
    /// If a line cannot be written.
    pub async fn run(
        &self,
        environment: &Environment,
        config: &Config,
        out: &mut impl Write,
    ) -> io::Result<Verdict> {
        let mut worst = Verdict::Fine;
        let mut tell = |findings: Vec<Finding>| {
            findings.iter().try_for_each(|finding| {
                worst = worst.max(finding.verdict);
                writeln!(out, "{finding}")
            })
        };
        let clock = Clock::start(environment);
        tell(settings::warnings(config))?;
        tell(settings::check(&Machine::read(environment), config))?;
        tell(disk::check(environment, config))?;
        tell(vec![clock::synchronised()])?;
        if let Some(url) = &self.url {
            tell(proxy::check(environment, url, config).await)?;
        }
        tell(vec![clock.jumped(environment)])?;
        Ok(worst)
    }
}
