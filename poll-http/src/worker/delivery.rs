//! Counts deliveries, and records receipts if they are on.

use std::sync::Arc;

use poll_core::{ChannelList, ChannelName, Cursor, ListView, Message, ReadState};

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
        client.logged.delivered(messages.len() as u64);
        let Some(name) = &client.name else { return };
        if self.settings().receipts == Receipts::On {
            // Without memory no more receipts are recorded; the memory account counts that.
            let _ = self.store().record_receipts(channel, read_state.epoch, messages, name);
        }
    }

    /// The same for messages of several channels.
    pub(crate) fn delivered_list(&self, list: &ChannelList, view: &ListView, client: &Client) {
        let Some(batch) = &view.batch else { return };
        self.metrics().delivered.inc_by(batch.entries().len() as u64);
        client.logged.delivered(batch.entries().len() as u64);
        let Some(name) = client.name.as_ref().filter(|_| self.settings().receipts == Receipts::On) else {
            return;
        };
        for (channel, read_state) in &view.looks {
            let of_channel = batch.entries().iter().filter(|entry| entry.channel == *channel);
            let messages: Vec<_> = of_channel.map(|entry| entry.message.clone()).collect();
            // See `delivered`.
            let _ = self.store().record_receipts(&list.names()[*channel], read_state.epoch, &messages, name);
        }
    }

    /// Counts messages evicted before their reader asked for them, if the number is known.
    pub(crate) fn missed(&self, count: Option<u64>) {
        if let Some(count) = count.filter(|count| *count > 0) {
            self.metrics().missed.inc_by(count);
        }
    }

    /// The same in several channels.
    pub(crate) fn missed_list(&self, view: &ListView) {
        view.looks.iter().for_each(|(_, read_state)| self.missed(read_state.missed()));
    }

    /// The clients that a message was delivered to; `None` if receipts are off.
    pub(crate) fn receipts(&self, channel: &ChannelName, at: Cursor) -> Option<Vec<Arc<str>>> {
        (self.settings().receipts == Receipts::On).then(|| self.store().receipts(channel, at))
    }
}
