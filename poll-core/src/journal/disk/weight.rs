//! What rows weigh: as retention counts it, and in pages of the file.

use std::ops::AddAssign;

use crate::life::Bounds;
use crate::types::{IdempotencyKey, Message};

/// The bytes of a checksum.
pub(super) const SUM: usize = 8;
/// The header of a message's row in version 1: kind, time, id.
pub(super) const OLD_HEAD: usize = 1 + 8 + 16;
/// The same with a checksum after the kind.
pub(super) const HEAD: usize = OLD_HEAD + SUM;
/// The bytes of a key's row besides the key.
pub(super) const KEY_BYTES: usize = 37 + SUM;

/// The length of the payload in a message's row.
pub(super) fn payload_len(row: &[u8]) -> u64 {
    let head = if row.first().is_some_and(|kind| *kind <= 2) { OLD_HEAD } else { HEAD };
    row.len().saturating_sub(head) as u64
}

/// The weight of a message with this row, as retention counts it.
pub(super) fn weight(row: &[u8]) -> u64 {
    payload_len(row) + Message::OVERHEAD_BYTES
}

/// The weight of one or more messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Weight {
    /// As retention counts it.
    pub(super) bytes: u64,
    /// In pages of the file.
    pub(super) pages: u64,
    /// The part of it that is never evicted.
    pub(super) unevictable: u64,
}

impl Weight {
    /// The same of a channel with these bounds of its own.
    pub(super) fn never_evicted(self, bounds: Option<&Bounds>) -> Self {
        let keeps = bounds.is_some_and(Bounds::keep_everything);
        Self { unevictable: if keeps { self.bytes } else { 0 }, ..self }
    }

    pub(super) fn of(row: &[u8]) -> Self {
        Self { bytes: weight(row), pages: footprint(row.len() as u64), unevictable: 0 }
    }
}

impl AddAssign for Weight {
    fn add_assign(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.pages += other.pages;
        self.unevictable += other.unevictable;
    }
}

/// The space that a message's row of this length takes up in the file. A shared page is two thirds full; a row that fits
/// beside no other has a page of its own, of 4 KiB times a power of two.
pub(super) fn footprint(row: u64) -> u64 {
    const PAGE: u64 = 4_096;
    // The row's key and its offset.
    let row = row + 24;
    if row <= PAGE / 4 { row * 3 / 2 } else { (row + 8).next_power_of_two().max(PAGE / 2) }
}

/// The weight of a key with this row: the row, and one and a half times its entry in the table.
pub(super) fn key_row_weight(row: &[u8]) -> u64 {
    row.len() as u64 + 64
}

/// The weight of a key before it has a row.
pub(super) fn key_weight(key: &IdempotencyKey) -> u64 {
    (KEY_BYTES + key.as_str().len() + 64) as u64
}

/// The weight of a channel: its row, and its name twice.
pub(super) fn channel_weight(name: &str) -> u64 {
    2 * name.len() as u64 + 192
}
