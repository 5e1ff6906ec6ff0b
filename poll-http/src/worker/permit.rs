//! Places among those who wait: bounded, counted by pattern, and given back however a request ends.
//!
//! Who has been given a large answer keeps a place as well until it has taken it, because that is memory as waiting is.

use poll_core::ChannelName;

use crate::access::admission::Names;
use crate::access::client::Client;
use crate::message::refusal::Refusal;
use crate::message::reply::Reply;
use crate::service::Service;
use crate::worker::metrics::Pattern;

/// An answer up to this many bytes takes no place: less than a socket's own buffer holds.
const SMALL: u64 = 4 * 1024;

/// A place, given back when it is dropped.
#[must_use = "a place is given back when it is dropped"]
pub(crate) struct Place {
    service: Service,
    /// `None` for one who reads.
    pattern: Option<Pattern>,
    channel: ChannelName,
    client: Client,
    /// Taken when it is given back.
    names: Option<Names>,
}

impl Service {
    /// Lets one wait on a channel.
    ///
    /// # Errors
    /// 429 with the bound that is reached.
    pub(crate) fn place(
        &self,
        pattern: Pattern,
        channel: &ChannelName,
        client: &Client,
    ) -> Result<Place, Refusal> {
        let names = self.take_place(pattern, channel, client)?;
        Ok(Place::new(self, Some(pattern), channel, client, names))
    }

    /// The same for whoever keeps for itself what a [`Place`] would hold, and then [gives it back](Self::give_place).
    pub(crate) fn take_place(
        &self,
        pattern: Pattern,
        channel: &ChannelName,
        client: &Client,
    ) -> Result<Names, Refusal> {
        let names = self.0.shared.admission.take(channel, client)?;
        self.metrics().waiting(pattern).inc();
        Ok(names)
    }

    /// Gives back a place that was taken.
    pub(crate) fn give_place(&self, pattern: Pattern, channel: &ChannelName, client: &Client, names: Names) {
        self.metrics().waiting(pattern).dec();
        self.0.shared.admission.give(channel, client, names);
    }

    /// Has the reader of a large answer keep a place until the answer is written.
    ///
    /// # Errors
    /// 429 with the bound that is reached.
    pub(crate) fn read_in_place(
        &self,
        reply: Reply,
        channel: &ChannelName,
        client: &Client,
    ) -> Result<Reply, Refusal> {
        if reply.body.exact_length().is_some_and(|bytes| bytes <= SMALL) {
            return Ok(reply);
        }
        let names = self.0.shared.admission.take(channel, client)?;
        Ok(self.holding(reply, channel, client, names))
    }

    /// The same for one who has waited, whose place goes over to the answer if it is large; else it is given back.
    pub(crate) fn read_in_place_of(
        &self,
        pattern: Pattern,
        reply: Reply,
        channel: &ChannelName,
        client: &Client,
        names: Names,
    ) -> Reply {
        if reply.body.exact_length().is_some_and(|bytes| bytes <= SMALL) {
            self.give_place(pattern, channel, client, names);
            return reply;
        }
        self.metrics().waiting(pattern).dec();
        self.holding(reply, channel, client, names)
    }

    fn holding(&self, reply: Reply, channel: &ChannelName, client: &Client, names: Names) -> Reply {
        let place = Place::new(self, None, channel, client, names);
        Reply { body: reply.body.until_written(place), ..reply }
    }
}

impl Place {
    fn new(
        service: &Service,
        pattern: Option<Pattern>,
        channel: &ChannelName,
        client: &Client,
        names: Names,
    ) -> Self {
        let (service, channel, client) = (service.clone(), channel.clone(), client.clone());
        Self { service, pattern, channel, client, names: Some(names) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Self { service, pattern, channel, client, names } = self;
        let Some(names) = names.take() else { return };
        match *pattern {
            Some(pattern) => service.give_place(pattern, channel, client, names),
            None => service.0.shared.admission.give(channel, client, names),
        }
    }
}
