//! What a subscription gives: messages, and everything else a reader must know so that nothing is lost in silence.
//!
//! Types only; `wire.rs` reads them from answers.

use std::borrow::Cow;

use bytes::Bytes;
use poll_core::{Cursor, Seq, Timestamp};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use uuid::Uuid;

/// One thing that happened on a channel.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A message.
    Message(Message),
    /// Messages were gone before they could be read; what follows is the oldest still there.
    Missed {
        /// How many, if that can be known.
        count: Option<u64>,
        /// The channel was born again, or the position was never one of it: numbering starts over.
        reset: bool,
    },
    /// Nothing more will come, and the subscription ends.
    Closed {
        /// Why.
        reason: Closed,
    },
}

/// Why a subscription ended by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Closed {
    /// The channel was closed, and everything on it was read.
    Ended,
}

/// One message.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// 1, 2, 3, … on its channel.
    pub seq: Seq,
    /// Its UUIDv7; streams do not send it.
    pub id: Option<Uuid>,
    /// Where to go on after it.
    pub cursor: Cursor,
    /// When it was published, by the server's clock.
    pub at: Timestamp,
    /// What it says.
    pub content: Content,
}

/// A message's content as it came.
#[derive(Debug, Clone)]
pub enum Content {
    /// A JSON value; a message published as text is a JSON string.
    Json(Box<RawValue>),
    /// Bytes that are not UTF-8.
    Binary(Bytes),
}

impl Content {
    /// The text of a JSON string, which is how text messages come.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        self.parse().ok()
    }

    /// Reads the JSON value into a type.
    ///
    /// # Errors
    /// When the value has another shape, or the content is bytes.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        match self {
            Self::Json(value) => serde_json::from_str(value.get()),
            Self::Binary(_) => Err(serde::de::Error::custom("the message is bytes, not JSON")),
        }
    }

    /// The content as one would save it: a JSON string's text, any other JSON value as it is written, bytes as they are.
    #[must_use]
    pub fn bytes(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Json(value) => match self.text() {
                Some(text) => Cow::Owned(text.into_bytes()),
                None => Cow::Borrowed(value.get().as_bytes()),
            },
            Self::Binary(bytes) => Cow::Borrowed(bytes),
        }
    }
}

/// Equal to the letter: two spellings of one JSON value differ.
impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Json(left), Self::Json(right)) => left.get() == right.get(),
            (Self::Binary(left), Self::Binary(right)) => left == right,
            _ => false,
        }
    }
}

/// Where a subscription starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StartAt {
    /// With the oldest message that is retained.
    Oldest,
    /// With the first message published from now on. Polls ask a stream once where now is.
    #[default]
    Now,
    /// After this position.
    After(Cursor),
}
