//! How what is written becomes visible on this node: in order, once, and without a hole.
//!
//! Pure: no connection and no clock. What comes in is what arrived on the connections; what goes out ([`Effect`]) is what to
//! send next, and whom to answer. Messages go to the store at once ([`Shown`]).

use super::generation::{Generation, Mark};
use super::partition::Partition;
use super::script::Newest;
use crate::journal::Host;
use crate::types::{ChannelName, Ending, Epoch, Followed, Run, Seq};

/// What the follower needs of the store.
pub(super) trait Shown {
    /// See [`Host::follow`].
    fn follow(&self, channel: &ChannelName, run: &Run<'_>) -> Followed;
    /// See [`Host::newest`].
    fn newest(&self, channel: &ChannelName) -> Option<(Epoch, Seq, Ending)>;
    /// See [`Host::in_memory`].
    fn in_memory(&self) -> Vec<ChannelName>;
    /// See [`Host::reset`].
    fn reset(&self, channel: &ChannelName);
}

impl Shown for Host {
    fn follow(&self, channel: &ChannelName, run: &Run<'_>) -> Followed {
        Self::follow(self, channel, run)
    }

    fn newest(&self, channel: &ChannelName) -> Option<(Epoch, Seq, Ending)> {
        Self::newest(self, channel)
    }

    fn in_memory(&self) -> Vec<ChannelName> {
        Self::in_memory(self)
    }

    fn reset(&self, channel: &ChannelName) {
        Self::reset(self, channel);
    }
}

/// What is to be done outside. `P` stands for a publisher, `C` for a reader that waits for a check.
#[derive(Debug)]
pub(super) enum Effect<P, C> {
    /// Ask a partition for its state.
    Ask(Partition),
    /// Begin a generation after this one, in place of what was found.
    Renew(Partition, Generation, Mark),
    /// Ask which of these channels have changed.
    Compare(Newest),
    /// Read a channel's messages after this one.
    Read(ChannelName, Epoch, Seq),
    /// What was published is visible, or the channel is not in memory.
    Answer(P),
    /// What the check asked for is visible.
    Checked(C),
}
