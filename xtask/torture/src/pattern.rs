//! The ways of reading that are raced.

use clap::ValueEnum;

/// How a reader asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Pattern {
    /// Short polls
    Short,
    /// Long polls
    Long,
    /// A stream of JSON lines
    Stream,
    /// A stream of server-sent events
    Sse,
    /// Server push over HTTP/2
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
    /// The Durable Streams protocol, by `offset`
    DurableStreams,
}

impl Pattern {
    /// The native dialect's.
    pub const NATIVE: [Self; 5] = [Self::Short, Self::Long, Self::Stream, Self::Sse, Self::Push];
    /// The other dialects' except chat, which has one channel only, and Durable Streams, which cannot tell that a channel
    /// began anew.
    pub const DIALECTS: [Self; 6] = [
        Self::GolongpollKept,
        Self::GolongpollTaken,
        Self::GolongpollSince,
        Self::GolongpollSinceTaken,
        Self::ChannelId,
        Self::ChannelSince,
    ];

    /// Whether it is one of golongpoll's.
    #[must_use]
    pub fn is_golongpoll(self) -> bool {
        matches!(
            self,
            Self::GolongpollKept | Self::GolongpollTaken | Self::GolongpollSince | Self::GolongpollSinceTaken
        )
    }
}
