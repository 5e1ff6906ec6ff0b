//! Reads that may have to wait for the archive: bounded in time, counted among the waiters, and ended by a drain.
//!
//! What is in memory is read as ever: nothing here costs anything before a read has to wait.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use http::StatusCode;
use poll_core::{ChannelName, JournalError, Pinned, Position, ReadState, Timestamp};
use tokio::time::Instant;

use crate::access::client::Client;
use crate::message::refusal::Refusal;
use crate::worker::Worker;
use crate::worker::metrics::Waiter;

/// However short a poll's own time is, a read from the archive may take this long: it is no wait for a message.
pub(crate) const SHORTEST_READ: Duration = Duration::from_secs(1);

/// Why a read was given up.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// Its time is over.
    TimeUp,
    /// The server drains.
    Draining,
    /// There will never be an answer.
    Unreadable(JournalError),
    /// No more may wait.
    Refused(Refusal),
}

impl From<ReadError> for Refusal {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Unreadable(error) => Self::unreadable(error),
            ReadError::Refused(refusal) => refusal,
            ReadError::TimeUp => {
                Self::unreadable(JournalError::Unavailable("it did not answer in time".to_owned()))
            }
            ReadError::Draining => Self::new(StatusCode::SERVICE_UNAVAILABLE, "the server is going down")
                .retry_after(Duration::from_secs(1)),
        }
    }
}

impl Worker {
    /// Bounds a read in time.
    pub(crate) async fn read_until<T>(
        &self,
        until: Instant,
        read: impl Future<Output = Result<T, JournalError>>,
    ) -> Result<T, ReadError> {
        let drained = async {
            self.drain().wait_draining().await;
            let left = self.time_to_drain().unwrap_or_default();
            self.timers().at(Instant::now() + left).await;
        };
        tokio::select! {
            biased;
            seen = read => seen.map_err(ReadError::Unreadable),
            () = self.timers().at(until) => Err(ReadError::TimeUp),
            () = drained => Err(ReadError::Draining),
        }
    }

    /// A read for a request that has no permit to wait: it takes one while the read waits, for so long at the most.
    ///
    /// # Errors
    /// 429 where no more may wait, 503 where the archive does not answer in time, 500 where it never will.
    pub(crate) async fn archive_read<T>(
        &self,
        channel: &ChannelName,
        client: &Client,
        wait: Duration,
        read: impl Future<Output = Result<T, JournalError>>,
    ) -> Result<T, Refusal> {
        let mut read = pin!(read);
        if let Poll::Ready(seen) = poll_fn(|cx| Poll::Ready(read.as_mut().poll(cx))).await {
            return seen.map_err(Refusal::unreadable);
        }
        let _permit = self.permit(Waiter::ArchiveRead, channel, client)?;
        Ok(self.read_until(Instant::now() + wait.max(SHORTEST_READ), read).await?)
    }

    /// What a position means in a channel, for a reader that stays.
    ///
    /// # Errors
    /// As [`archive_read`](Self::archive_read).
    pub(crate) async fn pin(
        &self,
        now: Timestamp,
        channel: &ChannelName,
        position: Position,
        client: &Client,
    ) -> Result<(Pinned, ReadState), Refusal> {
        let read = async {
            let pinned = self.store().pin(now, channel, position).await?;
            Ok((pinned, self.store().read_state(now, channel, &pinned).await?))
        };
        self.archive_read(channel, client, self.settings().cold_read, read).await
    }
}
