//! Reading: what is there now, in one request, and what is known of a stream.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde::de::DeserializeOwned;

use super::answer::{Answered, EXPIRES_AT, Kind, MISSED, Reach, TTL, number, text};
use super::offset::Offset;
use super::stream::DurableStream;
use crate::error::Error;
use crate::exchange::encode;
use crate::wire;

/// A piece of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// The content: of a JSON stream an array of values, or nothing; of any other its bytes.
    pub data: Bytes,
    /// Where to go on.
    pub next: Offset,
    /// What follows it.
    pub reach: Reach,
    /// How many messages before it are no longer retained. Only on poll servers, where others publish to the stream.
    pub missed: u64,
}

/// What is known of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// Its end.
    pub end: Offset,
    /// Its content type.
    pub content_type: Option<String>,
    /// Whether nothing will follow.
    pub closed: bool,
    /// How long it lives after its last use.
    pub ttl: Option<Duration>,
    /// Until when it lives, as a time of RFC 3339.
    pub expires_at: Option<String>,
}

impl Chunk {
    /// The values of a JSON stream.
    ///
    /// # Errors
    /// [`Error::Protocol`] if it is not an array of such values.
    pub fn json<T: DeserializeOwned>(&self) -> Result<Vec<T>, Error> {
        if self.data.is_empty() {
            return Ok(Vec::new());
        }
        wire::read(&self.data)
    }

    pub(super) fn of(answered: Answered) -> Result<Self, Error> {
        let (next, reach) = (answered.next_offset()?, answered.reach());
        let missed = number(&answered.headers, MISSED).unwrap_or(0);
        let is_empty = &*answered.body == b"[]" && answered.kind() == Kind::Json;
        let data = if is_empty { Bytes::new() } else { answered.body };
        Ok(Self { data, next, reach, missed })
    }
}

impl DurableStream {
    /// Reads what follows the offset, as much as the server gives at once. Repeated after failures.
    ///
    /// # Errors
    /// [`Error::Refused`] with 410 if what follows is no longer retained, or the stream is deleted and read by forks only;
    /// otherwise as [`Self::delete`].
    pub async fn read(&self, from: &Offset) -> Result<Chunk, Error> {
        let mut call = self.call(Method::GET);
        call.target = self.target(from, "");
        Chunk::of(self.until_answered(&call).await?)
    }

    /// What is known of it. Repeated after failures.
    ///
    /// # Errors
    /// As [`Self::delete`].
    pub async fn head(&self) -> Result<Metadata, Error> {
        let answered = self.until_answered(&self.call(Method::HEAD)).await?;
        Ok(Metadata {
            end: answered.next_offset()?,
            content_type: answered.content_type().map(str::to_owned),
            closed: answered.is_closed(),
            ttl: number(&answered.headers, TTL).map(Duration::from_secs),
            expires_at: text(&answered.headers, EXPIRES_AT).map(str::to_owned),
        })
    }

    /// The path with where to read from, and further parameters.
    pub(super) fn target(&self, from: &Offset, more: &str) -> String {
        let separator = if self.path.contains('?') { '&' } else { '?' };
        format!("{}{separator}offset={}{more}", self.path, encode(from.as_str()))
    }
}
