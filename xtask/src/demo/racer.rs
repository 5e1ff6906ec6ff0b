//! One reader of one of the patterns: a subscription of poll-client, the latency of each message, and what it saw.

use std::fmt;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail};
use futures_util::StreamExt as _;
use hdrhistogram::Histogram;
use indicatif::ProgressBar;
use poll_client::{
    ChannelName, ChunkedStream, Client, Counts, Event, EventSource, LongPoll, Push, ShortPoll, StartAt,
    Subscription, Timestamp,
};
use tokio::sync::watch;

use xtask::columns::millis;
use xtask::history::{History, Verdict};

/// The channel, which is also the one that the live page shows.
pub(super) const CHANNEL: &str = "default";
/// Between two messages, in milliseconds: uneven, as real ones are.
pub(super) const GAP: std::ops::Range<u64> = 20..120;
/// What the server may take to drain.
pub(super) const DRAIN: Duration = Duration::from_secs(30);
/// How often the short poll asks: often enough that some seconds show what it does.
const SHORT_POLL: Duration = Duration::from_secs(1);
/// How long a reader may find nothing after the last publish before the rest counts as lost.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// What the publisher has done so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Published {
    pub(super) messages: u64,
    pub(super) phase: Phase,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    #[default]
    Going,
    Over,
}

/// A reader at work.
pub(super) struct Racer {
    pattern: Pattern,
    subscription: Subscription,
    history: History,
    /// Microseconds from the server's timestamp to the reader's having it; both clocks are this machine's.
    latency: Histogram<u64>,
}

/// What one reader did.
pub(super) struct Score {
    pub(super) pattern: Pattern,
    pub(super) counts: Counts,
    pub(super) latency: Histogram<u64>,
    pub(super) verdict: Verdict,
}

impl Racer {
    pub(super) fn new(pattern: Pattern, client: &Client, channel: &ChannelName) -> Result<Self> {
        Ok(Self {
            pattern,
            subscription: pattern.subscribe(client, channel),
            history: History::default(),
            // Three digits from a microsecond up; it grows as it must.
            latency: Histogram::new(3)?,
        })
    }

    /// Reads until everything published was seen, or nothing comes any more.
    pub(super) async fn run(
        mut self,
        mut published: watch::Receiver<Published>,
        bar: ProgressBar,
    ) -> Result<Score> {
        loop {
            let now = *published.borrow_and_update();
            if now.phase == Phase::Over && self.history.newest() >= now.messages {
                break;
            }
            tokio::select! {
                event = self.subscription.next() => self.take(event.context("a subscription ended by itself")??)?,
                _ = published.changed(), if now.phase == Phase::Going => {}
                () = tokio::time::sleep(PATIENCE), if now.phase == Phase::Over => break,
            }
            let (counts, p50) = (self.subscription.counts(), millis(&self.latency, 0.5));
            bar.set_position(counts.messages);
            bar.set_message(format!(
                "p50 {p50} ms, {} requests, {} empty",
                counts.requests, counts.empty_answers
            ));
        }
        Ok(Score {
            pattern: self.pattern,
            counts: self.subscription.counts(),
            verdict: self.history.verdict(published.borrow().messages),
            latency: self.latency,
        })
    }

    fn take(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Message(message) => {
                self.history.saw(message.seq.get());
                let late =
                    Timestamp::of(SystemTime::now()).as_micros().saturating_sub(message.at.as_micros());
                self.latency.record(late.max(1)).context("a latency is too large to count")
            }
            // What was missed shows as a hole in the history, and so does a channel that may not be read.
            Event::Missed { .. } | Event::Refused { .. } => Ok(()),
            Event::Closed { reason } => bail!("the channel ended: {reason:?}"),
        }
    }
}

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
