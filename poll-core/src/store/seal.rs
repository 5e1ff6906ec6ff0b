//! Sealing time for readers who continue from one; what that means is explained where a channel does it.

use super::handle::Store;
use crate::channel::Seal;
use crate::types::{ChannelName, Message, Timestamp};

impl Store {
    /// Seals the millisecond of `message`, unless a later message has that millisecond or may still turn out to have
    /// it.
    #[must_use]
    pub fn seal(&self, now: Timestamp, channel: &ChannelName, message: &Message) -> Seal {
        match self.residents().get(channel) {
            Some(channel) => channel.state.lock().seal(now, message),
            // Not in memory, so nothing was minted since; a publisher loads it first, and gets a later millisecond.
            None => Seal::Closed,
        }
    }

    /// Seals the time up to the end of `millis`, in milliseconds since the Unix epoch. Returns the newest millisecond,
    /// that one or an earlier, of which everything was visible by then and into which nothing will follow.
    #[must_use]
    pub fn settle(&self, now: Timestamp, channel: &ChannelName, millis: u64) -> u64 {
        let channel = self.residents().get(channel);
        channel.map_or(millis, |channel| channel.state.lock().settle(now, millis))
    }
}
