//! The loop that all patterns share: take a step, return what it found, back off after a failure, resume at the cursor.
//!
//! A pattern is a [`Source`], which knows nothing of retries. What it has read is returned before the failure that
//! followed is retried.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::stream::{BoxStream, Stream, StreamExt, unfold};

use crate::backoff::Backoff;
use crate::client::Client;
use crate::error::Error;
use crate::message::{Closed, Event};
use crate::stats::{Counts, Stats};

/// A running subscription: a [`Stream`] of what happens on a channel. It makes requests only while it is polled, and
/// cancels them when it is dropped.
///
/// It ends after [`Event::Closed`] and after an error, which is one that is not transient, or the last of more failures
/// in a row than the client allows. To continue after that, subscribe again at the last cursor.
pub struct Subscription<T = Event> {
    stream: BoxStream<'static, Result<T, Error>>,
    stats: Arc<Stats>,
}

/// How a pattern makes requests.
pub(crate) trait Source: Send + 'static {
    type Item: Send + 'static;

    /// Makes a request, or reads a piece of the open answer. After an error the next step makes a new request at the same
    /// position.
    fn step(&mut self, out: &mut Out<Self::Item>) -> impl Future<Output = Result<(), Error>> + Send;
}

/// The output of steps.
pub(crate) struct Out<T> {
    pub(crate) queue: VecDeque<T>,
    pub(crate) backoff: Backoff,
    pub(crate) stats: Arc<Stats>,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    Ended,
}

impl<T> Out<T> {
    /// Ends the subscription once the queue is empty.
    pub(crate) fn end(&mut self) {
        self.phase = Phase::Ended;
    }

    pub(crate) fn has_news(&self) -> bool {
        !self.queue.is_empty() || self.phase == Phase::Ended
    }
}

impl Out<Event> {
    /// The channel ended.
    pub(crate) fn close(&mut self) {
        self.queue.push_back(Event::Closed { reason: Closed::Ended });
        self.end();
    }
}

struct Driver<S: Source> {
    source: S,
    out: Out<S::Item>,
    /// Handled once the queue is empty.
    failure: Option<Error>,
}

impl<S: Source> Driver<S> {
    async fn next(&mut self) -> Option<Result<S::Item, Error>> {
        loop {
            if let Some(item) = self.out.queue.pop_front() {
                return Some(Ok(item));
            }
            if self.out.phase == Phase::Ended {
                return None;
            }
            if let Some(error) = self.failure.take() {
                let wait =
                    if error.is_transient() { self.out.backoff.failed(error.retry_after()) } else { None };
                let Some(wait) = wait else {
                    self.out.end();
                    return Some(Err(error));
                };
                self.out.stats.retries.add(1);
                tokio::time::sleep(wait).await;
            }
            self.failure = self.source.step(&mut self.out).await.err();
        }
    }
}

impl<T: Send + 'static> Subscription<T> {
    pub(crate) fn new<S: Source<Item = T>>(client: &Client, stats: Arc<Stats>, source: S) -> Self {
        let backoff = Backoff::new(client.inner.settings.backoff);
        let out = Out { queue: VecDeque::new(), backoff, stats: Arc::clone(&stats), phase: Phase::Running };
        let driver = Driver { source, out, failure: None };
        let stream =
            unfold(driver, |mut driver| async move { driver.next().await.map(|item| (item, driver)) });
        Self { stream: stream.boxed(), stats }
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
