//! The command's arguments. What a single value may be is in `arguments/values.rs`.

mod admin;
mod values;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use poll_client::{ChannelName, Client, Error, IdempotencyKey, StartAt};

use self::values::{channel, format, key, server, since, start};
use crate::format::Format;
use crate::input::Input;
use crate::notices::Connection;

pub(crate) use self::admin::{Admin, Operation, Shape};
pub(crate) use self::values::Since;

/// Publish to the channels of a poll server, and watch them.
///
/// A channel is a name, and it need not be created: publishing to it is enough. Whatever is published can be read for as
/// long as the server keeps it (five minutes unless it was started otherwise), so a reader that was away goes on where it
/// was.
#[derive(Debug, Parser)]
#[command(
    name = "poll",
    version,
    after_long_help = "\
Examples:
  Watch a channel, and publish to it from another terminal:
    poll tail news
    poll publish news hello

  Use a server elsewhere, for this command or for all:
    poll --server example.org:8080 tail news
    export POLL_SERVER=example.org:8080

Exit status:
  0  success
  1  the server refused or could not be reached; a job failed
  64 wrong arguments
  `poll job NAME -- COMMAND` exits as COMMAND does."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) server: Server,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Publish a message, or each line of a file or pipe, and print the number it got
    ///
    /// The message is sent again if the connection breaks, and is published once all the same: each has a key by which the
    /// server recognizes it.
    #[command(after_long_help = "\
Examples:
  A text, a JSON value, a file:
    poll publish news 'It rains.'
    poll publish orders --json '{\"id\": 7, \"paid\": true}'
    poll publish pictures @rain.png

  Every line of a log as it is written:
    tail -f access.log | poll publish access --lines -")]
    Publish(Publish),
    /// Print the messages of one channel or several as they come
    ///
    /// Prints the content of each message on a line of its own, after the channel's name if there are several. If the
    /// server cannot be reached, it says so on standard error, tries again, and goes on where it was. Messages that the
    /// server no longer had are reported on standard error too.
    #[command(after_long_help = "\
Examples:
  What comes from now on in three channels, by one request:
    poll tail orders payments mail

  The last ten minutes and whatever follows, each with its time:
    poll tail access --since 10m --format '{time} {channel} {content}'

  Go on after a message that was read before; --json prints each message's cursor:
    poll tail orders --json --count 1
    poll tail orders --from 18c0…0002")]
    Tail(Tail),
    /// Report a command's progress as a job, or follow a job
    ///
    /// With a COMMAND, runs it and reports its progress as the job NAME, which is the channel `progress/NAME`. Its output
    /// goes where it would have gone, except that it is a pipe and no terminal. Output that contains `3/10` or `30%` is a
    /// step. When the command ends, the job ends: `done` if its status was 0, else `failed`. Exits with the command's
    /// status, or 128 and the signal's number. If the server cannot be reached, the command runs all the same.
    ///
    /// Without a COMMAND, prints the steps of the job NAME until it ends, and exits with 0 if it is done and 1 if it failed.
    #[command(after_long_help = "\
Examples:
  Report a build to everyone who follows it:
    poll job build-17 -- ninja -C out
    poll job build-17

  A script reports by what it prints:
    poll job import -- sh -c 'for i in 1 2 3; do echo \"$i/3 file $i\"; sleep 1; done'")]
    Job(Job),
    /// Print which named clients wait on a channel, and follow joins and leaves
    ///
    /// The server must have been started with `--presence`. A client is present from its first long poll, stream or push under
    /// a name until ten seconds after its last, on any server of the log. Prints each with the time of its first wait.
    #[command(after_long_help = "\
Examples:
  How many are there, and is ann?
    poll presence room | wc -l
    poll presence room | grep -c '^ann\\b'

  Who is there, then each join and leave as it comes:
    poll presence room --follow
    poll presence room --follow --json | jq -r 'select(.event == \"join\").id'")]
    Presence(Presence),
    /// List, show, purge, delete and close channels, and set what they retain
    ///
    /// For operators: the server must have been started with `--admin-token`, whose token is asked for here as well, or with
    /// `--admin-listen`. Nothing is tried again.
    #[command(after_long_help = "\
