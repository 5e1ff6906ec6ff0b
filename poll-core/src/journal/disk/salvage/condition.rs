//! The result of checking a journal.

/// Counts of a journal's intact and damaged parts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Condition {
    /// Channels whose name and number are intact.
    pub channels: u64,
    /// Messages that are intact.
    pub messages: u64,
    /// Damage found: channels, ranges of messages, idempotency keys.
    pub damages: u64,
    /// Pages of the file with a wrong checksum, whether or not the rows on them are intact.
    pub pages: u64,
    /// Whether a server can open the file as it is.
    pub opens: bool,
}

impl Condition {
    /// Whether nothing is damaged.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.damages == 0 && self.pages == 0
    }
}
