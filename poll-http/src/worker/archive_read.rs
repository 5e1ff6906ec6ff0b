//! Reads that may have to wait for the archive: limited in time, counted as waiters, and ended by a drain.
//!
//! A read from memory costs nothing extra.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use poll_core::life::{Standing, Use};
use poll_core::{ChannelName, JournalError, Pinned, Position, ReadState, Timestamp};
use tokio::time::Instant;

use crate::access::admission::Channels;
use crate::access::client::Client;
use crate::message::refusal::{GOING_DOWN, Refusal};
use crate::worker::Worker;
use crate::worker::metrics::Waiter;

/// The least time for a read from the archive, however short the poll: it is not a wait for a message.
pub(crate) const SHORTEST_READ: Duration = Duration::from_secs(1);

/// Why a read was abandoned.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// It took too long.
    TimeUp,
    /// The server drains.
    Draining,
    /// The journal's error.
    Unreadable(JournalError),
    /// Too many requests wait.
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
            ReadError::Draining => Self::unready(GOING_DOWN),
        }
    }
}

impl Worker {
    /// Limits a read in time, and ends it in a drain.
    pub(crate) async fn read_until<T>(
        &self,
        until: Instant,
        read: impl Future<Output = Result<T, JournalError>>,
    ) -> Result<T, ReadError> {
        let drained = async {
            self.drain().wait_draining().await;
            let left = self.random_drain_delay().unwrap_or_default();
            self.timers().at(Instant::now() + left).await;
        };
        tokio::select! {
            biased;
            seen = read => seen.map_err(ReadError::Unreadable),
            () = self.timers().at(until) => Err(ReadError::TimeUp),
            () = drained => Err(ReadError::Draining),
        }
    }

    /// Reads for a request without a permit to wait: it acquires one if the read has to wait, at most for `wait`.
    ///
    /// # Errors
    /// 429 if too many requests wait, 503 if the archive does not answer in time, 500 if the data is damaged.
    pub(crate) async fn archive_read<T>(
        &self,
        channels: &impl Channels,
        client: &Client,
        wait: Duration,
        read: impl Future<Output = Result<T, JournalError>>,
    ) -> Result<T, Refusal> {
        let mut read = pin!(read);
        if let Poll::Ready(seen) = poll_fn(|cx| Poll::Ready(read.as_mut().poll(cx))).await {
            return seen.map_err(Refusal::unreadable);
        }
        let _permit = self.permit(Waiter::ArchiveRead, channels, client)?;
        Ok(self.read_until(Instant::now() + wait.max(SHORTEST_READ), read).await?)
    }

    /// What is known of a channel.
    ///
    /// # Errors
    /// As [`archive_read`](Self::archive_read).
    pub(crate) async fn describe(
        &self,
        channel: &ChannelName,
        purpose: Use,
        client: &Client,
    ) -> Result<Standing, Refusal> {
        let read = self.store().describe(self.now(), channel, purpose);
        self.archive_read(channel, client, self.settings().cold_read, read).await
    }

    /// Resolves a position in a channel, for a reader that stays.
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
