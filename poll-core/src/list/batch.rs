//! Messages of several channels in order of time, shared by all readers of the same list at the same positions.

use std::sync::Arc;

use bytes::Bytes;

use crate::channel::{Form, Rendering, Renderings, shared_bytes};
use crate::memory::{Memory, OverBudget};
use crate::types::{Cursor, Message};

/// A message of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListEntry {
    /// The index of its channel in the list.
    pub channel: usize,
    /// The position after it in its channel.
    pub cursor: Cursor,
    /// The message.
    pub message: Arc<Message>,
}

/// A run of messages of several channels; never empty.
#[derive(Debug)]
pub struct ListBatch {
    entries: Box<[ListEntry]>,
    /// The reader's positions in all channels of the list before it, and after it.
    start: Box<[Cursor]>,
    end: Box<[Cursor]>,
    renderings: Renderings,
}

impl ListBatch {
    pub(crate) fn new(
        entries: Vec<ListEntry>,
        start: Vec<Cursor>,
        end: Vec<Cursor>,
        memory: &Memory,
    ) -> Self {
        let weight = entries.iter().map(|entry| entry.message.weight()).sum();
        let renderings = Renderings::new(weight, memory);
        Self { entries: entries.into(), start: start.into(), end: end.into(), renderings }
    }

    /// The messages in order of time.
    #[must_use]
    pub fn entries(&self) -> &[ListEntry] {
        &self.entries
    }

    /// The positions before it, one for each channel of the list.
    #[must_use]
    pub fn start(&self) -> &[Cursor] {
        &self.start
    }

    /// The positions after it.
    #[must_use]
    pub fn end(&self) -> &[Cursor] {
        &self.end
    }

    /// The newest message.
    #[must_use]
    pub fn newest(&self) -> &Arc<Message> {
        &self.entries[self.entries.len() - 1].message
    }

    /// The size of all payloads in bytes.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        self.entries.iter().map(|entry| entry.message.payload.len()).sum()
    }

    /// What the messages weigh, in bytes.
    #[must_use]
    pub fn weight(&self) -> u64 {
        self.entries.iter().map(|entry| entry.message.weight()).sum()
    }

    /// As [`Batch::is_over_budget`](crate::Batch::is_over_budget).
    #[must_use]
    pub fn is_over_budget(&self) -> bool {
        self.renderings.is_over_budget()
    }

    /// As [`Batch::charge`](crate::Batch::charge).
    ///
    /// # Errors
    /// When the part is large and there is no memory for it.
    pub fn charge(&self, part: Bytes) -> Result<Bytes, OverBudget> {
        self.renderings.charge(part)
    }

    /// As [`Batch::render`](crate::Batch::render).
    pub fn render(&self, form: Form, render: impl FnMut(&Self) -> Rendering) -> &Rendering {
        self.renderings.get(self, form, render)
    }

    /// About what it holds in memory.
    pub(crate) fn bytes(&self) -> usize {
        let positions = size_of_val(&*self.start) + size_of_val(&*self.end);
        shared_bytes(self.payload_bytes(), self.entries.len()) + positions + size_of::<Self>()
    }
}
