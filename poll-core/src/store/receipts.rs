//! Which clients got which messages.

use std::sync::Arc;

use super::handle::Store;
use crate::channel::{RECEIPT_BYTES, Receipts};
use crate::memory::{Charge, Kind, OverBudget};
use crate::types::{ChannelName, Cursor, Epoch, Message, Seq};

impl Store {
    /// Records that a client got messages. At most a thousand clients are recorded for each message.
    ///
    /// # Errors
    /// When there is no memory for all of it; as much as possible is recorded, oldest message first.
    pub fn record_receipts(
        &self,
        channel: &ChannelName,
        epoch: Epoch,
        messages: &[Arc<Message>],
        client: &Arc<str>,
    ) -> Result<(), OverBudget> {
        self.record(channel, epoch, |receipts, oldest| {
            let mut retained = messages.iter().filter(|message| message.seq >= oldest);
            retained.try_for_each(|message| receipts.add_receiver(message.seq, client))
        })
    }

    /// The clients that got the message before `at`, in order of delivery.
    #[must_use]
    pub fn receipts(&self, channel: &ChannelName, at: Cursor) -> Vec<Arc<str>> {
        let Some(channel) = self.residents().get(channel) else { return Vec::new() };
        let state = channel.state.lock();
        let receipts = state.receipts.as_ref().filter(|_| state.epoch() == at.epoch);
        receipts.map_or_else(Vec::new, |receipts| receipts.receivers(at.seq))
    }

    /// Reserves memory for recording that `count` messages were retrieved, before they are sent.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn reserve_retrievals(&self, count: usize) -> Result<Charge, OverBudget> {
        self.memory().charge(Kind::Receipts, count as u64 * RECEIPT_BYTES)
    }

    /// Records that messages were retrieved, in the memory that was [reserved](Self::reserve_retrievals).
    pub fn mark_retrieved(
        &self,
        channel: &ChannelName,
        epoch: Epoch,
        messages: &[Arc<Message>],
        reserved: Charge,
    ) {
        let _ = self.record(channel, epoch, |receipts, oldest| {
            let retained = messages.iter().filter(|message| message.seq >= oldest);
            retained.for_each(|message| receipts.retrieve(message.seq));
            Ok(())
        });
        drop(reserved);
    }

    /// The messages that were not retrieved yet.
    #[must_use]
    pub fn not_retrieved(
        &self,
        channel: &ChannelName,
        epoch: Epoch,
        messages: &[Arc<Message>],
    ) -> Vec<Arc<Message>> {
        let Some(channel) = self.residents().get(channel) else { return messages.to_vec() };
        let state = channel.state.lock();
        let Some(receipts) = state.receipts.as_ref().filter(|_| state.epoch() == epoch) else {
            return messages.to_vec();
        };
        messages.iter().filter(|message| !receipts.is_retrieved(message.seq)).cloned().collect()
    }

    /// Changes the receipts of a channel, if it is still in the same incarnation. `change` is passed the number of the
    /// oldest retained message.
    fn record(
        &self,
        channel: &ChannelName,
        epoch: Epoch,
        change: impl FnOnce(&mut Receipts, Seq) -> Result<(), OverBudget>,
    ) -> Result<(), OverBudget> {
        let Some(channel) = self.residents().get(channel) else { return Ok(()) };
        let mut state = channel.state.lock();
        if state.epoch() != epoch {
            return Ok(());
        }
        let oldest = state.log.oldest();
        let receipts = state.receipts.get_or_insert_with(|| Box::new(Receipts::new(self.memory())));
        let changed = change(receipts, oldest);
        if receipts.is_empty() {
            state.receipts = None;
        }
        changed
    }
}
