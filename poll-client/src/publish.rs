//! Publishing one message or many, and reading one back.
//!
//! A publish is not retried, because that could publish twice, unless it has an idempotency key by which the server
//! recognizes the retry.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method};
use poll_core::{ChannelName, Cursor, IdempotencyKey, Payload, Seq, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use uuid::Uuid;

use crate::client::{Client, header_value};
use crate::error::Error;
use crate::exchange::{Call, Repeat, encode};
use crate::message::Message;
use crate::pattern::progress::Step;
use crate::retry::Attempts;
use crate::wire::{Record, cursor, id, read, timestamp};

/// The server's record of a published message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Receipt {
    /// Its number on the channel.
    #[serde(rename = "id", deserialize_with = "seq")]
    pub seq: Seq,
    /// Its UUIDv7.
    #[serde(rename = "uuid", deserialize_with = "id")]
    pub id: Uuid,
    /// The position after it.
    #[serde(deserialize_with = "cursor")]
    pub cursor: Cursor,
    /// When it was published, by the server's clock.
    #[serde(rename = "timestamp", deserialize_with = "timestamp")]
    pub at: Timestamp,
}

fn seq<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Seq, D::Error> {
    u64::deserialize(deserializer).map(Seq::new)
}

impl Client {
    /// Publishes a message, without retries.
    ///
    /// # Errors
    /// Any. Where [`Error::may_have_happened`], the message may be published all the same: ask that before publishing it
    /// anew, or use [`Self::publish_once`].
    pub async fn publish(&self, channel: &ChannelName, payload: &Payload) -> Result<Receipt, Error> {
        let body = self.post(&message_call(self, channel, payload)).await?;
        read(&body)
    }

    /// Publishes a message exactly once: the key makes retries safe within the server's window (300 s by default), so none
    /// is made later than [`Builder::repeat_within`](crate::Builder::repeat_within).
    ///
    /// # Errors
    /// Those that are not transient, or the last one once the client's retries are used up, or the time for them is over.
    /// Where [`Error::may_have_happened`], the message may be published all the same; to do this again with the same key
    /// within the server's window tells.
    pub async fn publish_once(
        &self,
        channel: &ChannelName,
        payload: &Payload,
        key: &IdempotencyKey,
    ) -> Result<Receipt, Error> {
        let call = keyed(message_call(self, channel, payload), key)?;
        read(&self.post_until_done(&call).await?)
    }

    /// Publishes values as JSON messages in one request, all or none, without retries. A server accepts up to 1,000
    /// messages and 1 MiB.
    ///
    /// # Errors
    /// As [`Self::publish`], so ask [`Error::may_have_happened`] before publishing them anew; [`Error::Usage`] if a value
    /// cannot be serialized.
    pub async fn publish_many<T: Serialize>(
        &self,
        channel: &ChannelName,
        messages: &[T],
    ) -> Result<Vec<Receipt>, Error> {
        let body = self.post(&many_call(self, channel, messages)?).await?;
        read::<Many>(&body).map(|many| many.messages)
    }

    /// [`Self::publish_many`] exactly once, as [`Self::publish_once`].
    ///
    /// # Errors
    /// As [`Self::publish_once`].
    pub async fn publish_many_once<T: Serialize>(
        &self,
        channel: &ChannelName,
        messages: &[T],
        key: &IdempotencyKey,
    ) -> Result<Vec<Receipt>, Error> {
        let call = keyed(many_call(self, channel, messages)?, key)?;
        read::<Many>(&self.post_until_done(&call).await?).map(|many| many.messages)
    }

    /// Reports a step of a job, which is the channel `progress/{job}`. One with a status of `done` or `failed` ends it.
    ///
    /// # Errors
    /// Whatever goes wrong; 409 when the job has ended.
    pub async fn report(&self, job: &ChannelName, step: &Step) -> Result<(), Error> {
        let body = serde_json::to_vec(step).map_err(|error| Error::Usage(error.to_string()))?;
        let target = format!("/api/progress/{}", encode(job.as_str()));
        self.post(&post(self, target, "application/json", body.into())).await.map(drop)
    }

