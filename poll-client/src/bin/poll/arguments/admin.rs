//! The arguments of `poll admin`.

use std::num::NonZeroU64;

use clap::{Args, Subcommand, ValueEnum};
use poll_client::ChannelName;
use poll_client::administration::{Bound, Settings};

use super::values::{bound, channel};

#[derive(Debug, Args)]
pub(crate) struct Admin {
    #[command(subcommand)]
    pub(crate) operation: Operation,
    /// The server's token of administration, sent as a bearer token; `--token` is not sent
    #[arg(long, global = true, env = "POLL_ADMIN_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    admin_token: Option<String>,
    /// How to print channels and connections: `json` prints an object a line, with the members that the HTTP interface gives it
    ///
    /// `text` is aligned, with a heading, on a terminal; elsewhere its columns are separated by tabs.
    #[arg(long, global = true, value_enum, default_value_t = Shape::Text)]
    format: Shape,
    /// The same as `--format json`
    #[arg(long, global = true, conflicts_with = "format")]
    json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Operation {
    /// List channels by name, with what they hold
    List {
        /// Only channels whose names begin with this
        #[arg(long, value_parser = channel)]
        prefix: Option<ChannelName>,
        /// Stop after so many channels
        #[arg(long, value_name = "N")]
        limit: Option<NonZeroU64>,
    },
    /// Show all about one channel
    Show {
        /// The channel's name
        #[arg(value_parser = channel)]
        channel: ChannelName,
    },
    /// Drop a channel's messages; its numbers go on, and readers are told what they missed
    Purge {
        /// The channel's name
        #[arg(value_parser = channel)]
        channel: ChannelName,
    },
    /// Delete a channel with its messages, and print nothing
    Delete {
        /// The channel's name
        #[arg(value_parser = channel)]
        channel: ChannelName,
    },
    /// Close a channel: it takes nothing more
    Close {
        /// The channel's name
        #[arg(value_parser = channel)]
        channel: ChannelName,
    },
    /// Show what a channel retains, or set it
    ///
    /// What is not given stays as it is. 0 is no limit; `server` is whatever the server was started with.
    Settings {
        /// The channel's name
        #[arg(value_parser = channel)]
        channel: ChannelName,
        #[command(flatten)]
        change: Change,
    },
    /// Print which named clients wait on a channel, on any server of the log
    Presence {
        /// The channel's name
        #[arg(value_parser = channel)]
        channel: ChannelName,
    },
    /// List the connections of the server that is asked, with what they wait for
    Connections {
        /// Stop after so many connections
        #[arg(long, value_name = "N")]
        limit: Option<NonZeroU64>,
    },
    /// Cut a connection of the server that is asked, and print nothing; its client may come back
    Cut {
        /// The connection's id
        id: u64,
    },
}

/// What is to be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub(crate) struct Change {
    /// Keep at most so many messages
    #[arg(long, value_parser = bound, value_name = "N|server")]
    retain_messages: Option<Bound>,
    /// Keep messages for so many seconds
    #[arg(long, value_parser = bound, value_name = "N|server")]
    retain_seconds: Option<Bound>,
    /// Keep at most so many bytes
    #[arg(long, value_parser = bound, value_name = "N|server")]
    retain_bytes: Option<Bound>,
}

/// How channels are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shape {
    /// For people, and for tools that read columns
    Text,
    /// An object a line
    Json,
}

impl Admin {
    pub(crate) fn token(&self) -> Option<&str> {
        self.admin_token.as_deref()
    }

    pub(crate) fn shape(&self) -> Shape {
        if self.json { Shape::Json } else { self.format }
    }
}

impl Change {
    pub(crate) fn is_none(&self) -> bool {
        [self.retain_messages, self.retain_seconds, self.retain_bytes].iter().all(Option::is_none)
    }

    /// The settings with this change.
    pub(crate) fn of(&self, settings: Settings) -> Settings {
        Settings {
            messages: self.retain_messages.unwrap_or(settings.messages),
            seconds: self.retain_seconds.unwrap_or(settings.seconds),
            bytes: self.retain_bytes.unwrap_or(settings.bytes),
        }
    }
}
