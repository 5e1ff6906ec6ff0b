//! Short polls at a jittered interval.
//!
//! An unchanged answer is a 304 without a body. An answer that reached a limit is followed by the next poll at once.

use std::time::Duration;

use http::header::{ETAG, HeaderValue, IF_NONE_MATCH};
use poll_core::ChannelName;

use crate::backoff::around;
use crate::client::Client;
use crate::error::Error;
use crate::exchange::Call;
use crate::message::{Event, StartAt};
use crate::reader::{Polled, Reader};
use crate::subscription::{Out, Source, Subscription};
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
    channel: ChannelName,
    start: StartAt,
    every: Duration,
}

impl ShortPoll {
    /// Short polls of the channel every 5 s, from now on.
    #[must_use]
    pub fn new(client: &Client, channel: &ChannelName) -> Self {
        let every = Duration::from_secs(5);
        Self { client: client.clone(), channel: channel.clone(), start: StartAt::default(), every }
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
        let reader = Reader::new(&self.client, &self.channel, self.start);
        let stats = reader.stats.clone();
        Subscription::new(
            &self.client,
            stats,
            Polls { reader, every: self.every, unchanged: None, rest: Rest::Over },
        )
    }
}

struct Polls {
    reader: Reader,
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

impl Source for Polls {
    type Item = Event;

    async fn step(&mut self, out: &mut Out<Event>) -> Result<(), Error> {
        if std::mem::replace(&mut self.rest, Rest::Over) == Rest::Due {
            tokio::time::sleep(around(self.every)).await;
        }
        self.reader.find_start().await?;
        let target = format!("{}&limit={LIMIT}", self.reader.target("/api/poll"));
        let settings = &self.reader.client.inner.settings;
        let mut call = Call::get(target.clone(), settings.answer_within);
        if let Some((_, tag)) = self.unchanged.as_ref().filter(|(asked, _)| *asked == target) {
            call = call.header(IF_NONE_MATCH, tag.clone());
        }
        let answer = self.reader.client.inner.ask(&call, &self.reader.stats, &[200, 304]).await?;
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
        let polled = self.reader.polled(answer, out)?;
        self.unchanged = tag.filter(|_| polled == Polled::Nothing).map(|tag| (target, tag));
        self.rest = if again { Rest::Over } else { Rest::Due };
        Ok(())
    }
}
