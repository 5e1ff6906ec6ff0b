//! Looks that may have to wait for the journal: bounded in time, among those who wait, and ended by a drain.
//!
//! What is in memory is looked at as ever: nothing here costs anything before a look has to wait.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use http::StatusCode;
use poll_core::{ChannelName, JournalError, Pinned, Position, ReadState, Timestamp};
use tokio::time::Instant;

use crate::access::client::Client;
use crate::message::refusal::Refusal;
use crate::service::Service;
use crate::worker::metrics::Pattern;

/// However short a poll's own time is, a look at the disk may take this long: it is no wait for a message.
pub(crate) const A_LOOK: Duration = Duration::from_secs(1);

/// Why a look was given up.
#[derive(Debug)]
pub(crate) enum Late {
    /// Its time is over.
    TimeUp,
    /// The server drains.
    Draining,
    /// There will never be an answer.
    Unreadable(JournalError),
    /// Nobody more may wait.
    Refused(Refusal),
}

impl From<Late> for Refusal {
    fn from(late: Late) -> Self {
        match late {
            Late::Unreadable(error) => Self::unreadable(error),
            Late::Refused(refusal) => refusal,
            Late::TimeUp => {
                Self::unreadable(JournalError::Unavailable("it did not answer in time".to_owned()))
            }
            Late::Draining => Self::new(StatusCode::SERVICE_UNAVAILABLE, "the server is going down")
                .retry_after(Duration::from_secs(1)),
        }
    }
}

impl Service {
    /// Gives a look its time.
    pub(crate) async fn in_time<T>(
        &self,
        until: Instant,
        look: impl Future<Output = Result<T, JournalError>>,
    ) -> Result<T, Late> {
        let drained = async {
            self.drain().wait_draining().await;
            let left = self.time_to_drain().unwrap_or_default();
            self.deadlines().at(Instant::now() + left).await;
        };
        tokio::select! {
            biased;
            seen = look => seen.map_err(Late::Unreadable),
            () = self.deadlines().at(until) => Err(Late::TimeUp),
            () = drained => Err(Late::Draining),
        }
    }

    /// A look for a request that is not among those who wait: it is while the look waits, for so long at the most.
    ///
    /// # Errors
    /// 429 where no more may wait, 503 where the journal cannot answer in time, 500 where it never will.
    pub(crate) async fn cold<T>(
        &self,
        channel: &ChannelName,
        client: &Client,
        wait: Duration,
        look: impl Future<Output = Result<T, JournalError>>,
    ) -> Result<T, Refusal> {
        let mut look = pin!(look);
        if let Poll::Ready(seen) = poll_fn(|cx| Poll::Ready(look.as_mut().poll(cx))).await {
            return seen.map_err(Refusal::unreadable);
        }
        let _place = self.place(Pattern::Cold, channel, client)?;
        Ok(self.in_time(Instant::now() + wait.max(A_LOOK), look).await?)
    }

    /// Where somebody stands who asks for an answer that stays open.
    ///
    /// # Errors
    /// As [`cold`](Self::cold).
    pub(crate) async fn stand(
        &self,
        now: Timestamp,
        channel: &ChannelName,
        position: Position,
        client: &Client,
    ) -> Result<(Pinned, ReadState), Refusal> {
        let look = async {
            let pinned = self.store().pin(now, channel, position).await?;
            Ok((pinned, self.store().read_state(now, channel, &pinned).await?))
        };
        self.cold(channel, client, self.settings().cold_read, look).await
    }
}
