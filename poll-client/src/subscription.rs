//! The loop that all patterns share: take a step, return what it found, back off after a failure, resume at the cursor.
//!
//! What a source has read is returned before the failure that followed is retried.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::stream::{BoxStream, Stream, StreamExt, unfold};

use poll_core::Token;

use crate::backoff::Backoff;
use crate::channels::{ChannelList, Channels};
use crate::client::Client;
use crate::error::Error;
use crate::message::{Event, StartAt};
use crate::notice::Notice;
use crate::position::Returned;
use crate::reading::{Pattern, Reading};
use crate::source::{Health, Out, Source};
use crate::stats::{Counts, Stats};

/// A running subscription: a [`Stream`] of what happens on its channels. It makes requests only while it is polled, and
/// cancels them when it is dropped.
///
/// It ends after [`Event::Closed`] and after an error, which is one that is not transient, or the last of more failures
/// in a row than the client allows. To continue after that, subscribe again at [`Self::position`].
pub struct Subscription<T = Event> {
    stream: BoxStream<'static, Result<T, Error>>,
    stats: Arc<Stats>,
    list: ChannelList,
    returned: Returned,
}

struct Driver<S: Source> {
    client: Client,
    source: S,
    out: Out<S::Item>,
    /// Handled once the queue is empty.
    failure: Option<Error>,
}

impl<S: Source> Driver<S> {
    async fn next(&mut self) -> Option<Result<S::Item, Error>> {
        loop {
            self.source.refresh(&mut self.out);
            if let Some(item) = self.out.queue.pop_front() {
                self.source.returned(&item);
                if self.out.queue.is_empty() {
                    self.source.returned_all();
                }
                return Some(Ok(item));
            }
            self.source.returned_all();
            if self.out.has_ended() {
                return None;
            }
            if let Some(error) = self.failure.take()
                && let Err(error) = self.wait_after(error).await
            {
                self.out.end();
                return Some(Err(error));
            }
            self.failure = self.source.step(&mut self.out).await.err();
            if self.failure.is_none() && self.out.health == Health::Failing {
                self.out.health = Health::Fine;
                self.client.inner.notice(&Notice::Recovered);
            }
        }
    }

    /// Waits for the next attempt, unless there is none.
    async fn wait_after(&mut self, error: Error) -> Result<(), Error> {
        let wait = if error.is_transient() { self.out.backoff.failed(error.retry_after()) } else { None };
        let Some(wait) = wait else { return Err(error) };
        self.out.health = Health::Failing;
        self.out.stats.retries.add(1);
        self.client.inner.notice(&Notice::Retrying { error: &error, wait });
        tokio::time::sleep(wait).await;
        Ok(())
    }
}

impl<T: Send + 'static> Subscription<T> {
    pub(crate) fn new<S: Source<Item = T>>(client: &Client, stats: Arc<Stats>, source: S) -> Self {
        let backoff = Backoff::new(client.inner.settings.backoff);
        let out = Out::new(backoff, Arc::clone(&stats));
        let driver = Driver { client: client.clone(), source, out, failure: None };
        let stream =
            unfold(driver, |mut driver| async move { driver.next().await.map(|item| (item, driver)) });
        let list = ChannelList::new(&Channels::default(), &StartAt::Now);
        Self { stream: stream.boxed(), stats, list, returned: Returned::default() }
    }
}

impl Subscription<Event> {
    /// A subscription to the list's channels.
    pub(crate) fn to<P: Pattern>(client: &Client, channels: &Channels, start: &StartAt, pattern: P) -> Self {
        let (list, returned) = (ChannelList::new(channels, start), Returned::default());
        let reading = Reading::new(client, &list, returned.clone(), pattern);
        let stats = reading.stats();
        Self { list, returned, ..Self::new(client, stats, reading) }
    }

    /// Changes which channels are read, while the subscription is in use.
    #[must_use]
    pub fn channels(&self) -> ChannelList {
        self.list.clone()
    }

    /// The position after the events returned so far, on all channels of the list: what a later subscription starts
    /// after, so that it neither misses nor repeats a message, whether it is to the same channels or to others.
    /// `None` before the first answer if it started now.
    ///
    /// ```no_run
    /// # async fn example(client: poll_client::Client, channels: poll_client::Channels) -> Result<(), Box<dyn std::error::Error>> {
    /// use futures_util::TryStreamExt;
    /// use poll_client::{LongPoll, StartAt};
    ///
    /// let kept = std::fs::read_to_string("position").ok();
    /// let start = match kept {
    ///     Some(token) => StartAt::After(token.parse()?),
    ///     None => StartAt::Oldest,
    /// };
    /// let mut events = LongPoll::new(&client, channels).start_at(start).subscribe();
    /// while let Some(event) = events.try_next().await? {
    ///     println!("{event:?}");
    ///     if let Some(token) = events.position() {
    ///         std::fs::write("position", token.to_string())?;
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn position(&self) -> Option<Token> {
        self.returned.token(&self.list.watch().borrow())
    }
}

impl<T> Subscription<T> {
    /// A snapshot of the counters.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.stats.counts()
    }

    /// The counters, to be read while the subscription is in use.
    #[must_use]
    pub fn stats(&self) -> Arc<Stats> {
        Arc::clone(&self.stats)
    }
}

impl<T> Stream for Subscription<T> {
    type Item = Result<T, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.stream.poll_next_unpin(cx)
    }
}

impl<T> fmt::Debug for Subscription<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("counts", &self.counts()).finish_non_exhaustive()
    }
}
