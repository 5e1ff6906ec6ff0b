//! The patterns of the demo: how each is subscribed to, and how often its reader hears from the server.

use std::fmt;
use std::time::Duration;

use poll_client::{
    ChannelName, ChunkedStream, Client, EventSource, LongPoll, Push, ShortPoll, StartAt, Subscription,
};

/// How often the short poll asks: often enough that some seconds show what it does.
const SHORT_POLL: Duration = Duration::from_secs(1);
/// How long a long poll waits here, and how often a stream's server sends a heartbeat, in seconds: often enough that the
/// quiet shows some of them. What they cost in an hour is reckoned for the usual intervals.
const LONG_POLL: Duration = Duration::from_secs(1);
pub(super) const HEARTBEAT: &str = "1";

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
        self.subscribe_at(client, channel, StartAt::Oldest)
    }

    pub(super) fn subscribe_at(self, client: &Client, channel: &ChannelName, start: StartAt) -> Subscription {
        match self {
            Self::Short => ShortPoll::new(client, channel).start_at(start).every(SHORT_POLL).subscribe(),
            Self::Long => LongPoll::new(client, channel).start_at(start).wait(LONG_POLL).subscribe(),
            Self::Stream => ChunkedStream::new(client, channel).start_at(start).subscribe(),
            Self::Sse => EventSource::new(client, channel).start_at(start).subscribe(),
            Self::Push => Push::new(client, channel).start_at(start).subscribe(),
        }
    }
}

/// How often a reader hears from the server in an hour in which nothing is published, and how often it asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct IdleHour {
    pub(super) rounds: u64,
    pub(super) requests: u64,
}

impl Pattern {
    /// With the usual intervals: a long poll of 30 s, which ends a second earlier, and heartbeats every 15 s.
    pub(super) fn idle_hour(self) -> IdleHour {
        match self {
            Self::Short => IdleHour { rounds: 3600, requests: 3600 },
            Self::Long => IdleHour { rounds: 3600 / 29, requests: 3600 / 29 },
            Self::Stream | Self::Sse | Self::Push => IdleHour { rounds: 3600 / 15, requests: 0 },
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
