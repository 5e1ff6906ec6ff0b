//! The patterns that are compared, each as a subscription of poll-client.

use std::fmt;
use std::time::Duration;

use poll_client::{
    ChannelName, ChunkedStream, Client, EventSource, LongPoll, Push, ShortPoll, StartAt, Subscription,
};

/// How often the short poll asks: often enough that some seconds show what it does.
const SHORT_POLL: Duration = Duration::from_secs(1);
/// When a reader is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Pattern {
    Short,
    Long,
    Stream,
    Sse,
    Push,
}

impl Pattern {
    pub(super) const ALL: [Self; 5] = [Self::Short, Self::Long, Self::Stream, Self::Sse, Self::Push];

    pub(super) fn subscribe(self, client: &Client, channel: &ChannelName) -> Subscription {
        let start = StartAt::Oldest;
        match self {
            Self::Short => ShortPoll::new(client, channel).start_at(start).every(SHORT_POLL).subscribe(),
            Self::Long => LongPoll::new(client, channel).start_at(start).subscribe(),
            Self::Stream => ChunkedStream::new(client, channel).start_at(start).subscribe(),
            Self::Sse => EventSource::new(client, channel).start_at(start).subscribe(),
            Self::Push => Push::new(client, channel).start_at(start).subscribe(),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Short => "short poll (1 s)",
            Self::Long => "long poll",
            Self::Stream => "chunked stream",
            Self::Sse => "SSE",
            Self::Push => "HTTP/2 push",
        })
    }
}
