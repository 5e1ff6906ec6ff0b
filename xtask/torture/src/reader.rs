//! Readers: one file a pattern of the native dialect or another dialect, all of one shape: `new`, and `ask`, which is one question from one wait's beginning to
//! its edge.
//!
//! A reader keeps only what its pattern keeps between questions (a connection, an entity tag, a dialect's own
//! bookkeeping); where it stands otherwise is its [`Place`]. A message is seen once it was read in whole, and only then the cursor moves.

mod channel;
pub(super) mod chat;
mod golongpoll;
mod long;
mod push;
mod short;
mod sse;
mod stream;

use std::fmt;
use std::net::SocketAddr;

use anyhow::Result;
use clap::ValueEnum;

use self::channel::By;
use self::golongpoll::{Last, OnTimeout};
use super::place::Place;

/// How a reader asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(super) enum Pattern {
    Short,
    Long,
    Stream,
    Sse,
    Push,
    /// golongpoll's JavaScript client: `since_time` from a clock that is wrong, kept on timeout; `last_id`
    GolongpollKept,
    /// golongpoll's Go client: `since_time` from the timeout's answer; `last_id` kept
    GolongpollTaken,
    /// An older golongpoll client: `since_time` alone, kept on timeout
    GolongpollSince,
    /// The same, but `since_time` from the timeout's answer
    GolongpollSinceTaken,
    /// The channel dialect by `last_message_id`
    ChannelId,
    /// The channel dialect by `since`, one message an answer
    ChannelSince,
    /// The chat dialect by `after`
    Chat,
}

impl Pattern {
    /// The native dialect's.
    pub(super) const NATIVE: [Self; 5] = [Self::Short, Self::Long, Self::Stream, Self::Sse, Self::Push];
    /// The other dialects', chat apart: it has one channel only.
    pub(super) const DIALECTS: [Self; 6] = [
        Self::GolongpollKept,
        Self::GolongpollTaken,
        Self::GolongpollSince,
        Self::GolongpollSinceTaken,
        Self::ChannelId,
        Self::ChannelSince,
    ];

    /// Questions in a row without a message after which what is still missing counts as lost: some seconds of them.
    pub(super) fn patience(self) -> u64 {
        match self {
            Self::Short | Self::Long | Self::Stream | Self::Sse | Self::Push => 40,
            Self::ChannelId | Self::ChannelSince => 40,
            Self::GolongpollKept
            | Self::GolongpollTaken
            | Self::GolongpollSince
            | Self::GolongpollSinceTaken => 4,
            Self::Chat => 1,
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Short => "short",
            Self::Long => "long",
            Self::Stream => "stream",
            Self::Sse => "sse",
            Self::Push => "push",
            Self::GolongpollKept => "golongpoll kept",
            Self::GolongpollTaken => "golongpoll taken",
            Self::GolongpollSince => "golongpoll since",
            Self::GolongpollSinceTaken => "golongpoll s. taken",
            Self::ChannelId => "channel id",
            Self::ChannelSince => "channel since",
            Self::Chat => "chat",
        })
    }
}

/// A reader of one of the patterns.
pub(super) enum Reader {
    Short(short::Short),
    Long(long::Long),
    Stream(stream::Stream),
    Sse(sse::Sse),
    Push(push::Push),
    Golongpoll(golongpoll::Golongpoll),
    Channel(channel::Channel),
    Chat(chat::Chat),
}

impl Reader {
    pub(super) fn new(pattern: Pattern, address: SocketAddr) -> Self {
        let golongpoll =
            |on_timeout, last| Self::Golongpoll(golongpoll::Golongpoll::new(address, on_timeout, last));
        match pattern {
            Pattern::Short => Self::Short(short::Short::new(address)),
            Pattern::Long => Self::Long(long::Long::new(address)),
            Pattern::Stream => Self::Stream(stream::Stream::new(address)),
            Pattern::Sse => Self::Sse(sse::Sse::new(address)),
            Pattern::Push => Self::Push(push::Push::new(address)),
            Pattern::GolongpollKept => golongpoll(OnTimeout::Keep, Last::Told),
            Pattern::GolongpollTaken => golongpoll(OnTimeout::Take, Last::Told),
            Pattern::GolongpollSince => golongpoll(OnTimeout::Keep, Last::Unknown),
            Pattern::GolongpollSinceTaken => golongpoll(OnTimeout::Take, Last::Unknown),
            Pattern::ChannelId => Self::Channel(channel::Channel::new(address, By::Id)),
            Pattern::ChannelSince => Self::Channel(channel::Channel::new(address, By::Since)),
            Pattern::Chat => Self::Chat(chat::Chat::new(address)),
        }
    }

    /// One question.
    pub(super) async fn ask(&mut self, place: &mut Place) -> Result<()> {
        match self {
            Self::Short(reader) => reader.ask(place).await,
            Self::Long(reader) => reader.ask(place).await,
            Self::Stream(reader) => reader.ask(place).await,
            Self::Sse(reader) => reader.ask(place).await,
            Self::Push(reader) => reader.ask(place).await,
            Self::Golongpoll(reader) => reader.ask(place).await,
            Self::Channel(reader) => reader.ask(place).await,
            Self::Chat(reader) => reader.ask(place).await,
        }
    }

    /// Forgets a connection that broke, and nothing else.
    pub(super) fn hang_up(&mut self) {
        match self {
            // They make one for each question.
            Self::Stream(_) | Self::Sse(_) => {}
            Self::Short(reader) => reader.hang_up(),
            Self::Long(reader) => reader.hang_up(),
            Self::Push(reader) => reader.hang_up(),
            Self::Golongpoll(reader) => reader.hang_up(),
            Self::Channel(reader) => reader.hang_up(),
            Self::Chat(reader) => reader.hang_up(),
        }
    }
}
