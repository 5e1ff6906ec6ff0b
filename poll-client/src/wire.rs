//! Parsing of answers and stream lines.
//!
//! Unknown fields and unknown kinds of line, which a newer server may send, are ignored. A missing or invalid field is an
//! error, because a guess could lose a message.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use poll_core::{Cursor, Epoch, Seq, Timestamp};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::error::Error;
use crate::message::{Content, Message};

/// The most messages in an answer.
pub(crate) const LIMIT: usize = 1000;

/// A polled answer.
#[derive(Deserialize)]
pub(crate) struct PollAnswer<'a> {
    #[serde(borrow)]
    pub(crate) messages: Vec<Record<'a>>,
    #[serde(deserialize_with = "cursor")]
    pub(crate) cursor: Cursor,
    #[serde(default)]
    pub(crate) missed: Option<u64>,
    #[serde(default)]
    pub(crate) reset: bool,
    #[serde(default)]
    pub(crate) closed: bool,
}

/// A message in polls, pushes and `/api/messages`.
#[derive(Deserialize)]
pub(crate) struct Record<'a> {
    id: u64,
    #[serde(borrow, default)]
    uuid: Option<Cow<'a, str>>,
    #[serde(borrow)]
    content: &'a RawValue,
    #[serde(borrow, default)]
    encoding: Option<Cow<'a, str>>,
    #[serde(deserialize_with = "timestamp")]
    timestamp: Timestamp,
}

/// A stream's line. Which fields it has depends on its kind.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Line<'a> {
    #[serde(borrow, rename = "type")]
    pub(crate) kind: Cow<'a, str>,
    pub(crate) id: Option<u64>,
    #[serde(borrow)]
    pub(crate) uuid: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(crate) message: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) encoding: Option<Cow<'a, str>>,
    #[serde(deserialize_with = "some_cursor")]
    pub(crate) cursor: Option<Cursor>,
    #[serde(deserialize_with = "some_timestamp")]
    pub(crate) timestamp: Option<Timestamp>,
    pub(crate) missed: Option<u64>,
    pub(crate) reset: bool,
    #[serde(borrow)]
    pub(crate) reason: Option<Cow<'a, str>>,
}

impl Record<'_> {
    /// `epoch` comes from the answer.
    pub(crate) fn message(self, epoch: Epoch) -> Result<Message, Error> {
        let seq = Seq::new(self.id);
        Ok(Message {
            seq,
            id: self.uuid.as_deref().map(uuid).transpose()?,
            cursor: Cursor { epoch, seq },
            at: self.timestamp,
            content: content(self.content, self.encoding.as_deref())?,
        })
    }
}

impl<'a> Line<'a> {
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, Error> {
        read(bytes)
    }

    /// The kind of a line that has one; a job's steps have none.
    pub(crate) fn kind_of(bytes: &'a [u8]) -> Result<Option<Cow<'a, str>>, Error> {
        #[derive(Deserialize)]
        struct Kind<'a> {
            #[serde(borrow, rename = "type")]
            kind: Option<Cow<'a, str>>,
        }
        read::<Kind<'a>>(bytes).map(|line| line.kind)
    }

    /// The message of a line that contains one.
    pub(crate) fn message(&self) -> Result<Option<Message>, Error> {
        let Some(value) = self.message else { return Ok(None) };
        let (Some(seq), Some(cursor), Some(at)) = (self.id, self.cursor, self.timestamp) else {
            return Err(Error::Protocol("a message line without id, cursor or timestamp".to_owned()));
        };
        let id = self.uuid.as_deref().map(uuid).transpose()?;
        let content = content(value, self.encoding.as_deref())?;
        Ok(Some(Message { seq: Seq::new(seq), id, cursor, at, content }))
    }

    /// The cursor of a line that must have one.
    pub(crate) fn required_cursor(&self) -> Result<Cursor, Error> {
        self.cursor.ok_or_else(|| Error::Protocol(format!("a {} line without cursor", self.kind)))
    }
}

/// Parses JSON.
pub(crate) fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|error| Error::Protocol(error.to_string()))
}

fn content(value: &RawValue, encoding: Option<&str>) -> Result<Content, Error> {
    match encoding {
        None => Ok(Content::Json(value.to_owned())),
        Some("base64") => {
            let text: Cow<'_, str> = read(value.get().as_bytes())?;
            let bytes =
                STANDARD.decode(text.as_bytes()).map_err(|error| Error::Protocol(error.to_string()))?;
            Ok(Content::Binary(bytes.into()))
        }
        Some(other) => Err(Error::Protocol(format!("unknown encoding {other}"))),
    }
}

fn uuid(text: &str) -> Result<Uuid, Error> {
    text.parse().map_err(|_| Error::Protocol(format!("{text} is not a UUID")))
}

/// Reads an RFC 3339 time.
pub(crate) fn timestamp<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let text = Cow::<'de, str>::deserialize(deserializer)?;
    let time: jiff::Timestamp = text.parse().map_err(serde::de::Error::custom)?;
    Ok(Timestamp::from_micros(u64::try_from(time.as_microsecond()).unwrap_or(0)))
}

fn some_timestamp<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    timestamp(deserializer).map(Some)
}

/// Reads a cursor's text.
pub(crate) fn cursor<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Cursor, D::Error> {
    Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

fn some_cursor<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Cursor>, D::Error> {
    cursor(deserializer).map(Some)
}

/// Reads a UUID's text.
pub(crate) fn id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Uuid, D::Error> {
    Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: &str = "0000000000000001000000000000002a";

    #[test]
    fn bytes_come_back_as_bytes_and_text_as_a_json_string() {
        let line = format!(
            r#"{{"type":"update","counter":42,"id":42,"message":"aGn/","encoding":"base64","cursor":"{AT}","timestamp":"2026-11-20T22:49:38.123456Z"}}"#
        );
        let message = Line::read(line.as_bytes()).unwrap().message().unwrap().unwrap();
        assert_eq!(message.content, Content::Binary(b"hi\xff"[..].into()));
        assert_eq!((message.seq.get(), message.cursor.to_string()), (42, AT.to_owned()));
        assert_eq!(message.at.to_string(), "2026-11-20T22:49:38.123456Z");

        let record = br#"{"id":1,"uuid":"0193447e-7a80-7000-8000-000000000000","content":"a\"b","timestamp":"2026-11-20T22:49:38.123Z"}"#;
        let message = read::<Record<'_>>(record).unwrap().message(Epoch::new(1)).unwrap();
        assert_eq!(message.content.text().as_deref(), Some("a\"b"));
        assert!(message.id.is_some());
    }

    #[test]
    fn what_could_lose_a_message_is_an_error_and_what_is_new_is_passed_over() {
        assert!(
            Line::read(br#"{"type":"weather","id":1,"new":[1,2]}"#).unwrap().message().unwrap().is_none()
        );
        assert!(Line::read(br#"{"type":"update","id":1,"message":1}"#).unwrap().message().is_err());
        assert!(Line::read(br#"{"type":"update","cursor":"zz"}"#).is_err());
        assert!(Line::read(b"{\"type\":").is_err());
        assert!(read::<PollAnswer<'_>>(br#"{"messages":[]}"#).is_err());
    }
}
