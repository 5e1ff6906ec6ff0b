//! Long polls: each is answered when there is a message, and followed by the next at once.
//!
//! The deadline is the server's wait plus some slack, to notice a dead connection but tolerate a slow server. An empty
//! answer long before the wait is over means that the server is draining: back off rather than poll in a loop.

use std::time::Duration;

use poll_core::ChannelName;
use tokio::time::Instant;

use crate::client::Client;
use crate::error::Error;
use crate::exchange::Call;
use crate::message::{Event, StartAt};
use crate::reader::{Polled, Reader};
use crate::subscription::{Out, Source, Subscription};
use crate::wire::{LIMIT, PollAnswer, read};

/// How much longer than the server's wait an answer may take.
pub const READ_SLACK: Duration = Duration::from_secs(5);

/// A shorter wait would be short polling in a loop; servers do not grant a longer one.
const SHORTEST_WAIT: Duration = Duration::from_millis(10);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// An empty answer sooner than this, and than half the wait, is not a timeout.
const EARLY: Duration = Duration::from_secs(1);

/// Subscribes by long polls.
///
/// ```no_run
/// # async fn example(client: poll_client::Client, channel: poll_client::ChannelName) -> Result<(), poll_client::Error> {
/// use futures_util::TryStreamExt;
/// use poll_client::{Event, LongPoll};
///
/// let mut events = LongPoll::new(&client, &channel).subscribe();
/// while let Some(event) = events.try_next().await? {
///     match event {
///         Event::Message(message) => println!("{}: {:?}", message.seq, message.content.text()),
///         Event::Missed { count, .. } => println!("missed {count:?}"),
///         Event::Closed { reason } => println!("{reason:?}"),
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct LongPoll {
    client: Client,
    channel: ChannelName,
    start: StartAt,
    wait: Duration,
}

impl LongPoll {
    /// Long polls of the channel, each of 30 s, from now on.
    #[must_use]
    pub fn new(client: &Client, channel: &ChannelName) -> Self {
        let wait = Duration::from_secs(30);
        Self { client: client.clone(), channel: channel.clone(), start: StartAt::default(), wait }
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
        let reader = Reader::new(&self.client, &self.channel, self.start);
        let stats = reader.stats.clone();
        Subscription::new(&self.client, stats, Polls { reader, wait: self.wait })
    }
}

struct Polls {
    reader: Reader,
    wait: Duration,
}

impl Source for Polls {
    type Item = Event;

    async fn step(&mut self, out: &mut Out<Event>) -> Result<(), Error> {
        self.reader.find_start().await?;
        let seconds = self.wait.as_secs_f64();
        let target = format!("{}&limit={LIMIT}&timeout={seconds}", self.reader.target("/api/longpoll"));
        let settings = &self.reader.client.inner.settings;
        let call = Call::get(target, self.wait + READ_SLACK);
        let asked = Instant::now();
        let answer = self.reader.client.inner.ask(&call, &self.reader.stats, &[200]).await?;
        let body = answer.whole(settings.max_answer_bytes, settings.answer_within).await?;
        let failures_before = out.backoff.clone();
        let answer: PollAnswer<'_> = read(&body)?;
        if self.reader.polled(answer, out)? == Polled::Nothing && asked.elapsed() < EARLY.min(self.wait / 2) {
            out.backoff = failures_before;
            return Err(Error::Draining);
        }
        Ok(())
    }
}
