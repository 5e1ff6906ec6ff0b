//! Short polls at a jittered interval.
//!
//! An unchanged answer is a 304 without a body. An answer that reached a limit is followed by the next poll at once.

use std::time::Duration;

use http::header::{ETAG, HeaderValue, IF_NONE_MATCH};

use crate::backoff::around;
use crate::channels::Channels;
use crate::client::Client;
use crate::error::Error;
use crate::exchange::Call;
use crate::message::{Event, StartAt};
use crate::reader::{Lookup, Polled, Reader};
use crate::reading::Pattern;
use crate::source::Out;
use crate::subscription::Subscription;
use crate::wire::{LIMIT, PollAnswer, read};

/// An answer of this size may have reached the server's limit of 1 MiB.
const PERHAPS_CUT_BYTES: usize = 512 * 1024;

/// Subscribes by short polls.
///
/// ```no_run
/// # async fn example(client: poll_client::Client, channel: poll_client::ChannelName) -> Result<(), poll_client::Error> {
/// use futures_util::TryStreamExt;
/// use poll_client::{ShortPoll, StartAt};
///
/// let mut events = ShortPoll::new(&client, &channel).start_at(StartAt::Oldest).subscribe();
/// while let Some(event) = events.try_next().await? {
///     println!("{event:?}");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct ShortPoll {
    client: Client,
    channels: Channels,
    start: StartAt,
    every: Duration,
}

impl ShortPoll {
    /// Short polls of the channels every 5 s, from now on.
    #[must_use]
    pub fn new(client: &Client, channels: impl Into<Channels>) -> Self {
        let every = Duration::from_secs(5);
        Self { client: client.clone(), channels: channels.into(), start: StartAt::default(), every }
    }

    /// Where to start.
    #[must_use]
    pub fn start_at(mut self, start: StartAt) -> Self {
        self.start = start;
        self
    }

    /// The time between polls; each is up to a tenth shorter or longer.
    #[must_use]
    pub fn every(mut self, interval: Duration) -> Self {
        self.every = interval;
        self
    }

    /// Begins when the stream is first polled.
    #[must_use]
    pub fn subscribe(self) -> Subscription {
        let polls = Polls { every: self.every, unchanged: None, rest: Rest::Over };
        Subscription::to(&self.client, &self.channels, &self.start, polls)
    }
}

struct Polls {
    every: Duration,
    /// The last target and its entity tag, if a repeated request may be answered with 304.
    unchanged: Option<(String, HeaderValue)>,
    rest: Rest,
}

/// Whether to wait for the interval before the next poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    Due,
    Over,
}

impl Pattern for Polls {
    async fn step(&mut self, reader: &mut Reader, out: &mut Out<Event>) -> Result<(), Error> {
        if std::mem::replace(&mut self.rest, Rest::Over) == Rest::Due {
            tokio::time::sleep(around(self.every)).await;
        }
        reader.find_start(Lookup::Polls, out).await?;
        let target = format!("{}&limit={LIMIT}", reader.target("/api/poll"));
        let settings = &reader.client.inner.settings;
        let mut call = Call::get(target.clone(), settings.answer_within);
        if let Some((_, tag)) = self.unchanged.as_ref().filter(|(asked, _)| *asked == target) {
            call = call.header(IF_NONE_MATCH, tag.clone());
        }
        let answer = reader.client.inner.ask(&call, &reader.stats, &[200, 304]).await?;
        let (status, tag) = (answer.status.as_u16(), answer.headers.get(ETAG).cloned());
        let body = answer.whole(settings.max_answer_bytes, settings.answer_within).await?;
        if status == 304 {
            out.backoff.reset();
            out.stats.empty_answers.add(1);
            self.rest = Rest::Due;
            return Ok(());
        }
        let answer: PollAnswer<'_> = read(&body)?;
        let cut = answer.messages.len() >= LIMIT || body.len() >= PERHAPS_CUT_BYTES;
        // The last messages of a closed channel are followed by an empty answer that says so.
        let again = !answer.messages.is_empty() && (cut || answer.closed);
        let polled = reader.polled(answer, out)?;
        self.unchanged = tag.filter(|_| polled == Polled::Nothing).map(|tag| (target, tag));
        self.rest = if again { Rest::Over } else { Rest::Due };
        Ok(())
    }

    /// Each answer is whole; the next poll need not wait.
    fn hang_up(&mut self) {
        self.rest = Rest::Over;
    }
}
