//! The configuration as typed: which source gave which text, before anyone asks what it means.
//!
//! What: flag beats environment beats file, for every row of `settings.rs` alike; a repeatable setting is
//! read as a whole from the strongest source that has it.
//! Why: one rule for all settings, and faults that name the place to mend.
//! Not here: the meaning of a value (`value.rs`, `config.rs`).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::Path;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::commands;
use super::fault::Fault;
use super::settings::{SETTINGS, Setting, Takes, find};
use super::suggest::{did_you_mean, nearest};

/// The input of the process: arguments, and access to environment variables and files.
pub struct Given<'a> {
    /// The arguments after the program's name.
    pub arguments: Vec<OsString>,
    /// One environment variable; an unset one is `None`.
    pub variable: &'a dyn Fn(&str) -> Option<OsString>,
    /// The names of all environment variables, to find mistyped ones.
    pub variables: Vec<OsString>,
    /// The text of a file.
    pub file: &'a dyn Fn(&Path) -> io::Result<String>,
}

/// One setting's texts and where they came from, for faults.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) place: String,
    pub(super) texts: Vec<String>,
}

/// All values as typed, from the strongest source only.
#[derive(Debug, Default)]
pub(super) struct Typed {
    pub(super) entries: BTreeMap<&'static str, Entry>,
    pub(super) purpose: Purpose,
    pub(super) warnings: Vec<String>,
}

/// What the command line asks for beside settings.
#[derive(Debug, Default)]
pub(super) enum Purpose {
    #[default]
    Serve,
    /// `--check`.
    Check,
    /// `--help` or `--version`: this text on stdout.
    Say(String),
}

/// Reads all three sources; faults are added to `faults` and reading goes on.
pub(super) fn read(given: &Given<'_>, faults: &mut Vec<Fault>) -> Typed {
    let mut typed = Typed::default();
    let Some(matches) = parse_arguments(given.arguments.clone(), &mut typed, faults) else {
        return typed;
    };
    if matches.get_flag("check") {
        typed.purpose = Purpose::Check;
    }
    let named = matches.get_one::<OsString>("config").cloned();
    if let Some(file) = named.or_else(|| (given.variable)("POLL_CONFIG").filter(|name| !name.is_empty())) {
        read_file(Path::new(&file), given, &mut typed, faults);
    }
    typed.warnings = given.variables.iter().filter_map(|name| unknown_variable(name.to_str()?)).collect();
    for setting in SETTINGS {
        if let Some(entry) = from_environment(setting, given, faults) {
            typed.entries.insert(setting.name, entry);
        }
        if let Some(entry) = from_arguments(setting, &matches, faults) {
            typed.entries.insert(setting.name, entry);
        }
    }
    typed
}

/// The command line as clap sees it; every value is text, so all faults are reported, in our wording.
pub(crate) fn command() -> Command {
    let mut command = Command::new("poll-server")
        .version(env!("CARGO_PKG_VERSION"))
        .about("One log, read over HTTP by short polls, long polls, streams and pushes")
        .override_usage("poll-server [OPTIONS]\n       poll-server COMMAND [OPTIONS]")
        .before_help(format!("Commands, each with a --help of its own:\n{}", commands::list()))
        .help_template("{about-with-newline}\n{usage-heading} {usage}\n\n{before-help}{all-args}{after-help}")
        .after_help(
            "Every flag has an environment twin (POLL_ and its name) and a key in the file (its name).\n\
             Flag beats environment beats file. RUST_LOG filters the log (default info).",
        )
        .max_term_width(110)
        .arg(
            Arg::new("config")
                .long("config")
                .value_name("FILE")
                .value_parser(clap::value_parser!(OsString))
                .help("TOML file with any of the settings below [env: POLL_CONFIG] [default: none]"),
        )
        .arg(
            Arg::new("check")
                .long("check")
                .action(ArgAction::SetTrue)
                .help("Read the whole configuration, say what is wrong, and bind nothing"),
        );
    for setting in SETTINGS {
        command = command.arg(argument(setting));
    }
    command
}

