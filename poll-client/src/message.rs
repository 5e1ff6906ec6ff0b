//! What a subscription yields: messages, and everything a reader must know so that none is lost unnoticed.
//!
//! Types only; `wire.rs` parses them.

use std::borrow::Cow;

use bytes::Bytes;
use poll_core::{ChannelName, Cursor, Seq, Timestamp, Token};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use uuid::Uuid;

/// One thing that happened on a channel, or on all of them.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A message.
    Message(Message),
    /// Messages were no longer retained; the next one is the oldest that is.
    Missed {
        /// Of this channel.
        channel: ChannelName,
        /// How many, if known.
        count: Option<u64>,
        /// The channel was created anew, or the position never was one of it: numbering starts over.
        reset: bool,
    },
    /// The reader may not read this channel. The subscription goes on with the others, and with this one should the server
    /// change its mind. If none may be read, it ends with [`Error::Refused`](crate::Error::Refused) instead.
    Refused {
        /// The channel.
        channel: ChannelName,
    },
    /// No more messages will come, and the subscription ends.
    Closed {
        /// Why.
        reason: Closed,
    },
}

/// Why a subscription ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Closed {
    /// The channel has ended and was read to its end; of several, all.
    Ended,
}

/// One message.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Where it was published.
    pub channel: ChannelName,
    /// 1, 2, 3, … on its channel.
    pub seq: Seq,
    /// Its UUIDv7, which streams do not send.
    pub id: Option<Uuid>,
    /// The position after it, on its channel. With several channels
    /// [`Subscription::position`](crate::Subscription::position) is the position in all.
    pub cursor: Cursor,
    /// When it was published, by the server's clock.
    pub at: Timestamp,
    /// Its content.
    pub content: Content,
}

/// A message's content.
#[derive(Debug, Clone)]
pub enum Content {
    /// A JSON value; a message published as text is a JSON string.
    Json(Box<RawValue>),
    /// Bytes that are not UTF-8.
    Binary(Bytes),
}

impl Content {
    /// The text of a JSON string, which is what text messages are.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        self.parse().ok()
    }

    /// Deserializes the JSON value.
    ///
    /// # Errors
    /// If the value does not match the type, or the content is bytes.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        match self {
            Self::Json(value) => serde_json::from_str(value.get()),
            Self::Binary(_) => Err(serde::de::Error::custom("the message is bytes, not JSON")),
        }
    }

    /// The content as one would save it: the text of a JSON string, other JSON as written, bytes as they are.
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

/// Compares JSON byte for byte, so two spellings of one value differ.
impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Json(left), Self::Json(right)) => left.get() == right.get(),
            (Self::Binary(left), Self::Binary(right)) => left == right,
            _ => false,
        }
    }
}

/// Where a subscription starts, on each of its channels.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum StartAt {
    /// With the oldest retained message.
    Oldest,
    /// With the next message published. Polls open a stream once to learn the current position.
    #[default]
    Now,
    /// After this position: a message's cursor, or [`Subscription::position`](crate::Subscription::position).
    ///
    /// Channels that the token does not know start with the next message published. One channel's cursor given for several
    /// channels belongs to the one that it came from; a cursor that came from none of them is a reset of all.
    After(Token),
}

impl Event {
    /// The channel it happened on, unless it happened on all.
    #[must_use]
    pub fn channel(&self) -> Option<&ChannelName> {
        match self {
            Self::Message(message) => Some(&message.channel),
            Self::Missed { channel, .. } | Self::Refused { channel } => Some(channel),
            Self::Closed { .. } => None,
        }
    }
}
