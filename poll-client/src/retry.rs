//! Attempts at one request, which may be made again: after a failure, the wait before the next.
//!
//! Whether a request may be made again is its maker's business. Subscriptions have a loop of their own.

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
        if !error.is_transient() {
            return Err(error);
        }
        let Some(wait) = self.backoff.failed(error.retry_after()) else { return Err(error) };
        self.health = Health::Failing;
        self.client.stats.retries.add(1);
        self.client.notice(&Notice::Retrying { error: &error, wait });
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// The request was answered.
    pub(crate) fn answered(&self) {
        if self.health == Health::Failing {
            self.client.notice(&Notice::Recovered);
        }
    }
}
