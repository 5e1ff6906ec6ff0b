//! What a journal gives back: the part of a log that is not in memory.

use std::sync::Arc;

use uuid::Uuid;

use super::channel_name::ChannelName;
use super::cursor::{Epoch, Seq};
use super::idempotency::{IdempotencyKey, SeqRange};
use super::limit::Limit;
use super::message::Message;
use super::time::Timestamp;

/// A channel as it was kept.
#[derive(Debug)]
pub struct Loaded {
    /// Its life.
    pub epoch: Epoch,
    /// The oldest retained message's number and time; the number after the newest where nothing is retained.
    pub oldest: (Seq, Timestamp),
    /// The newest message's number and time, retained or not.
    pub newest: (Seq, Timestamp),
    /// Whether the channel was closed.
    pub ended: bool,
    /// The newest messages, oldest first, without holes; at least one where any is retained, unless the newest is
    /// damaged.
    pub tail: Vec<Arc<Message>>,
    /// The first and the last of the damaged messages behind all that can be read, if there are any.
    pub damaged: Option<(Seq, Seq)>,
}

/// An idempotency key and the publish it stands for.
#[derive(Debug, Clone)]
pub struct KeptKey {
    /// The publisher's name for the publish.
    pub key: IdempotencyKey,
    /// Tells the publish's payload from others.
    pub fingerprint: [u8; 32],
    /// When the publish was taken.
    pub taken: Timestamp,
    /// The messages that it brought.
    pub numbers: SeqRange,
}

/// Which messages to read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Stretch {
    /// Whose.
    pub channel: ChannelName,
    /// Of which life.
    pub epoch: Epoch,
    /// Those after this one.
    pub after: Seq,
    /// As many of them.
    pub limit: Limit,
}

/// What a [`Stretch`] brought.
#[derive(Debug)]
pub struct Piece {
    /// The oldest message that could be read then, whether or not retention covers it, and when it was taken; the
    /// number after the newest where there was none.
    pub oldest: (Seq, Timestamp),
    /// The messages behind the stretch's beginning, without holes: up to the first that cannot be read.
    pub messages: Vec<Arc<Message>>,
    /// Where the first that is asked for cannot be read: the last that cannot be read behind it.
    pub damaged: Option<Seq>,
}

/// A place in a channel that is not a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Landmark {
    /// The newest message taken at or before a time.
    Time(Timestamp),
    /// The newest message whose id is not above this one.
    Id(Uuid),
}

/// What lies around a landmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Located {
    /// The newest message that can be read at or before the landmark; `None` where all that is kept lies after it.
    pub before: Option<Seq>,
    /// The first message after it, and when that was taken; `None` where nothing follows.
    pub after: Option<(Seq, Timestamp)>,
    /// The number after the newest message there was then.
    pub end: Seq,
}
