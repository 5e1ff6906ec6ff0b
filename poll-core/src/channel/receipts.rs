//! Receipts of retained messages: which named clients got one and, where each message is given only once,
//! whether it was retrieved.
//!
//! Receipts belong to their channel and go with the message, so no table beside the log can outgrow it. They exist in
//! memory only, so a channel that has some stays in memory. All of them are charged to the [account](crate::Memory).

use std::collections::BTreeMap;
use std::sync::Arc;

use indexmap::IndexSet;

use crate::memory::{Charge, Kind, Memory, OverBudget};
use crate::types::Seq;

/// The most receivers that are recorded for one message.
const MAX_RECEIVERS: usize = 1_000;

/// What the receipts of one message cost in bytes beside the names: their node in the tree.
pub(crate) const RECEIPT_BYTES: u64 = 128;
/// What a name costs in bytes beside its text: its entries in the set.
const NAME_BYTES: u64 = 96;

/// The receipts of one channel.
#[derive(Debug)]
pub(crate) struct Receipts {
    by_seq: BTreeMap<Seq, Receipt>,
    charge: Charge,
}

#[derive(Debug, Default)]
struct Receipt {
    /// In order of delivery.
    receivers: IndexSet<Arc<str>>,
    retrieved: bool,
    /// The part of the charge that is for this message.
    bytes: u64,
}

impl Receipts {
    pub(crate) fn new(memory: &Memory) -> Self {
        Self { by_seq: BTreeMap::new(), charge: memory.charge_unbounded(Kind::Receipts, 0) }
    }

    /// The clients that got a message, in order of delivery.
    pub(crate) fn receivers(&self, seq: Seq) -> Vec<Arc<str>> {
        self.by_seq.get(&seq).map_or_else(Vec::new, |receipt| receipt.receivers.iter().cloned().collect())
    }

    /// Whether a message was retrieved.
    pub(crate) fn is_retrieved(&self, seq: Seq) -> bool {
        self.by_seq.get(&seq).is_some_and(|receipt| receipt.retrieved)
    }

    /// Forgets receipts of messages before `oldest`.
    pub(crate) fn forget_before(&mut self, oldest: Seq) {
        let kept = self.by_seq.split_off(&oldest);
        let gone = std::mem::replace(&mut self.by_seq, kept);
        self.charge.shrink(gone.values().map(|receipt| receipt.bytes).sum());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_seq.is_empty()
    }

    /// Records one more receiver of a message.
    pub(crate) fn add_receiver(&mut self, seq: Seq, client: &Arc<str>) -> Result<(), OverBudget> {
        let known = self.by_seq.get(&seq);
        if known.is_some_and(|receipt| {
            receipt.receivers.len() >= MAX_RECEIVERS || receipt.receivers.contains(client)
        }) {
            return Ok(());
        }
        let bytes = NAME_BYTES + client.len() as u64 + if known.is_some() { 0 } else { RECEIPT_BYTES };
        self.charge.grow(bytes)?;
        let receipt = self.by_seq.entry(seq).or_default();
        receipt.receivers.insert(client.clone());
        receipt.bytes += bytes;
        Ok(())
    }

    /// Records that a message was retrieved, for which there was room.
    pub(crate) fn retrieve(&mut self, seq: Seq) {
        if !self.by_seq.contains_key(&seq) {
            self.charge.grow_unbounded(RECEIPT_BYTES);
        }
        let new = || Receipt { bytes: RECEIPT_BYTES, ..Receipt::default() };
        self.by_seq.entry(seq).or_insert_with(new).retrieved = true;
    }
}
