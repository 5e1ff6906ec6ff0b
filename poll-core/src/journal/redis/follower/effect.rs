//! What goes out of the follower, and what it needs of the store.

use std::sync::Arc;
use std::time::Duration;

use crate::journal::Host;
use crate::journal::redis::log::generation::{Generation, Mark};
use crate::journal::redis::log::partition::Partition;
use crate::journal::redis::log::script::Newest;
use crate::types::{ChannelName, Ending, Epoch, Followed, Loaded, Message, Run, Seq};

/// How long what has to come may be on its way before it is asked for.
pub(super) const LATE: Duration = Duration::from_millis(100);

/// How long a publisher or a check waits for what is not visible before the channel is dropped from memory instead,
/// so that its readers load it; and how long a question may take before it is asked again.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// What the follower needs of the store.
pub(in crate::journal::redis) trait Shown {
    /// See [`Host::follow`].
    fn follow(&self, channel: &ChannelName, run: &Run<'_>) -> Followed;
    /// See [`Host::newest`].
    fn newest(&self, channel: &ChannelName) -> Option<(Epoch, Seq, Ending)>;
    /// See [`Host::reset`].
    fn reset(&self, channel: &ChannelName);
    /// See [`Host::announced`].
    fn announced(&self, channel: &ChannelName);
    /// See [`Host::missed`].
    fn missed(&self);
}

impl Shown for Host {
    fn follow(&self, channel: &ChannelName, run: &Run<'_>) -> Followed {
        Self::follow(self, channel, run)
    }

    fn newest(&self, channel: &ChannelName) -> Option<(Epoch, Seq, Ending)> {
        Self::newest(self, channel)
    }

    fn reset(&self, channel: &ChannelName) {
        Self::reset(self, channel);
    }

    fn announced(&self, channel: &ChannelName) {
        Self::announced(self, channel);
    }

    fn missed(&self) {
        Self::missed(self);
    }
}

/// What is to be done outside. `P` stands for a publisher, `C` for a reader that waits for a check. One that fails needs
/// no word, except a read: everything is asked for again in time.
#[derive(Debug)]
pub(in crate::journal::redis) enum Effect<P, C> {
    /// Ask a partition for its state.
    Ask(Partition),
    /// Begin a generation after this one, in place of what was found.
    Renew(Partition, Generation, Mark),
    /// Ask how far these channels are.
    Compare(Newest),
    /// Read a channel's messages after this one.
    Read(ChannelName, Epoch, Seq),
    /// What was published is visible, or the channel is not in memory.
    Answer(P),
    /// What was published is of a generation that has been replaced: it may be lost.
    Doubt(P),
    /// What the check asked for is visible, or the channel is not in memory.
    Checked(C),
    /// The same, and a later generation began while it waited: what it waited for may be lost.
    Over(C),
}

/// What to do with a channel that was loaded.
#[derive(Debug)]
pub(in crate::journal::redis) enum Install {
    /// Install this at once, before anything else is given to the follower.
    Now(Option<Loaded>),
    /// What was loaded is out of date; load it again.
    Again,
}

/// The messages of one publish, or some that were read.
#[derive(Debug, Clone)]
pub(in crate::journal::redis) struct OwnedRun {
    pub(in crate::journal::redis) epoch: Epoch,
    pub(in crate::journal::redis) after: Seq,
    pub(in crate::journal::redis) messages: Vec<Arc<Message>>,
    pub(in crate::journal::redis) ending: Ending,
}

impl OwnedRun {
    pub(super) fn as_run(&self) -> Run<'_> {
        Run { epoch: self.epoch, after: self.after, messages: &self.messages, ending: self.ending }
    }

    pub(super) fn newest(&self) -> Seq {
        self.messages.last().map_or(self.after, |message| message.seq)
    }
}
