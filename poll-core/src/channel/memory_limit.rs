//! How much of what channels hold may be in memory.

/// What the bound on memory applies to, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MemoryLimit {
    /// Everything that is retained: what is dropped from memory is gone.
    Retained(u64),
    /// The tail of what the journal keeps: what is dropped from memory can be read again.
    Tail(u64),
}

impl MemoryLimit {
    pub(crate) fn bytes(self) -> u64 {
        match self {
            Self::Retained(bytes) | Self::Tail(bytes) => bytes,
        }
    }

    /// How much channels may use besides their logs: a quarter is always left for messages.
    pub(crate) fn for_channels(self) -> u64 {
        (self.bytes() / 4 * 3).max(Self::UNCOUNTED)
    }

    /// Up to this many bytes, channels do not count beside their logs: a small bound is one on messages.
    pub(crate) const UNCOUNTED: u64 = 1 << 20;
}
