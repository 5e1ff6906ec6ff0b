//! Long polls: each is answered when there is a message, and followed by the next at once.
//!
//! The deadline is the server's wait plus some slack, to notice a dead connection but tolerate a slow server. An empty
//! answer long before the wait is over means that the server is draining: back off rather than poll in a loop.

use std::time::Duration;

use tokio::time::Instant;

use crate::channels::Channels;
use crate::client::Client;
use crate::error::Error;
use crate::exchange::Call;
use crate::message::{Event, StartAt};
use crate::reader::{Lookup, Polled, Reader};
use crate::reading::Pattern;
use crate::source::{Health, Out};
use crate::subscription::Subscription;
use crate::wire::{LIMIT, PollAnswer, read};

/// How much longer than the server's wait an answer may take.
pub const READ_SLACK: Duration = Duration::from_secs(5);

/// A shorter wait would be short polling in a loop; servers do not grant a longer one.
const SHORTEST_WAIT: Duration = Duration::from_millis(10);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The longest wait of the first poll after a failure.
const WAIT_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// An empty answer sooner than this, and than half the wait, is not a timeout.
const EARLY: Duration = Duration::from_secs(1);

/// Subscribes by long polls.
///
/// ```no_run
/// # async fn example(client: poll_client::Client, news: poll_client::ChannelName, weather: poll_client::ChannelName) -> Result<(), poll_client::Error> {
/// use futures_util::TryStreamExt;
/// use poll_client::{Event, LongPoll};
///
/// // Several channels are one request; `LongPoll::new(&client, &news)` reads one.
/// let mut events = LongPoll::new(&client, [&news, &weather]).subscribe();
/// while let Some(event) = events.try_next().await? {
///     if let Event::Message(message) = event {
///         println!("{} {}: {:?}", message.channel, message.seq, message.content.text());
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct LongPoll {
    client: Client,
    channels: Channels,
    start: StartAt,
    wait: Duration,
}

impl LongPoll {
    /// Long polls of the channels, each of 30 s, from now on.
    #[must_use]
    pub fn new(client: &Client, channels: impl Into<Channels>) -> Self {
        let wait = Duration::from_secs(30);
        Self { client: client.clone(), channels: channels.into(), start: StartAt::default(), wait }
    }

    /// Where to start.
    #[must_use]
    pub fn start_at(mut self, start: StartAt) -> Self {
        self.start = start;
        self
    }

    /// How long the server may wait, between 10 ms and 60 s.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait.clamp(SHORTEST_WAIT, LONGEST_WAIT);
        self
    }

    /// Begins when the stream is first polled.
    #[must_use]
    pub fn subscribe(self) -> Subscription {
        Subscription::to(&self.client, &self.channels, &self.start, Polls { wait: self.wait })
    }
}

struct Polls {
    wait: Duration,
}

impl Pattern for Polls {
    async fn step(&mut self, reader: &mut Reader, out: &mut Out<Event>) -> Result<(), Error> {
        reader.find_start(Lookup::Polls, out).await?;
        let wait = match out.health {
            Health::Fine => self.wait,
            // To know soon that the server is back.
            Health::Failing => self.wait.min(WAIT_AFTER_FAILURE),
        };
        let seconds = wait.as_secs_f64();
        let target = format!("{}&limit={LIMIT}&timeout={seconds}", reader.target("/api/longpoll"));
        let settings = &reader.client.inner.settings;
        let call = Call::get(target, wait + READ_SLACK);
        let asked = Instant::now();
        let answer = reader.client.inner.ask(&call, &reader.stats, &[200]).await?;
        let body = answer.whole(settings.max_answer_bytes, settings.answer_within).await?;
        let failures_before = out.backoff.clone();
        let answer: PollAnswer<'_> = read(&body)?;
        if reader.polled(answer, out)? == Polled::Nothing && asked.elapsed() < EARLY.min(wait / 2) {
            out.backoff = failures_before;
            return Err(Error::Draining);
        }
        Ok(())
    }

    fn hang_up(&mut self) {}
}