    /// Reads one message by its cursor.
    ///
    /// # Errors
    /// [`Error::Refused`] with 404 when it never existed, with 410 when it is no longer retained.
    pub async fn message(&self, channel: &ChannelName, at: Cursor) -> Result<Message, Error> {
        let inner = &self.inner;
        let call = Call::get(message_path(channel, at), inner.settings.answer_within);
        let answer = inner.ask(&call, &inner.stats, &[200]).await?;
        let body = answer.whole(inner.settings.max_answer_bytes, inner.settings.answer_within).await?;
        read::<Record<'_>>(&body)?.message(channel, at.epoch)
    }

    async fn post(&self, call: &Call) -> Result<Bytes, Error> {
        let inner = &self.inner;
        let answer = inner.ask(call, &inner.stats, &[200, 201, 202]).await?;
        answer.whole(inner.settings.max_answer_bytes, inner.settings.answer_within).await
    }

    async fn post_until_done(&self, call: &Call) -> Result<Bytes, Error> {
        let within = self.inner.settings.repeat_within;
        let mut attempts = Attempts::new(&self.inner);
        // When the first attempt began that may have been kept: the server knows the key since then, or later.
        let mut in_doubt_since = None;
        loop {
            let begun = Instant::now();
            let error = match self.post(call).await {
                Ok(body) => {
                    attempts.answered();
                    return Ok(body);
                }
                Err(error) => error,
            };
            if error.may_have_happened() {
                in_doubt_since.get_or_insert(begun);
            }
            let is_in_time = |wait: &Duration| {
                in_doubt_since.is_none_or(|since| since.elapsed().saturating_add(*wait) <= within)
            };
            match attempts.wait_after(&error).filter(is_in_time) {
                Some(wait) => attempts.wait(&error, wait).await,
                None if in_doubt_since.is_some() => return Err(error.in_doubt()),
                None => return Err(error),
            }
        }
    }
}

/// An answer to many.
#[derive(Deserialize)]
struct Many {
    messages: Vec<Receipt>,
}

/// The path of a message, without the client's prefix.
pub(crate) fn message_path(channel: &ChannelName, at: Cursor) -> String {
    format!("/api/messages/{}/{at}", encode(channel.as_str()))
}

fn message_call(client: &Client, channel: &ChannelName, payload: &Payload) -> Call {
    let (kind, body) = match payload {
        // An empty body is no content at all. Every dialect shows an empty text and an empty JSON string alike.
        Payload::Text(body) | Payload::Binary(body) if body.is_empty() => {
            ("application/json", Bytes::from_static(b"\"\""))
        }
        Payload::Json(body) => ("application/json", body.clone()),
        Payload::Text(body) => ("text/plain; charset=utf-8", body.clone()),
        Payload::Binary(body) => ("application/octet-stream", body.clone()),
    };
    post(client, format!("/api/message?channel={}", encode(channel.as_str())), kind, body)
}

fn many_call<T: Serialize>(client: &Client, channel: &ChannelName, messages: &[T]) -> Result<Call, Error> {
    let mut body = BytesMut::new().writer();
    for message in messages {
        serde_json::to_writer(&mut body, message).map_err(|error| Error::Usage(error.to_string()))?;
        body.get_mut().put_u8(b'\n');
    }
    let target = format!("/api/message?channel={}", encode(channel.as_str()));
    Ok(post(client, target, "application/x-ndjson", body.into_inner().freeze()))
}

fn post(client: &Client, target: String, kind: &'static str, body: Bytes) -> Call {
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]);
    let head_within: Duration = client.inner.settings.answer_within;
    Call { method: Method::POST, target, headers, body, head_within, repeat: Repeat::Never }
}

fn keyed(mut call: Call, key: &IdempotencyKey) -> Result<Call, Error> {
    let value = header_value("idempotency key", key.as_str())?;
    call.repeat = Repeat::Harmless;
    Ok(call.header(HeaderName::from_static("idempotency-key"), value))
}
