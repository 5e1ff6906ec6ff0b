//! The command's arguments.

use clap::{Args, Parser, Subcommand, ValueEnum};
use poll_client::{ChannelName, Client, Error, IdempotencyKey, StartAt};

/// Publish to and watch the channels of a poll server.
#[derive(Debug, Parser)]
#[command(name = "poll", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Publish one message and print its number.
    Publish(Publish),
    /// Print messages as they come.
    Tail(Tail),
}

#[derive(Debug, Args)]
pub(crate) struct Publish {
    /// The channel's name.
    #[arg(value_parser = channel)]
    pub(crate) channel: ChannelName,
    /// The message.
    pub(crate) text: String,
    /// The text is a JSON value; the receipt is printed as JSON too.
    #[arg(long)]
    pub(crate) json: bool,
    /// Publish once and no more, however often it takes to get through: the server keeps one message a key.
    #[arg(long, value_parser = key)]
    pub(crate) key: Option<IdempotencyKey>,
    #[command(flatten)]
    pub(crate) server: Server,
}

#[derive(Debug, Args)]
pub(crate) struct Tail {
    /// The channel's name.
    #[arg(value_parser = channel)]
    pub(crate) channel: ChannelName,
    /// How to ask.
    #[arg(long, value_enum, default_value_t = Pattern::Stream)]
    pub(crate) pattern: Pattern,
    /// Where to start: `start` for the oldest message retained, `now`, or a cursor as `--json` prints it.
    #[arg(long, value_parser = start, default_value = "now", value_name = "start|now|CURSOR")]
    pub(crate) from: StartAt,
    /// Stop after so many messages.
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,
    /// Print a JSON object a line, with each message's number, cursor and time.
    #[arg(long)]
    pub(crate) json: bool,
    /// Give up after so many failures in a row; without it, wait until the server is back.
    #[arg(long, value_name = "N")]
    pub(crate) retries: Option<u32>,
    #[command(flatten)]
    pub(crate) server: Server,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Pattern {
    /// Ask every 5 seconds.
    Short,
    /// Ask and be answered when something comes.
    Long,
    /// JSON lines on one open answer.
    Stream,
    /// Server-sent events.
    Sse,
    /// HTTP/2 push.
    Push,
}

#[derive(Debug, Args)]
pub(crate) struct Server {
    /// The server's address.
    #[arg(long, env = "POLL_SERVER", default_value = "http://127.0.0.1:8080", value_name = "URL")]
    server: String,
    /// Sent as a bearer token.
    #[arg(long, env = "POLL_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

impl Server {
    pub(crate) fn client(&self, retries: Option<u32>) -> Result<Client, Error> {
        let mut builder = Client::builder(&self.server);
        if let Some(token) = &self.token {
            builder = builder.token(token);
        }
        if let Some(retries) = retries {
            builder = builder.max_retries(retries);
        }
        builder.build()
    }
}

fn channel(text: &str) -> Result<ChannelName, String> {
    ChannelName::parse(text).map_err(|error| error.to_string())
}

fn key(text: &str) -> Result<IdempotencyKey, String> {
    IdempotencyKey::parse(text).map_err(|error| error.to_string())
}

fn start(text: &str) -> Result<StartAt, String> {
    match text {
        "start" => Ok(StartAt::Oldest),
        "now" => Ok(StartAt::Now),
        cursor => {
            cursor.parse().map(StartAt::After).map_err(|_| "neither start, now nor a cursor".to_owned())
        }
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
    fn a_start_is_a_word_or_a_cursor() {
        assert_eq!(start("start"), Ok(StartAt::Oldest));
        assert_eq!(start("now"), Ok(StartAt::Now));
        let cursor = "00000000000000010000000000000002";
        assert_eq!(start(cursor), Ok(StartAt::After(cursor.parse().unwrap())));
        assert!(start("yesterday").is_err());
    }
}