fn argument(setting: &'static Setting) -> Arg {
    let (help, default) = (setting.help, setting.shown());
    // A line of its own, so that no wrapping tears a default apart.
    let whole = format!("{help}\n[default: {default}] [env: {}]\nWhy: {}", setting.variable(), setting.why);
    let arg = Arg::new(setting.name)
        .long(setting.name)
        .value_name(setting.value)
        .help_heading(setting.group)
        .action(ArgAction::Append)
        .value_parser(clap::value_parser!(OsString))
        .long_help(whole)
        .help(format!("{help} [default: {default}]"));
    match setting.takes {
        Takes::One | Takes::Many | Takes::Secrets => arg.allow_negative_numbers(true),
        Takes::Switch => arg.num_args(0..=1).require_equals(true).default_missing_value("on"),
    }
}

/// Parses, setting aside arguments that do not exist so that one of them hides no other fault.
fn parse_arguments(
    mut arguments: Vec<OsString>,
    typed: &mut Typed,
    faults: &mut Vec<Fault>,
) -> Option<ArgMatches> {
    loop {
        let words = std::iter::once(OsString::from("poll-server")).chain(arguments.iter().cloned());
        let error = match command().try_get_matches_from(words) {
            Ok(matches) => return Some(matches),
            Err(error) => error,
        };
        if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
            typed.purpose = Purpose::Say(error.render().to_string());
            return None;
        }
        let unknown = match error.get(ContextKind::InvalidArg) {
            Some(ContextValue::String(name)) if error.kind() == ErrorKind::UnknownArgument => name.clone(),
            _ => {
                let text = error.render().to_string();
                let first = text.lines().next().unwrap_or_default();
                faults.push(Fault(first.strip_prefix("error: ").unwrap_or(first).to_owned()));
                return None;
            }
        };
        faults.push(unknown_argument(&unknown));
        let spelled = |word: &OsString| {
            word.to_str()
                .is_some_and(|word| word.split('=').next() == Some(unknown.as_str()) || word == unknown)
        };
        let position = arguments.iter().position(spelled)?;
        let word = arguments.remove(position);
        // What follows is the value of the flag that was meant, unless the value is in the same word.
        let is_value = |next: &OsString| !next.to_string_lossy().starts_with('-');
        if word.to_str() == Some(unknown.as_str())
            && meant_flag(&unknown).is_some_and(takes_value)
            && arguments.get(position).is_some_and(is_value)
        {
            arguments.remove(position);
        }
    }
}

/// An argument that is neither a flag nor a command.
fn unknown_argument(argument: &str) -> Fault {
    let Some(flag) = argument.strip_prefix("--") else {
        if argument.starts_with('-') {
            return Fault(format!("there is no flag {argument}"));
        }
        let meant = nearest(argument, commands::names());
        let names: Vec<&str> = commands::names().collect();
        let hint = match meant {
            Some(_) => did_you_mean(meant),
            None => format!(": there are {}, and without one it serves", names.join(", ")),
        };
        return Fault(format!("{argument:?} is no command{hint}"));
    };
    let meant = meant_flag(argument).map(|name| format!("--{name}"));
    Fault(format!("there is no flag --{flag}{}", did_you_mean(meant.as_deref())))
}

/// The flag that a mistyped one probably is.
fn meant_flag(argument: &str) -> Option<&'static str> {
    let flags = SETTINGS.iter().map(|setting| setting.name).chain(["config", "check", "help", "version"]);
    nearest(argument.strip_prefix("--")?, flags)
}

fn takes_value(flag: &str) -> bool {
    flag == "config" || find(flag).is_some_and(|setting| setting.takes != Takes::Switch)
}

