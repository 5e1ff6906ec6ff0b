//! What a journal that several servers share shows to each of them, and what became of it.

use std::sync::Arc;

use super::cursor::{Epoch, Seq};
use super::message::Message;
use super::publish::Ending;

/// Messages of a shared channel that follow one another, oldest first.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    /// The channel's incarnation.
    pub epoch: Epoch,
    /// The number before the first of the messages; where there are none, the channel's newest.
    pub after: Seq,
    /// The messages, numbered without holes.
    pub messages: &'a [Arc<Message>],
    /// Whether the channel ended with them.
    pub ending: Ending,
}

/// What became of a [`Run`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Followed {
    /// All of it is visible, now or already before.
    Shown,
    /// Nothing was shown: messages between this number, the newest that is visible, and the run are missing. What comes
    /// after it has to be read from the log first.
    Behind(Seq),
    /// The channel is not in memory: no reader of it waits here.
    NotInMemory,
    /// Nothing was shown: what is in memory is of another incarnation, or the run contradicts it.
    OtherEpoch,
}
