//! One line of a backup.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::journal::disk::codec::Row;
use crate::journal::disk::format;
use crate::life::{Life, LifeRecord, Producer, ProducerId};
use crate::types::{Epoch, Message, Payload, Seq, Timestamp, escape_line_separators};

/// One line of a backup.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Record {
    /// What follows is of this channel.
    Channel(ChannelRecord),
    /// A message. Its channel's line is before it.
    Message(MessageRecord),
    /// Messages that were lost. Later ones keep their numbers.
    Lost(LostRecord),
    /// An event as golongpoll persists it.
    Event(EventRecord),
}

/// A channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelRecord {
    /// Its name.
    pub channel: String,
    /// Its epoch, as 16 hexadecimal digits.
    pub epoch: String,
    /// The number of its oldest message; the one after the newest where none is retained.
    pub oldest: u64,
    /// The number of its newest message, retained or not.
    pub newest: u64,
    /// When that was taken, in microseconds since the Unix epoch.
    pub newest_at: u64,
    /// Whether it has ended.
    pub ended: bool,
    /// Its life, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub life: Option<Box<LifeRecord>>,
    /// The producers that it remembers: name, epoch, last number, and time in microseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub producers: Vec<(String, u64, u64, u64)>,
}

/// A message. One of the three payloads is there.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MessageRecord {
    /// Its number.
    pub seq: u64,
    /// Its id.
    pub id: Uuid,
    /// When it was taken, in microseconds since the Unix epoch.
    pub at: u64,
    /// A payload of JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json: Option<Box<RawValue>>,
    /// A payload of text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// A payload of bytes, as base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
}

/// Messages of which nothing but the numbers is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LostRecord {
    /// The first one's number.
    pub lost_from: u64,
    /// The last one's.
    pub lost_to: u64,
}

/// An event that golongpoll's file persistor wrote; its own id is not kept, for it does not sort.
#[derive(Debug, Serialize, Deserialize)]
pub struct EventRecord {
    /// Milliseconds since the Unix epoch.
    pub timestamp: u64,
    /// The channel.
    pub category: String,
    /// The payload.
    pub data: Box<RawValue>,
}

impl Record {
    /// Takes a line.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(line: &str) -> Result<Self, String> {
        // Each kind has a field that the others have not.
        if let Ok(message) = serde_json::from_str(line) {
            return Ok(Self::Message(message));
        }
        if let Ok(channel) = serde_json::from_str(line) {
            return Ok(Self::Channel(channel));
        }
        if let Ok(lost) = serde_json::from_str(line) {
            return Ok(Self::Lost(lost));
        }
        let event = serde_json::from_str(line).map(Self::Event);
        event.map_err(|_| "neither a channel, a message, lost messages nor a golongpoll event".to_owned())
    }

    /// The record as a line, without its end.
    ///
    /// # Errors
    /// Never for what this crate made.
    pub fn to_line(&self) -> std::io::Result<String> {
        let mut line = serde_json::to_vec(self)?;
        escape_line_separators(&mut line, 0);
        String::from_utf8(line).map_err(std::io::Error::other)
    }
}

impl ChannelRecord {
    pub(super) fn of(
        row: &Row,
        (epoch, oldest): (Epoch, u64),
        life: Option<&Life>,
        producers: impl IntoIterator<Item = (ProducerId, Producer)>,
    ) -> Self {
        let producer = |(id, producer): (ProducerId, Producer)| {
            (id.as_str().to_owned(), producer.epoch, producer.last, producer.used.as_micros())
        };
        Self {
            oldest,
            channel: row.name.as_str().to_owned(),
            epoch: format!("{:016x}", epoch.get()),
            newest: row.newest,
            newest_at: row.newest_at.as_micros(),
            ended: row.ended,
            life: life.map(|life| Box::new(life.into())),
            producers: producers.into_iter().map(producer).collect(),
        }
    }
}

impl MessageRecord {
    pub(super) fn of(message: &Message) -> format::Result<Self> {
        let mut record = Self {
            seq: message.seq.get(),
            id: message.id,
            at: message.at.as_micros(),
            json: None,
            text: None,
            base64: None,
        };
        let text = |bytes: &Bytes| {
            String::from_utf8(bytes.to_vec()).map_err(|_| format::damaged("a message's text"))
        };
        match &message.payload {
            Payload::Json(bytes) => {
                let json = RawValue::from_string(text(bytes)?);
                record.json = Some(json.map_err(|_| format::damaged("a message's JSON"))?);
            }
            Payload::Text(bytes) => record.text = Some(text(bytes)?),
            Payload::Binary(bytes) => record.base64 = Some(STANDARD.encode(bytes)),
        }
        Ok(record)
    }

    /// The message that the record is of.
    pub(super) fn message(self) -> Result<Message, String> {
        let payload = match (self.json, self.text, self.base64) {
            (Some(json), None, None) => {
                Payload::json(json.get().as_bytes()).map_err(|error| error.to_string())?
            }
            (None, Some(text), None) => Payload::text(text),
            (None, None, Some(bytes)) => {
                let bytes = STANDARD.decode(bytes).map_err(|error| format!("not base64: {error}"))?;
                Payload::Binary(bytes.into())
            }
            _ => return Err("a message has one of json, text and base64".to_owned()),
        };
        Ok(Message { seq: Seq::new(self.seq), id: self.id, at: Timestamp::from_micros(self.at), payload })
    }
}
