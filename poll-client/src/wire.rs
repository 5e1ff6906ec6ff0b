//! Parsing of answers and stream lines.
//!
//! Unknown fields and unknown kinds of line, which a newer server may send, are ignored. A missing or invalid field is an
//! error, because a guess could lose a message.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use poll_core::{ChannelName, Cursor, Epoch, Seq, Timestamp, Token};
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
    #[serde(deserialize_with = "token")]
    pub(crate) cursor: Token,
    #[serde(borrow, default)]
    missed: Missed<'a>,
    #[serde(borrow, default)]
    reset: Reset<'a>,
    #[serde(default)]
    pub(crate) closed: bool,
    #[serde(borrow, default)]
    pub(crate) refused: Vec<Cow<'a, str>>,
}

/// How many messages were missed.
#[derive(Deserialize)]
#[serde(untagged)]
enum Missed<'a> {
    /// On the one channel asked for; absent if none.
    OfOne(Option<u64>),
    #[serde(borrow)]
    OfSeveral(Vec<MissedOf<'a>>),
}

#[derive(Deserialize)]
struct MissedOf<'a> {
    #[serde(borrow)]
    channel: Cow<'a, str>,
    missed: u64,
}

/// Which channels were reset.
#[derive(Deserialize)]
#[serde(untagged)]
enum Reset<'a> {
    OfOne(bool),
    #[serde(borrow)]
    OfSeveral(Vec<Cow<'a, str>>),
}

/// Messages that a polled answer says are gone.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Gap<'a> {
    /// `None` for the one channel asked for.
    pub(crate) channel: Option<&'a str>,
    pub(crate) count: Option<u64>,
    pub(crate) reset: bool,
}

impl Default for Missed<'_> {
    fn default() -> Self {
        Self::OfOne(None)
    }
}

impl Default for Reset<'_> {
    fn default() -> Self {
        Self::OfOne(false)
    }
}

impl PollAnswer<'_> {
    /// What is gone, at most one gap a channel.
    pub(crate) fn gaps(&self) -> Vec<Gap<'_>> {
        let mut gaps = Vec::new();
        match &self.missed {
            Missed::OfOne(None) => {}
            Missed::OfOne(count) => gaps.push(Gap { channel: None, count: *count, reset: false }),
            Missed::OfSeveral(list) => gaps.extend(list.iter().map(|MissedOf { channel, missed }| Gap {
                channel: Some(channel.as_ref()),
                count: Some(*missed),
                reset: false,
            })),
        }
        let mut reset = |channel| match gaps.iter_mut().find(|gap| gap.channel == channel) {
            Some(gap) => gap.reset = true,
            None => gaps.push(Gap { channel, count: None, reset: true }),
        };
        match &self.reset {
            Reset::OfOne(false) => {}
            Reset::OfOne(true) => reset(None),
            Reset::OfSeveral(list) => list.iter().for_each(|channel| reset(Some(channel.as_ref()))),
        }
        gaps
    }
}

/// A message in polls, pushes and `/api/messages`.
#[derive(Deserialize)]
pub(crate) struct Record<'a> {
    id: u64,
    /// Only where several channels were asked for.
    #[serde(borrow, default)]
    pub(crate) channel: Option<Cow<'a, str>>,
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
    /// Only where several channels were asked for.
    #[serde(borrow)]
    pub(crate) channel: Option<Cow<'a, str>>,
    pub(crate) id: Option<u64>,
    #[serde(borrow)]
    pub(crate) uuid: Option<Cow<'a, str>>,
    /// A message may be `null`.
    #[serde(borrow, deserialize_with = "some_value")]
    pub(crate) message: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) encoding: Option<Cow<'a, str>>,
    #[serde(deserialize_with = "some_token")]
    pub(crate) cursor: Option<Token>,
    #[serde(deserialize_with = "some_timestamp")]
    pub(crate) timestamp: Option<Timestamp>,
    pub(crate) missed: Option<u64>,
    pub(crate) reset: bool,
    #[serde(borrow)]
    pub(crate) reason: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(crate) refused: Vec<Cow<'a, str>>,
}

