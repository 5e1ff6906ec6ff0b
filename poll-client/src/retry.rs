//! Attempts at one request, which may be made again: after a failure, the wait before the next.
//!
//! Whether a request may be made again is its maker's business. Subscriptions have a loop of their own.

use std::time::Duration;

use crate::backoff::Backoff;
use crate::client::Inner;
use crate::error::Error;
use crate::notice::Notice;
use crate::source::Health;

pub(crate) struct Attempts<'a> {
    client: &'a Inner,
    backoff: Backoff,
    health: Health,
}

impl<'a> Attempts<'a> {
    pub(crate) fn new(client: &'a Inner) -> Self {
        Self { client, backoff: Backoff::new(client.settings.backoff), health: Health::Fine }
    }

    /// Waits for the next attempt; the error comes back if it is not transient, or once the client's retries are used up.
    pub(crate) async fn failed(&mut self, error: Error) -> Result<(), Error> {
        let Some(wait) = self.wait_after(&error) else { return Err(error) };
        self.wait(&error, wait).await;
        Ok(())
    }

    /// How long to wait after a failure; `None` if it is not transient, or once the client's retries are used up.
    pub(crate) fn wait_after(&mut self, error: &Error) -> Option<Duration> {
        if error.is_transient() { self.backoff.failed(error.retry_after()) } else { None }
    }

    /// Waits for the next attempt.
    pub(crate) async fn wait(&mut self, error: &Error, wait: Duration) {
        self.health = Health::Failing;
        self.client.stats.retries.add(1);
        self.client.notice(&Notice::Retrying { error, wait });
        tokio::time::sleep(wait).await;
    }

    /// The request was answered.
    pub(crate) fn answered(&self) {
        if self.health == Health::Failing {
            self.client.notice(&Notice::Recovered);
        }
    }
}
