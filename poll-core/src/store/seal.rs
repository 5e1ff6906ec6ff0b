//! Sealing time for readers who go on from one; what that means is the channel's to say.

use super::handle::Store;
use crate::channel::Seal;
use crate::types::{ChannelName, Message, Timestamp};

impl Store {
    /// Seals the millisecond of `message`, if nothing behind it has that millisecond or may yet show up with it.
    #[must_use]
    pub fn seal(&self, now: Timestamp, channel: &ChannelName, message: &Message) -> Seal {
        match self.residents().get(channel) {
            Some(channel) => channel.state.lock().seal(now, message),
            // Not in memory, so nobody has minted since; who does loads it first, and is given a later millisecond.
            None => Seal::Closed,
        }
    }

    /// Seals the time up to the end of `millis`, milliseconds since the Unix epoch. Gives the newest millisecond, that
    /// one or an earlier, of which everything was visible by then and into which nothing will follow.
    #[must_use]
    pub fn settle(&self, now: Timestamp, channel: &ChannelName, millis: u64) -> u64 {
        let channel = self.residents().get(channel);
        channel.map_or(millis, |channel| channel.state.lock().settle(now, millis))
    }
}
