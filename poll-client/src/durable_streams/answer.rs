//! What the headers of an answer say.
//!
//! A header that is missing or not of its form is an error where a guess could lose content, and nothing elsewhere.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};

use super::offset::{Offset, OffsetError};
use crate::client::Client;
use crate::error::{Error, Problem};
use crate::exchange::{Answer, Sent};

pub(super) const CLOSED: &str = "stream-closed";
pub(super) const CURSOR: &str = "stream-cursor";
pub(super) const EPOCH: &str = "producer-epoch";
pub(super) const EXPECTED_SEQ: &str = "producer-expected-seq";
pub(super) const EXPIRES_AT: &str = "stream-expires-at";
pub(super) const MISSED: &str = "poll-missed";
pub(super) const NEXT_OFFSET: &str = "stream-next-offset";
pub(super) const PRODUCER: &str = "producer-id";
pub(super) const PRODUCER_SEQ: &str = "producer-seq";
pub(super) const RECEIVED_SEQ: &str = "producer-received-seq";
pub(super) const SEQ: &str = "stream-seq";
pub(super) const SSE_DATA_ENCODING: &str = "stream-sse-data-encoding";
pub(super) const TTL: &str = "stream-ttl";
pub(super) const UP_TO_DATE: &str = "stream-up-to-date";

/// An answer that was read to its end.
pub(super) struct Answered {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) sent: Sent,
}

/// What follows a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// More, which is there.
    Further,
    /// Nothing yet.
    UpToDate,
    /// Nothing ever.
    Closed,
}

/// What a stream's content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Json,
    Text,
    Bytes,
}

impl Answered {
    pub(super) async fn read(answer: Answer, client: &Client) -> Result<Self, Error> {
        let settings = &client.inner.settings;
        let (status, headers, sent) = (answer.status, answer.headers.clone(), answer.sent);
        let body = match status.is_success() {
            true => answer.whole(settings.max_answer_bytes, settings.answer_within).await?,
            // A body that is too long or breaks off must not hide the status.
            false => answer.whole(Problem::MAX_BODY, settings.answer_within).await.unwrap_or_default(),
        };
        Ok(Self { status, headers, body, sent })
    }

    pub(super) fn successful(self) -> Result<Self, Error> {
        if self.status.is_success() { Ok(self) } else { Err(self.refusal()) }
    }

    pub(super) fn refusal(&self) -> Error {
        Error::Refused(Problem::read(self.status.as_u16(), &self.headers, &self.body))
    }

    /// Where the answer ends.
    pub(super) fn next_offset(&self) -> Result<Offset, Error> {
        let text = text(&self.headers, NEXT_OFFSET).ok_or_else(|| missing(NEXT_OFFSET))?;
        text.parse().map_err(|error: OffsetError| Error::Protocol(error.to_string()))
    }

    pub(super) fn content_type(&self) -> Option<&str> {
        text(&self.headers, CONTENT_TYPE.as_str())
    }

    pub(super) fn kind(&self) -> Kind {
        let kind = self.content_type().unwrap_or_default().to_ascii_lowercase();
        match kind.split(';').next().unwrap_or_default().trim() {
            "application/json" => Kind::Json,
            kind if kind.starts_with("text/") => Kind::Text,
            _ => Kind::Bytes,
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        is_true(&self.headers, CLOSED)
    }

    pub(super) fn reach(&self) -> Reach {
        match (self.is_closed(), is_true(&self.headers, UP_TO_DATE)) {
            (true, _) => Reach::Closed,
            (false, true) => Reach::UpToDate,
            (false, false) => Reach::Further,
        }
    }
}

pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

pub(super) fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    text(headers, name)?.parse().ok()
}

fn is_true(headers: &HeaderMap, name: &str) -> bool {
    text(headers, name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

fn missing(name: &str) -> Error {
    Error::Protocol(format!("an answer without {name}"))
}
