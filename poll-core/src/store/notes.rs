//! What is noted of retained messages: which named clients were given one, and which were retrieved where each is given
//! only once.
//!
//! Notes belong to their channel and go with the message: there is no table beside the log that could outgrow it. They
//! live in memory only, so a channel that has some is not let go of. All of them are charged to the
//! [account](crate::Memory).

use std::collections::BTreeMap;
use std::sync::Arc;

use indexmap::IndexSet;

use super::Store;
use super::channel::State;
use crate::memory::{Charge, Kind, Memory, OverBudget};
use crate::types::{ChannelName, Cursor, Epoch, Message, Seq};

/// Receivers that are noted of one message.
const MAX_RECEIVERS: usize = 1_000;

/// What a note costs in bytes beside the names in it: its place in the tree.
const NOTE_BYTES: u64 = 128;
/// What a name costs beside its text: its places in the set.
const NAME_BYTES: u64 = 96;

/// The notes of one channel.
#[derive(Debug)]
pub(super) struct Notes {
    by_seq: BTreeMap<Seq, Note>,
    charge: Charge,
}

#[derive(Debug, Default)]
struct Note {
    /// In the order in which they were given the message.
    receivers: IndexSet<Arc<str>>,
    retrieved: bool,
    /// What of the charge is for this note.
    bytes: u64,
}

impl Notes {
    /// Forgets those of messages before `oldest`.
    pub(super) fn forget_before(&mut self, oldest: Seq) {
        let kept = self.by_seq.split_off(&oldest);
        let gone = std::mem::replace(&mut self.by_seq, kept);
        self.charge.shrink(gone.values().map(|note| note.bytes).sum());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_seq.is_empty()
    }

    /// Notes one more receiver of a message.
    fn add_receiver(&mut self, seq: Seq, client: &Arc<str>) -> Result<(), OverBudget> {
        let known = self.by_seq.get(&seq);
        if known.is_some_and(|note| note.receivers.len() >= MAX_RECEIVERS || note.receivers.contains(client))
        {
            return Ok(());
        }
        let bytes = NAME_BYTES + client.len() as u64 + if known.is_some() { 0 } else { NOTE_BYTES };
        self.charge.grow(bytes)?;
        let note = self.by_seq.entry(seq).or_default();
        note.receivers.insert(client.clone());
        note.bytes += bytes;
        Ok(())
    }

    /// Notes that a message was retrieved, for which there was room before.
    fn retrieve(&mut self, seq: Seq) {
        if !self.by_seq.contains_key(&seq) {
            self.charge.grow_unbounded(NOTE_BYTES);
        }
        let new = || Note { bytes: NOTE_BYTES, ..Note::default() };
        self.by_seq.entry(seq).or_insert_with(new).retrieved = true;
    }
}

impl State {
    /// The channel's notes, if `epoch` is its life.
    fn notes_of(&mut self, epoch: Epoch, memory: &Memory) -> Option<&mut Notes> {
        if self.log.epoch() != epoch {
            return None;
        }
        let empty =
            || Box::new(Notes { by_seq: BTreeMap::new(), charge: memory.charge_unbounded(Kind::Notes, 0) });
        Some(self.notes.get_or_insert_with(empty))
    }
}

impl Store {
    /// Notes that a client was given messages. Of each message at most a thousand clients are noted.
    ///
    /// # Errors
    /// When there is no memory for all of it; as many as possible are noted, oldest first.
    pub fn note_receipts(
        &self,
        channel: &ChannelName,
        epoch: Epoch,
        messages: &[Arc<Message>],
        client: &Arc<str>,
    ) -> Result<(), OverBudget> {
        self.note(channel, epoch, |notes, oldest| {
            let mut retained = messages.iter().filter(|message| message.seq >= oldest);
            retained.try_for_each(|message| notes.add_receiver(message.seq, client))
        })
    }

    /// Who was noted for a message, in the order in which they were given it.
    #[must_use]
    pub fn receipts(&self, channel: &ChannelName, at: Cursor) -> Vec<Arc<str>> {
        let Some(channel) = self.0.directory.get(channel) else { return Vec::new() };
        let state = channel.state.lock();
        let notes = state.notes.as_ref().filter(|_| state.log.epoch() == at.epoch);
        let note = notes.and_then(|notes| notes.by_seq.get(&at.seq));
        note.map_or_else(Vec::new, |note| note.receivers.iter().cloned().collect())
    }

    /// Room for noting that `count` messages were retrieved, to be had before they are given.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn reserve_retrievals(&self, count: usize) -> Result<Charge, OverBudget> {
        self.0.memory.charge(Kind::Notes, count as u64 * NOTE_BYTES)
    }

    /// Notes that messages were retrieved, in the room that was [reserved](Self::reserve_retrievals).
    pub fn mark_retrieved(
        &self,
        channel: &ChannelName,
        epoch: Epoch,
        messages: &[Arc<Message>],
        reserved: Charge,
    ) {
        let _ = self.note(channel, epoch, |notes, oldest| {
            let retained = messages.iter().filter(|message| message.seq >= oldest);
            retained.for_each(|message| notes.retrieve(message.seq));
            Ok(())
        });
        drop(reserved);
    }

    /// Those messages that were not retrieved yet.
    #[must_use]
    pub fn not_retrieved(
        &self,
        channel: &ChannelName,
        epoch: Epoch,
        messages: &[Arc<Message>],
    ) -> Vec<Arc<Message>> {
        let Some(channel) = self.0.directory.get(channel) else { return messages.to_vec() };
        let state = channel.state.lock();
        let Some(notes) = state.notes.as_ref().filter(|_| state.log.epoch() == epoch) else {
            return messages.to_vec();
        };
        let retrieved = |message: &Message| notes.by_seq.get(&message.seq).is_some_and(|note| note.retrieved);
        messages.iter().filter(|message| !retrieved(message)).cloned().collect()
    }

    /// Changes the notes of a life of a channel, as long as it lasts; `change` is told the oldest retained message.
    fn note(
        &self,
        channel: &ChannelName,
        epoch: Epoch,
        change: impl FnOnce(&mut Notes, Seq) -> Result<(), OverBudget>,
    ) -> Result<(), OverBudget> {
        let Some(channel) = self.0.directory.get(channel) else { return Ok(()) };
        let mut state = channel.state.lock();
        let oldest = state.log.oldest();
        let Some(notes) = state.notes_of(epoch, &self.0.memory) else { return Ok(()) };
        let changed = change(notes, oldest);
        if notes.is_empty() {
            state.notes = None;
        }
        changed
    }
}
