//! Counts deliveries, and records receipts if they are on.

use std::sync::Arc;

use poll_core::{ChannelName, Cursor, Message, ReadState};

use crate::access::client::Client;
use crate::worker::Worker;
use crate::worker::settings::Receipts;

impl Worker {
    /// Counts messages delivered to a client, and records receipts if the client has a name.
    pub(crate) fn delivered(
        &self,
        channel: &ChannelName,
        read_state: &ReadState,
        messages: &[Arc<Message>],
        client: &Client,
    ) {
        self.metrics().delivered.inc_by(messages.len() as u64);
        let Some(name) = &client.name else { return };
        if self.settings().receipts == Receipts::On {
            // Without memory no more receipts are recorded; the memory account counts that.
            let _ = self.store().record_receipts(channel, read_state.epoch, messages, name);
        }
    }

    /// Counts messages evicted before their reader asked for them, if the number is known.
    pub(crate) fn missed(&self, count: Option<u64>) {
        if let Some(count) = count.filter(|count| *count > 0) {
            self.metrics().missed.inc_by(count);
        }
    }

    /// The clients that a message was delivered to; `None` if receipts are off.
    pub(crate) fn receipts(&self, channel: &ChannelName, at: Cursor) -> Option<Vec<Arc<str>>> {
        (self.settings().receipts == Receipts::On).then(|| self.store().receipts(channel, at))
    }
}
