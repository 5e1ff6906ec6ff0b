//! Whether a channel accepts publishes.

/// See the [module](self).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChannelPhase {
    Open,
    /// A publish that ends the channel is pending or visible.
    Closing,
    /// A change of the channel's life is pending, and everything else waits for it.
    Changing,
    /// The journal failed a publish, or does not know its outcome. Numbers after it may be void, so nothing is handed
    /// over until all publishes are answered.
    Failing,
    /// The channel was removed from the directory; holders of it look it up again.
    Forgotten,
}
