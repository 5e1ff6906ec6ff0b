//! How much of what channels hold may be in memory.

/// What the bound on memory is a bound of, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MemoryLimit {
    /// All that is retained: what goes from memory is gone.
    Retained(u64),
    /// The tail of what the journal keeps: what goes from memory can be read again.
    Tail(u64),
}

impl MemoryLimit {
    pub(crate) fn bytes(self) -> u64 {
        match self {
            Self::Retained(bytes) | Self::Tail(bytes) => bytes,
        }
    }

    /// How much the channels themselves may take, beside their logs: messages always have a quarter.
    pub(crate) fn for_channels(self) -> u64 {
        (self.bytes() / 4 * 3).max(Self::UNCOUNTED)
    }

    /// Up to here channels do not count, beside their logs: a small bound is one on messages.
    pub(crate) const UNCOUNTED: u64 = 1 << 20;
}
