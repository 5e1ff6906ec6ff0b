//! Where a channel's numbers and times come from: its state means something else where they come from elsewhere.

/// Where a channel's messages get their numbers and times, and where its seals are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Minting {
    /// In this process.
    Here,
    /// Where the shared log is.
    Elsewhere,
}
