//! What is read back from a journal: the part of a log that is not in memory.

use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use super::channel_name::ChannelName;
use super::cursor::{Epoch, Seq};
use super::idempotency::{IdempotencyKey, SeqRange};
use super::limit::Limit;
use super::message::Message;
use super::time::Timestamp;

/// A channel as it was kept.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// Its incarnation.
    pub epoch: Epoch,
    /// The number and time of the oldest retained message; the number after the newest if nothing is retained.
    pub oldest: (Seq, Timestamp),
    /// The number and time of the newest message, retained or not.
    pub newest: (Seq, Timestamp),
    /// Whether the channel was closed.
    pub ended: bool,
    /// Its life as it was [encoded](crate::life::Life::to_bytes), if it has one.
    pub life: Option<Bytes>,
    /// The newest messages, oldest first, without holes; at least one if any is retained, unless the newest is damaged.
    pub tail: Vec<Arc<Message>>,
    /// The first and last of the damaged messages after everything that can be read, if there are any.
    pub damaged: Option<(Seq, Seq)>,
}

/// An idempotency key and its publish.
#[derive(Debug, Clone)]
pub struct KeptKey {
    /// The publisher's name for the publish.
    pub key: IdempotencyKey,
    /// The hash of the payload.
    pub fingerprint: [u8; 32],
    /// When the publish was taken.
    pub taken: Timestamp,
    /// The messages of the publish.
    pub numbers: SeqRange,
}

/// Which messages to read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Stretch {
    /// Of which channel.
    pub channel: ChannelName,
    /// Of which incarnation.
    pub epoch: Epoch,
    /// Those after this number.
    pub after: Seq,
    /// How many of them.
    pub limit: Limit,
}

/// The answer to a [`Stretch`].
#[derive(Debug)]
pub struct Piece {
    /// The number and time of the oldest message that could be read, retained or not; the number after the newest if
    /// there was none.
    pub oldest: (Seq, Timestamp),
    /// The messages from the start of the stretch, without holes, up to the first that cannot be read.
    pub messages: Vec<Arc<Message>>,
    /// If the first message of the stretch cannot be read: the last one after it that cannot either.
    pub damaged: Option<Seq>,
}

/// A position in a channel that is not a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Landmark {
    /// The newest message taken at or before a time.
    Time(Timestamp),
    /// The newest message whose id is not above this one.
    Id(Uuid),
}

impl Landmark {
    /// Whether a message is at or before it.
    #[must_use]
    pub fn covers(self, at: Timestamp, id: Uuid) -> bool {
        match self {
            Self::Time(time) => at <= time,
            Self::Id(newest) => id <= newest,
        }
    }
}

/// The messages around a landmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Located {
    /// The newest readable message at or before the landmark; `None` if everything kept comes after it.
    pub before: Option<Seq>,
    /// The number and time of the first message after it; `None` if nothing follows.
    pub after: Option<(Seq, Timestamp)>,
    /// The number after the newest message at that time.
    pub end: Seq,
}
