//! Permits to wait: limited by admission, counted by kind, and released however a request ends.
//!
//! A client with a large response keeps its permit until the response is written, because that takes memory as waiting
//! does.

use crate::access::admission::{Channels, Names, WaitsBy};
use crate::access::client::Client;
use crate::message::refusal::Refusal;
use crate::message::reply::Reply;
use crate::worker::Worker;
use crate::worker::metrics::Waiter;

/// A response of at most this many bytes needs no permit: a socket's own buffer holds more.
const SMALL: u64 = 4 * 1024;

/// A permit to wait on a channel, or on a list of channels.
#[must_use = "a permit is released when it is dropped"]
pub(crate) struct Permit<C: Channels> {
    worker: Worker,
    /// `None` while a response is being written.
    waiter: Option<Waiter>,
    channels: C,
    client: Client,
    /// `None` once it is released.
    names: Option<Names>,
}

impl Worker {
    /// A permit for a client to wait on a channel or a list.
    ///
    /// # Errors
    /// 429 with the limit that is reached.
    pub(crate) fn permit<C: Channels>(
        &self,
        waiter: Waiter,
        channels: &C,
        client: &Client,
    ) -> Result<Permit<C>, Refusal> {
        let names = self.take_permit(waiter, channels, client)?;
        Ok(Permit::new(self, Some(waiter), channels, client, names))
    }

    /// The same for a waiter that holds the parts of a [`Permit`] itself, and [releases it](Self::release_permit).
    pub(crate) fn take_permit(
        &self,
        waiter: Waiter,
        channels: &impl Channels,
        client: &Client,
    ) -> Result<Names, Refusal> {
        let names = self.admission().acquire(waiter.into(), channels, client)?;
        self.metrics().waiting(waiter).inc();
        self.begin_presence(waiter, channels, client);
        if let Some(record) = &client.record {
            record.wait(waiter.name(), channels.counted().names());
        }
        Ok(names)
    }

    /// Releases a permit from [`take_permit`](Self::take_permit).
    pub(crate) fn release_permit(
        &self,
        waiter: Waiter,
        channels: &impl Channels,
        client: &Client,
        names: Names,
    ) {
        self.end_wait(waiter, channels, client);
        self.admission().release(waiter.into(), channels, client, names);
    }

    /// A client waits no longer.
    fn end_wait(&self, waiter: Waiter, channels: &impl Channels, client: &Client) {
        self.metrics().waiting(waiter).dec();
        self.end_presence(waiter, channels, client);
        if let Some(record) = &client.record {
            record.end_wait(waiter.name(), channels.counted().names());
        }
    }

    /// Makes a large response hold a permit until it is written.
    ///
    /// # Errors
    /// 429 with the limit that is reached.
    pub(crate) fn permit_to_read(
        &self,
        reply: Reply,
        channels: &impl Channels,
        client: &Client,
    ) -> Result<Reply, Refusal> {
        if is_small(&reply) {
            return Ok(reply);
        }
        let names = self.admission().acquire(WaitsBy::Poll, channels, client)?;
        Ok(self.holding(reply, channels, client, names))
    }

    /// The same for a client that has waited: a large response keeps its permit, a small one releases it.
    pub(crate) fn keep_permit_to_read(
        &self,
        waiter: Waiter,
        names: Names,
        reply: Reply,
        channels: &impl Channels,
        client: &Client,
    ) -> Reply {
        if is_small(&reply) {
            self.release_permit(waiter, channels, client, names);
            return reply;
        }
        self.end_wait(waiter, channels, client);
        self.holding(reply, channels, client, names)
    }

    /// A named client begins to wait for messages.
    fn begin_presence(&self, waiter: Waiter, channels: &impl Channels, client: &Client) {
        if let (Some(presence), Some(name)) = (&self.server().presence, &client.name)
            && waiter != Waiter::ArchiveRead
        {
            presence.begin(channels.counted().names(), name);
        }
    }

    fn end_presence(&self, waiter: Waiter, channels: &impl Channels, client: &Client) {
        if let (Some(presence), Some(name)) = (&self.server().presence, &client.name)
            && waiter != Waiter::ArchiveRead
        {
            presence.end(channels.counted().names(), name);
        }
    }

    /// A client asked to wait and was answered at once. It is present as if it had waited.
    pub(crate) fn note_presence(&self, waiter: Waiter, channels: &impl Channels, client: &Client) {
        self.begin_presence(waiter, channels, client);
        self.end_presence(waiter, channels, client);
    }

    fn holding(&self, reply: Reply, channels: &impl Channels, client: &Client, names: Names) -> Reply {
        let permit = Permit::new(self, None, channels, client, names);
        Reply { body: reply.body.until_written(permit), ..reply }
    }
}

impl From<Waiter> for WaitsBy {
    fn from(waiter: Waiter) -> Self {
        match waiter {
            Waiter::LongPoll | Waiter::ArchiveRead => Self::Poll,
            Waiter::Stream => Self::Stream,
            Waiter::Push => Self::Push,
        }
    }
}

fn is_small(reply: &Reply) -> bool {
    reply.body.exact_length().is_some_and(|bytes| bytes <= SMALL)
}

impl<C: Channels> Permit<C> {
    fn new(worker: &Worker, waiter: Option<Waiter>, channels: &C, client: &Client, names: Names) -> Self {
        let (worker, channels, client) = (worker.clone(), channels.clone(), client.clone());
        Self { worker, waiter, channels, client, names: Some(names) }
    }
}

impl<C: Channels> Drop for Permit<C> {
    fn drop(&mut self) {
        let Self { worker, waiter, channels, client, names } = self;
        let Some(names) = names.take() else { return };
        match *waiter {
            Some(waiter) => worker.release_permit(waiter, channels, client, names),
            None => worker.admission().release(WaitsBy::Poll, channels, client, names),
        }
    }
}