Examples:
  The channels of one kind, and one of them in full:
    poll admin list --prefix orders.
    poll admin show orders.eu

  Keep a channel's messages for a week, then go back to what the server says:
    poll admin settings orders.eu --retain-seconds 604800
    poll admin settings orders.eu --retain-seconds server")]
    Admin(Admin),
    /// Print a script that completes arguments in a shell
    #[command(after_long_help = "\
Examples:
  For this shell, and for every new one:
    source <(poll completions bash)
    poll completions fish > ~/.config/fish/completions/poll.fish

  Where zsh looks for completions:
    poll completions zsh > ~/.zfunc/_poll")]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print a page of the manual
    #[command(after_long_help = "\
Examples:
  Read it, and put it where `man` looks:
    poll man tail | man -l -
    poll man > ~/.local/share/man/man1/poll.1")]
    Man {
        /// The command that it is about, as in `admin list`; without one, `poll` itself
        command: Vec<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Publish {
    /// The channel's name
    #[arg(value_parser = channel)]
    pub(crate) channel: ChannelName,
    /// The message: a text, `@FILE` for a file's content, or `-` for standard input
    ///
    /// Content that is UTF-8 is published as text, with its line ends, and other bytes as they are.
    #[arg(required_unless_present = "lines", allow_hyphen_values = true)]
    text: Option<String>,
    /// Publish TEXT as it stands, even if it is `-` or begins with `@`
    #[arg(long, conflicts_with = "lines")]
    verbatim: bool,
    /// Publish each line as a message, from standard input unless a FILE is given
    ///
    /// Lines are published as they come. Empty ones are left out.
    #[arg(long, conflicts_with = "key")]
    pub(crate) lines: bool,
    /// The message is a JSON value; print the receipt as JSON too
    #[arg(long)]
    pub(crate) json: bool,
    /// Publish the message once, however often the command is run with this key
    ///
    /// The server remembers keys for five minutes unless it was started otherwise. Without a key, one is made up for this
    /// run.
    #[arg(long, value_parser = key)]
    pub(crate) key: Option<IdempotencyKey>,
    /// Give up after so many failures in a row
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) retries: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Tail {
    /// The channels' names
    #[arg(value_parser = channel, required = true, value_name = "CHANNEL")]
    pub(crate) channels: Vec<ChannelName>,
    /// How to ask
    #[arg(long, value_enum, default_value_t = Pattern::Stream)]
    pub(crate) pattern: Pattern,
    /// Where to start: `start` is the oldest message retained, CURSOR one that `--json` printed
    #[arg(long, value_parser = start, default_value = "now", value_name = "start|now|CURSOR")]
    pub(crate) from: StartAt,
    /// Start with the first message after that time: `10m`, `1h30m` or `2d` ago, or an RFC 3339 time
    ///
    /// As far as the server still has it, which it says if not. Compares the server's times with this machine's clock.
    #[arg(long, value_parser = since, conflicts_with = "from", value_name = "TIME")]
    pub(crate) since: Option<Since>,
    /// Stop after so many messages
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,
    /// How to print a message: `text`, `json`, or a template
    ///
    /// `json` prints an object a line, with the type `message`, `missed`, `refused` or `closed`. In a template, `{channel}`,
    /// `{id}`, `{uuid}`, `{time}`, `{cursor}` and `{content}` stand for the message's own, `\n` and `\t` for a line end and
    /// a tab, `{{` and `}}` for braces. Streams and push send no UUID.
    #[arg(long, value_parser = format, default_value = "text", value_name = "FORMAT")]
    format: Format,
    /// The same as `--format json`
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Give up after so many failures in a row; without it, wait until the server is back
    #[arg(long, value_name = "N")]
    pub(crate) retries: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct Job {
    /// The job's name
    #[arg(value_parser = channel)]
    pub(crate) name: ChannelName,
    /// The command and its arguments, behind `--`
    #[arg(last = true)]
    pub(crate) command: Vec<std::ffi::OsString>,
    /// Print the steps of a job that is followed as JSON, one a line
    #[arg(long, conflicts_with = "command")]
    pub(crate) json: bool,
    /// Give up after so many failures in a row; without it, follow until the server is back
    #[arg(long, value_name = "N", conflicts_with = "command")]
    pub(crate) retries: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct Presence {
    /// The channel's name
    #[arg(value_parser = channel)]
    pub(crate) channel: ChannelName,
    /// Go on with each client that joins or leaves
    ///
    /// Lines then begin with `present`, `join` or `leave`. If the server cannot be reached, says so on standard error, and
    /// tries again. If joins or leaves were missed meanwhile, all present clients are printed again, and replace those before.
    #[arg(long)]
    pub(crate) follow: bool,
    /// Print an object a line: a client, with `--follow` a join, a leave, or the list of all who are present
    #[arg(long)]
    pub(crate) json: bool,
    /// Give up after so many failures in a row; without it, wait until the server is back
    #[arg(long, value_name = "N", requires = "follow")]
    pub(crate) retries: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Pattern {
    /// Ask every 5 seconds
    Short,
    /// Ask and be answered when something comes
    Long,
    /// JSON lines on one open answer
    Stream,
    /// Server-sent events
    Sse,
    /// HTTP/2 push
    Push,
}

#[derive(Debug, Args)]
pub(crate) struct Server {
    /// The server: `host:port`, `:port` on this machine, or `http://host:port/prefix`, also with `https`
    ///
    /// A host alone is asked at port 8080.
    #[arg(long, global = true, env = "POLL_SERVER", default_value = "localhost:8080", value_name = "SERVER", value_parser = server)]
    server: String,
    /// Trust the certificates in this file (PEM), in place of the system's, for a server at `https`
    #[cfg(feature = "tls")]
    #[arg(long, global = true, env = "POLL_CA_FILE", value_name = "FILE")]
    ca_file: Option<std::path::PathBuf>,
    /// A token for the server, sent as a bearer token
    #[arg(long, global = true, env = "POLL_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

impl Publish {
    pub(crate) fn input(&self) -> Input {
        match &self.text {
            None => Input::Stdin,
            Some(text) if self.verbatim => Input::Text(text.clone()),
            Some(text) => Input::parse(text),
        }
    }
}

impl Tail {
    pub(crate) fn format(&self) -> &Format {
        if self.json { &Format::Json } else { &self.format }
    }
}

impl Server {
    /// A client that says what it retries.
    pub(crate) fn client(&self, retries: Option<u32>) -> Result<Client, Error> {
        self.client_with(self.token.as_deref(), retries)
    }

    /// A client with the token of administration, and never with the other one.
    pub(crate) fn admin_client(&self, admin: &Admin) -> Result<Client, Error> {
        self.client_with(admin.token(), Some(0))
    }

    fn client_with(&self, token: Option<&str>, retries: Option<u32>) -> Result<Client, Error> {
        let connection = Connection::default();
        let mut builder = Client::builder(&self.server).observe(move |notice| connection.notice(notice));
        if let Some(token) = token {
            builder = builder.token(token);
        }
        if let Some(retries) = retries {
            builder = builder.max_retries(retries);
        }
        #[cfg(feature = "tls")]
        if let Some(file) = &self.ca_file {
            let pem = std::fs::read(file);
            let pem = pem.map_err(|error| Error::Usage(format!("--ca-file {}: {error}", file.display())))?;
            builder = builder.trust(pem);
        }
        builder.build()
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_subcommand_shows_two_examples() {
        let mut command = Arguments::command();
        let mut helps = vec![command.render_long_help().to_string()];
        for subcommand in command.get_subcommands_mut().filter(|command| command.get_name() != "help") {
            helps.push(subcommand.render_long_help().to_string());
        }
        for help in helps {
            let examples = help.split("Examples:\n").nth(1).unwrap_or_default();
            assert!(examples.lines().filter(|line| line.starts_with("    ")).count() >= 2, "{help}");
        }
    }

    #[test]
    fn a_command_stands_behind_two_dashes_with_arguments_of_its_own() {
        let parse = |arguments: &[&str]| Arguments::try_parse_from(arguments);
        let Command::Job(job) = parse(&["poll", "job", "x", "--", "sh", "-c", "--json"]).unwrap().command
        else {
            panic!("a job")
        };
        assert_eq!(job.command, ["sh", "-c", "--json"]);
        assert!(parse(&["poll", "job", "x", "sh"]).is_err());
        assert!(parse(&["poll", "publish", "c", "-1"]).is_ok());
        assert!(parse(&["poll", "publish", "c"]).is_err());
        assert!(parse(&["poll", "publish", "c", "--lines"]).is_ok());
        assert!(parse(&["poll", "tail", "c", "--from", "start", "--since", "1h"]).is_err());
    }
}