/// A warning about a variable that looks like ours and is none.
fn unknown_variable(name: &str) -> Option<String> {
    // Three are the `poll` command's. Kubernetes sets the others in every pod beside a service called `poll`.
    let others = ["POLL_CONFIG", "POLL_SERVER", "POLL_CA_FILE", "POLL_TOKEN", "POLL_PORT"];
    let service = ["POLL_SERVICE_", "POLL_PORT_"].iter().any(|prefix| name.starts_with(prefix));
    let ours = SETTINGS.iter().any(|setting| setting.variable() == name);
    let own = name.strip_prefix("POLL_")?.replace('_', "-");
    if ours || service || others.contains(&name) {
        return None;
    }
    let meant = nearest(&own, SETTINGS.iter().map(|setting| setting.name).chain(["config"]));
    let meant = meant.map(|name| format!("POLL_{}", name.to_uppercase().replace('-', "_")));
    Some(format!("the environment variable {name} is no setting{}", did_you_mean(meant.as_deref())))
}

fn from_arguments(setting: &Setting, matches: &ArgMatches, faults: &mut Vec<Fault>) -> Option<Entry> {
    let place = format!("--{}", setting.name);
    let mut texts = Vec::new();
    for value in matches.get_many::<OsString>(setting.name)? {
        match value.to_str() {
            Some(text) => texts.push(text.to_owned()),
            None => faults.push(Fault(format!("{place}: not UTF-8"))),
        }
    }
    Some(Entry { place, texts })
}

fn from_environment(setting: &Setting, given: &Given<'_>, faults: &mut Vec<Fault>) -> Option<Entry> {
    let place = setting.variable();
    let set = |value: &OsString| !value.is_empty() || setting.takes == Takes::Secrets;
    let value = (given.variable)(&place).filter(set)?;
    let Ok(text) = value.into_string() else {
        faults.push(Fault(format!("{place}: not UTF-8")));
        return None;
    };
    let texts = match setting.takes {
        Takes::Many | Takes::Secrets => text.split(',').map(|part| part.trim().to_owned()).collect(),
        Takes::One | Takes::Switch => vec![text],
    };
    Some(Entry { place, texts })
}

fn read_file(path: &Path, given: &Given<'_>, typed: &mut Typed, faults: &mut Vec<Fault>) {
    let name = path.display();
    let text = match (given.file)(path) {
        Ok(text) => text,
        Err(error) => {
            faults.push(Fault(format!("{name}: {error}")));
            return;
        }
    };
    let table: toml::Table = match text.parse() {
        Ok(table) => table,
        Err(error) => {
            let error: toml::de::Error = error;
            let start = error.span().map_or(0, |span| span.start).min(text.len());
            let line = text.as_bytes()[..start].iter().filter(|&&byte| byte == b'\n').count() + 1;
            let message = error.message().replace('\n', ", ");
            faults.push(Fault(format!("{name}, line {line}: {message}")));
            return;
        }
    };
    for (key, value) in &table {
        let place = format!("{name}: {key}");
        let Some(setting) = find(key) else {
            let meant = nearest(key, SETTINGS.iter().map(|setting| setting.name));
            faults.push(Fault(format!("{name}: unknown key {key}{}", did_you_mean(meant))));
            continue;
        };
        match texts_of(setting, value) {
            Ok(texts) => drop(typed.entries.insert(setting.name, Entry { place, texts })),
            Err(fault) => faults.push(Fault(format!("{place}: {fault}"))),
        }
    }
}

/// A TOML value as it would have been typed.
fn texts_of(setting: &Setting, value: &toml::Value) -> Result<Vec<String>, String> {
    let one = |value: &toml::Value| match value {
        toml::Value::String(text) => Ok(text.clone()),
        toml::Value::Integer(number) => Ok(number.to_string()),
        toml::Value::Float(number) => Ok(number.to_string()),
        toml::Value::Boolean(switch) => Ok(switch.to_string()),
        other => Err(format!("a {} is no value for this", other.type_str())),
    };
    match value {
        toml::Value::Array(values) if setting.takes == Takes::Secrets && values.is_empty() => {
            Ok(vec![String::new()])
        }
        toml::Value::Array(values) if setting.takes.many() => values.iter().map(one).collect(),
        toml::Value::Array(_) => Err("takes one value, not a list".to_owned()),
        value => Ok(vec![one(value)?]),
    }
}
