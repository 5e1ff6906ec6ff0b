//! Closing a millisecond: a promise that no later message will share it.
//!
//! Some readers go on from a time in milliseconds and cannot name the last message they have. What was minted
//! before they were answered, or is on its way through the journal, may share that time and would never be
//! asked for. So before such a reader is answered, the time is closed; while it cannot be, the answer waits.

use super::Store;
use crate::channel::ChannelName;
use crate::message::Message;

/// Whether a millisecond could be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seal {
    /// No message behind this one has or will have its millisecond.
    Closed,
    /// One may: it is on its way, or visible already.
    Open,
}

impl Store {
    /// Closes the millisecond of `message`, if nothing behind it has that millisecond or may yet show up with it.
    #[must_use]
    pub fn seal(&self, channel: &ChannelName, message: &Message) -> Seal {
        match self.0.directory.get(channel) {
            Some(channel) => channel.state.lock().seal(message),
            // Not in memory, so nobody has minted since; who does loads it first, and is given a later time.
            None => Seal::Closed,
        }
    }
}