impl Record<'_> {
    /// `epoch` comes from the answer.
    pub(crate) fn message(self, channel: &ChannelName, epoch: Epoch) -> Result<Message, Error> {
        let seq = Seq::new(self.id);
        Ok(Message {
            channel: channel.clone(),
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

    /// The message of a line that contains one, at its own channel's part of the line's token.
    pub(crate) fn message(&self, channel: &ChannelName, cursor: Cursor) -> Result<Message, Error> {
        let (Some(value), Some(seq), Some(at)) = (self.message, self.id, self.timestamp) else {
            return Err(Error::Protocol("a message line without id, message or timestamp".to_owned()));
        };
        let seq = Seq::new(seq);
        if seq != cursor.seq {
            return Err(Error::Protocol(format!(
                "message {seq} of {channel} with the cursor of {}",
                cursor.seq
            )));
        }
        let id = self.uuid.as_deref().map(uuid).transpose()?;
        let content = content(value, self.encoding.as_deref())?;
        Ok(Message { channel: channel.clone(), seq, id, cursor, at, content })
    }

    /// The token of a line that must have one.
    pub(crate) fn required_token(&self) -> Result<&Token, Error> {
        self.cursor.as_ref().ok_or_else(|| Error::Protocol(format!("a {} line without cursor", self.kind)))
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

fn some_value<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&'a RawValue>::deserialize(deserializer).map(Some)
}

/// Reads a cursor's text.
pub(crate) fn cursor<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Cursor, D::Error> {
    Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

/// Reads a token's text.
fn token<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Token, D::Error> {
    Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

fn some_token<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Token>, D::Error> {
    token(deserializer).map(Some)
}

/// Reads a UUID's text.
pub(crate) fn id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Uuid, D::Error> {
    Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: &str = "0000000000000001000000000000002a";

    fn channel() -> ChannelName {
        ChannelName::parse("c").unwrap()
    }

    #[test]
    fn bytes_come_back_as_bytes_and_text_as_a_json_string() {
        let line = format!(
            r#"{{"type":"update","counter":42,"id":42,"message":"aGn/","encoding":"base64","cursor":"{AT}","timestamp":"2026-11-20T22:49:38.123456Z"}}"#
        );
        let message = Line::read(line.as_bytes()).unwrap().message(&channel(), AT.parse().unwrap()).unwrap();
        assert_eq!(message.content, Content::Binary(b"hi\xff"[..].into()));
        assert_eq!((message.seq.get(), message.cursor.to_string()), (42, AT.to_owned()));
        assert_eq!(message.at.to_string(), "2026-11-20T22:49:38.123456Z");

        let record = br#"{"id":1,"uuid":"0193447e-7a80-7000-8000-000000000000","content":"a\"b","timestamp":"2026-11-20T22:49:38.123Z"}"#;
        let message = read::<Record<'_>>(record).unwrap().message(&channel(), Epoch::new(1)).unwrap();
        assert_eq!(message.content.text().as_deref(), Some("a\"b"));
        assert!(message.id.is_some());
    }

    #[test]
    fn what_could_lose_a_message_is_an_error_and_what_is_new_is_passed_over() {
        let is_message =
            |line: &[u8]| Line::read(line).unwrap().message(&channel(), AT.parse().unwrap()).is_ok();
        assert!(Line::read(br#"{"type":"weather","id":1,"new":[1,2]}"#).unwrap().message.is_none());
        assert!(Line::read(br#"{"type":"update","id":1,"message":1}"#).unwrap().required_token().is_err());
        let timed = |id: u64| format!(r#"{{"id":{id},"message":1,"timestamp":"2026-11-20T22:49:38Z"}}"#);
        assert!(is_message(timed(42).as_bytes()) && !is_message(timed(41).as_bytes()));
        assert!(!is_message(br#"{"id":42,"message":1}"#));
        assert!(Line::read(br#"{"type":"update","cursor":"zz"}"#).is_err());
        assert!(Line::read(b"{\"type\":").is_err());
        assert!(read::<PollAnswer<'_>>(br#"{"messages":[]}"#).is_err());
    }

    #[test]
    fn gaps_are_of_the_one_channel_or_named() {
        let gap = |channel, count, reset| Gap { channel, count, reset };
        for (flags, expected) in [
            ("", vec![]),
            (r#","missed":3"#, vec![gap(None, Some(3), false)]),
            (r#","reset":true"#, vec![gap(None, None, true)]),
            (r#","missed":3,"reset":true"#, vec![gap(None, Some(3), true)]),
            (
                r#","missed":[{"channel":"a","missed":2},{"channel":"b","missed":1}],"reset":["c","b"]"#,
                vec![
                    gap(Some("a"), Some(2), false),
                    gap(Some("b"), Some(1), true),
                    gap(Some("c"), None, true),
                ],
            ),
        ] {
            let text = format!(r#"{{"messages":[],"cursor":"{AT}"{flags}}}"#);
            assert_eq!(read::<PollAnswer<'_>>(text.as_bytes()).unwrap().gaps(), expected, "{flags}");
        }
    }
}
