//! What a publisher asks, and what it is answered.

use smallvec::{SmallVec, smallvec};
use uuid::Uuid;

use super::cursor::Cursor;
use super::idempotency::IdempotencyKey;
use super::message::Payload;
use super::time::Timestamp;

/// What a publisher asks. All of it is kept, or nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// What to append, in this order; usually one.
    pub payloads: SmallVec<[Payload; 1]>,
    /// The publisher's name for this publish, so that sending it again does not publish it twice.
    pub key: Option<IdempotencyKey>,
    /// Whether this is the channel's last.
    pub ending: Ending,
}

/// Whether a publish ends its channel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ending {
    /// More may follow.
    #[default]
    Open,
    /// Nothing follows: this closes the channel.
    Close,
}

/// The answer to a publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// One stamp for each payload, in the same order.
    pub stamps: Stamps,
    /// Where an earlier publish is answered again: the positions after those of its messages that are no longer
    /// retained. They have no stamp, because nothing else is known of them.
    pub gone: Vec<Cursor>,
    /// Whether this is the answer to an earlier publish under the same key.
    pub repeated: bool,
}

/// The stamps of one publish; usually one.
pub type Stamps = SmallVec<[Stamp; 1]>;

/// The number and time of a published message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The position after the message, which holds its number.
    pub cursor: Cursor,
    /// The message's id.
    pub id: Uuid,
    /// When it was taken.
    pub at: Timestamp,
}

impl Publish {
    /// One payload, and the channel stays open.
    #[must_use]
    pub fn one(payload: Payload) -> Self {
        Self { payloads: smallvec![payload], key: None, ending: Ending::Open }
    }

    /// Some payloads, all or none of them.
    #[must_use]
    pub fn many(payloads: Vec<Payload>) -> Self {
        Self { payloads: payloads.into(), key: None, ending: Ending::Open }
    }

    /// The same under a key.
    #[must_use]
    pub fn under(self, key: IdempotencyKey) -> Self {
        Self { key: Some(key), ..self }
    }

    /// The same as the channel's last.
    #[must_use]
    pub fn closing(self) -> Self {
        Self { ending: Ending::Close, ..self }
    }
}
