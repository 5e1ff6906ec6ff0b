//! What is published and kept: a payload, and the message that it becomes.
//!
//! A message is immutable and shared. How it is rendered is up to the dialects.

use bytes::Bytes;
use uuid::Uuid;

use super::cursor::Seq;
use super::json::{self, JsonError, MAX_JSON_DEPTH};
use super::time::Timestamp;

/// What a publisher sent, and its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// One JSON value (RFC 8259) without insignificant white space and with line separators escaped, as
    /// [`Payload::json`] makes it.
    Json(Bytes),
    /// UTF-8 text.
    Text(Bytes),
    /// Any other bytes.
    Binary(Bytes),
}

/// One entry of a channel's log.
#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    /// Its number in the channel.
    pub seq: Seq,
    /// A UUID version 7 (RFC 9562 §5.7); ids of a channel sort as its messages do.
    pub id: Uuid,
    /// When it was taken; grows strictly within a channel.
    pub at: Timestamp,
    /// What was published.
    pub payload: Payload,
}

impl Payload {
    /// Checks one JSON value and compacts it.
    ///
    /// # Errors
    /// When the bytes are not one JSON value, or it is nested too deep (see [`MAX_JSON_DEPTH`]).
    pub fn json(text: &[u8]) -> Result<Self, JsonError> {
        json::compact_json(text, MAX_JSON_DEPTH).map(Self::Json)
    }

    /// Takes a text and frees its spare capacity.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into().into_boxed_str().into_boxed_bytes().into())
    }

    /// Copies bytes, because what was read from a socket is often a slice of a much larger buffer. Valid UTF-8 is kept
    /// as text, so that every dialect shows it as such.
    pub fn bytes(bytes: impl AsRef<[u8]>) -> Self {
        let bytes = Bytes::copy_from_slice(bytes.as_ref());
        if std::str::from_utf8(&bytes).is_ok() { Self::Text(bytes) } else { Self::Binary(bytes) }
    }

    /// Its type as a number, which journals keep beside the bytes.
    #[cfg(any(feature = "disk", feature = "redis"))]
    pub(crate) fn kind(&self) -> u8 {
        match self {
            Self::Json(_) => 0,
            Self::Text(_) => 1,
            Self::Binary(_) => 2,
        }
    }

    /// The payload that a journal kept as this type and these bytes; `None` if the type is unknown, or text is not UTF-8.
    #[cfg(any(feature = "disk", feature = "redis"))]
    pub(crate) fn kept(kind: u8, bytes: Bytes) -> Option<Self> {
        match kind {
            0 | 1 if std::str::from_utf8(&bytes).is_err() => None,
            0 => Some(Self::Json(bytes)),
            1 => Some(Self::Text(bytes)),
            2 => Some(Self::Binary(bytes)),
            _ => None,
        }
    }

    /// The payload's bytes as they are kept.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        let (Self::Json(bytes) | Self::Text(bytes) | Self::Binary(bytes)) = self;
        bytes
    }

    /// The payload's size in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// What retention counts for a message with this payload, in bytes.
    #[must_use]
    pub fn weight(&self) -> u64 {
        self.len() as u64 + Message::OVERHEAD_BYTES
    }

    /// Whether the payload has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Message {
    /// What retention counts for a message beside its payload, in bytes: its record and its entries in the log and the
    /// allocator.
    pub const OVERHEAD_BYTES: u64 = 128;

    /// Whether this belongs to the same publish as the message before it; the last bit of the id says so. Ids of messages
    /// from before this was told say anything.
    #[must_use]
    pub fn continues(&self) -> bool {
        self.id.as_u128() & 1 == 1
    }

    /// What retention counts for this message, in bytes.
    #[must_use]
    pub fn weight(&self) -> u64 {
        self.payload.weight()
    }
}

/// The UUID version 7 of a message taken at `at`: milliseconds, then the microsecond within them scaled to twelve bits
/// (RFC 9562 §6.2, method 3), then `random`. Strictly growing times give strictly growing ids.
#[must_use]
pub fn mint_id(at: Timestamp, random: u64) -> Uuid {
    let fraction = (at.as_micros() % 1_000) * 4_096 / 1_000;
    let high = at.as_millis() << 16 | 0x7000 | fraction;
    let low = 0b10 << 62 | random >> 2;
    Uuid::from_u64_pair(high, low)
}

/// The same for the first message of a publish, or a later one; see [`Message::continues`].
#[must_use]
pub(crate) fn mint_part(at: Timestamp, random: u64, part: Part) -> Uuid {
    mint_id(at, part.mark(random))
}

/// Which message of its publish one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    First,
    Later,
}

impl Part {
    /// Random bits of an id that say so.
    pub(crate) fn mark(self, random: u64) -> u64 {
        match self {
            Self::First => random & !(1 << 2),
            Self::Later => random | 1 << 2,
        }
    }
}

/// When a message with this id was taken, to the microsecond. An id of another version counts as the Unix epoch.
#[must_use]
pub fn time_of(id: Uuid) -> Timestamp {
    let (high, _) = id.as_u64_pair();
    if id.get_version_num() != 7 {
        return Timestamp::ZERO;
    }
    let micros = ((high & 0xfff) * 1_000).div_ceil(4_096);
    Timestamp::from_micros((high >> 16) * 1_000 + micros)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ids_sort_as_their_times_do(micros in 0u64..1 << 50, step in 1u64..2_000, a: u64, b: u64) {
            let earlier = mint_id(Timestamp::from_micros(micros), a);
            let later = mint_id(Timestamp::from_micros(micros + step), b);
            prop_assert!(earlier < later);
            prop_assert_eq!(time_of(earlier).as_micros(), micros);
            prop_assert_eq!(earlier.get_version_num(), 7);
            prop_assert_eq!(earlier.get_variant(), uuid::Variant::RFC4122);
        }
    }

    #[test]
    fn bytes_that_are_text_are_text() {
        assert_eq!(Payload::bytes("é".as_bytes()), Payload::text("é"));
        assert_eq!(Payload::bytes(&b"\xff"[..]), Payload::Binary(Bytes::from_static(b"\xff")));
    }
}
