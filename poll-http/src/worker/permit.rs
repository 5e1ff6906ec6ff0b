//! Permits to wait: limited by admission, counted by kind, and released however a request ends.
//!
//! A client with a large response keeps its permit until the response is written, because that takes memory as waiting
//! does.

use poll_core::ChannelName;

use crate::access::admission::Names;
use crate::access::client::Client;
use crate::message::refusal::Refusal;
use crate::message::reply::Reply;
use crate::worker::Worker;
use crate::worker::metrics::Waiter;

/// A response of at most this many bytes needs no permit: a socket's own buffer holds more.
const SMALL: u64 = 4 * 1024;

/// A permit to wait on a channel.
#[must_use = "a permit is released when it is dropped"]
pub(crate) struct Permit {
    worker: Worker,
    /// `None` while a response is being written.
    waiter: Option<Waiter>,
    channel: ChannelName,
    client: Client,
    /// `None` once it is released.
    names: Option<Names>,
}

impl Worker {
    /// A permit for a client to wait on a channel.
    ///
    /// # Errors
    /// 429 with the limit that is reached.
    pub(crate) fn permit(
        &self,
        waiter: Waiter,
        channel: &ChannelName,
        client: &Client,
    ) -> Result<Permit, Refusal> {
        let names = self.take_permit(waiter, channel, client)?;
        Ok(Permit::new(self, Some(waiter), channel, client, names))
    }

    /// The same for a waiter that holds the parts of a [`Permit`] itself, and [releases it](Self::release_permit).
    pub(crate) fn take_permit(
        &self,
        waiter: Waiter,
        channel: &ChannelName,
        client: &Client,
    ) -> Result<Names, Refusal> {
        let names = self.admission().acquire(channel, client)?;
        self.metrics().waiting(waiter).inc();
        Ok(names)
    }

    /// Releases a permit from [`take_permit`](Self::take_permit).
    pub(crate) fn release_permit(
        &self,
        waiter: Waiter,
        channel: &ChannelName,
        client: &Client,
        names: Names,
    ) {
        self.metrics().waiting(waiter).dec();
        self.admission().release(channel, client, names);
    }

    /// Makes a large response hold a permit until it is written.
    ///
    /// # Errors
    /// 429 with the limit that is reached.
    pub(crate) fn permit_to_read(
        &self,
        reply: Reply,
        channel: &ChannelName,
        client: &Client,
    ) -> Result<Reply, Refusal> {
        if is_small(&reply) {
            return Ok(reply);
        }
        let names = self.admission().acquire(channel, client)?;
        Ok(self.holding(reply, channel, client, names))
    }

    /// The same for a client that has waited: a large response keeps its permit, a small one releases it.
    pub(crate) fn keep_permit_to_read(
        &self,
        waiter: Waiter,
        names: Names,
        reply: Reply,
        channel: &ChannelName,
        client: &Client,
    ) -> Reply {
        if is_small(&reply) {
            self.release_permit(waiter, channel, client, names);
            return reply;
        }
        self.metrics().waiting(waiter).dec();
        self.holding(reply, channel, client, names)
    }

    fn holding(&self, reply: Reply, channel: &ChannelName, client: &Client, names: Names) -> Reply {
        let permit = Permit::new(self, None, channel, client, names);
        Reply { body: reply.body.until_written(permit), ..reply }
    }
}

fn is_small(reply: &Reply) -> bool {
    reply.body.exact_length().is_some_and(|bytes| bytes <= SMALL)
}

impl Permit {
    fn new(
        worker: &Worker,
        waiter: Option<Waiter>,
        channel: &ChannelName,
        client: &Client,
        names: Names,
    ) -> Self {
        let (worker, channel, client) = (worker.clone(), channel.clone(), client.clone());
        Self { worker, waiter, channel, client, names: Some(names) }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Self { worker, waiter, channel, client, names } = self;
        let Some(names) = names.take() else { return };
        match *waiter {
            Some(waiter) => worker.release_permit(waiter, channel, client, names),
            None => worker.admission().release(channel, client, names),
        }
    }
}
