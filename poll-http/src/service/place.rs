//! Places among those who wait: bounded, counted by pattern, and given back however a request ends.

use poll_core::ChannelName;

use super::Service;
use crate::client::Client;
use crate::error::Refusal;
use crate::metrics::Pattern;

/// A place, given back when it is dropped.
#[must_use = "a place is given back when it is dropped"]
pub(crate) struct Place {
    service: Service,
    pattern: Pattern,
    channel: ChannelName,
    client: Client,
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
        self.take_place(pattern, channel, client)?;
        Ok(Place { service: self.clone(), pattern, channel: channel.clone(), client: client.clone() })
    }

    /// The same for whoever keeps for itself what a [`Place`] would hold, and then [gives it back](Self::give_place).
    pub(crate) fn take_place(
        &self,
        pattern: Pattern,
        channel: &ChannelName,
        client: &Client,
    ) -> Result<(), Refusal> {
        self.0.shared.admission.take(channel, client)?;
        self.metrics().waiting(pattern).inc();
        Ok(())
    }

    /// Gives back a place that was taken.
    pub(crate) fn give_place(&self, pattern: Pattern, channel: &ChannelName, client: &Client) {
        self.metrics().waiting(pattern).dec();
        self.0.shared.admission.give(channel, client);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.service.give_place(self.pattern, &self.channel, &self.client);
    }
}
