//! The frames of the native streams: a line of JSON or a server-sent event each, see [`crate::dialect::frame`].

use std::fmt::Display;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue};
use poll_core::{Batch, ChannelName, Continuity, Cursor, Form, Message, ReadState, Rendering, Timestamp};
use uuid::Uuid;

use crate::dialect::frame::{COMMENT, Framing};
use crate::dialect::native::job::write_step;
use crate::dialect::native::message::{CursorText, message_json, message_path};
use crate::dialect::stream_event::{Finality, StreamEvent};
use crate::message::body::Promise;
use crate::message::json::{write_encoding, write_number, write_payload, write_string, write_time};
use crate::message::reply::NOSNIFF;
use crate::message::respond;
use crate::worker::budget::{self, cost};

/// The first frame: the reader's id and where it starts. If that is not where the reader left off, the event has no id:
/// should the connection break before the `reset` arrives, an EventSource must come back with its old position.
pub(crate) fn connected(framing: Framing, client: u128, read_state: &ReadState, now: Timestamp) -> Bytes {
    let cursor = Cursor { epoch: read_state.epoch, seq: read_state.position };
    connected_at(framing, client, &cursor, read_state.continuity, b"", now)
}

/// The same at any kind of position, with more `members`, each with a comma before it.
pub(super) fn connected_at(
    framing: Framing,
    client: u128,
    cursor: &dyn Display,
    continuity: Continuity,
    members: &[u8],
    now: Timestamp,
) -> Bytes {
    let id = Some(cursor).filter(|_| continuity == Continuity::Kept);
    let client = Uuid::from_u128(client);
    let mut json = format!(r#"{{"type":"connected","client_id":"{client}","cursor":"{cursor}""#).into_bytes();
    json.extend_from_slice(members);
    json.extend_from_slice(br#","timestamp":"#);
    write_time(&mut json, now);
    json.push(b'}');
    framing.notice("connected", id, &json).into()
}

/// The frame of an event that is not a message, if it has one.
pub(crate) fn notice<B, C: Display>(framing: Framing, event: &StreamEvent<B, C>) -> Option<Bytes> {
    Some(match event {
        StreamEvent::Batch(..) | StreamEvent::Broken => return None,
        StreamEvent::Reset { channel, missed, cursor } => reset(framing, channel.as_ref(), *missed, cursor),
        StreamEvent::Idle(cursor) => heartbeat(framing, cursor),
        StreamEvent::Stalled(cursor) => intake(framing, "stalled", cursor),
        StreamEvent::Resumed(cursor) => intake(framing, "resumed", cursor),
        StreamEvent::Ended(cursor) => closed(framing, "ended", cursor),
        StreamEvent::Draining(cursor) => closed(framing, "draining", cursor),
        StreamEvent::Unauthorized(cursor) => closed(framing, "unauthorized", cursor),
    })
}

/// How many messages were missed, if known, and in which of several channels, before the stream continues after `cursor`.
fn reset(
    framing: Framing,
    channel: Option<&ChannelName>,
    missed: Option<u64>,
    cursor: &dyn Display,
) -> Bytes {
    let mut json = br#"{"type":"reset""#.to_vec();
    if let Some(channel) = channel {
        json.extend_from_slice(br#","channel":"#);
        write_string(&mut json, channel.as_str());
    }
    if let Some(missed) = missed {
        json.extend_from_slice(br#","missed":"#);
        write_number(&mut json, missed);
    }
    json.extend_from_slice(format!(r#","cursor":"{cursor}"}}"#).as_bytes());
    framing.notice("reset", Some(cursor), &json).into()
}

/// Never empty: HTTP/2 peers take empty DATA frames for an attack (RFC 9113, section 10.5).
fn heartbeat(framing: Framing, cursor: &dyn Display) -> Bytes {
    match framing {
        Framing::Events => Bytes::from_static(COMMENT),
        Framing::Lines => format!("{{\"type\":\"heartbeat\",\"cursor\":\"{cursor}\"}}\n").into(),
    }
}

/// Whether messages are accepted. The event has no id: it may come while a returning reader still waits for a `reset`.
fn intake(framing: Framing, kind: &str, cursor: &dyn Display) -> Bytes {
    let json = format!(r#"{{"type":"{kind}","cursor":"{cursor}"}}"#);
    framing.notice(kind, None, json.as_bytes()).into()
}

/// The last frame.
fn closed(framing: Framing, reason: &str, cursor: &dyn Display) -> Bytes {
    let json = format!(r#"{{"type":"closed","reason":"{reason}","cursor":"{cursor}"}}"#);
    framing.notice("closed", Some(cursor), json.as_bytes()).into()
}

/// A frame for each message.
pub(crate) fn updates(batch: &Batch, framing: Framing) -> &Rendering {
    let form = if framing == Framing::Lines { Form::new("native lines") } else { Form::new("native events") };
    batch.render(form, |batch| frames(batch, framing, write_update))
}

/// A frame for each step of a job; messages that are not steps have none.
pub(crate) fn progress(batch: &Batch, framing: Framing, finality: Finality) -> &Rendering {
    let form = if framing == Framing::Lines { Form::new("job lines") } else { Form::new("job events") };
    let last = (finality == Finality::Last).then(|| batch.newest().seq);
    batch.render(form, |batch| {
        frames(batch, framing, |out, message, _| {
            let finality = if last == Some(message.seq) { Finality::Last } else { Finality::MoreMayFollow };
            write_step(out, message, finality)
        })
    })
}

fn frames(
    batch: &Batch,
    framing: Framing,
    write: impl Fn(&mut Vec<u8>, &Message, &CursorText) -> Option<()>,
) -> Rendering {
    let mut out =
        Vec::with_capacity(batch.messages().iter().map(|message| message.payload.len() + 224).sum());
    let mut ends = Vec::with_capacity(batch.messages().len());
    for message in batch.messages() {
        let (begin, token) = (out.len(), batch.cursor(message).to_text());
        framing.open_message(&mut out, &token);
        match write(&mut out, message, &token) {
            Some(()) => framing.close(&mut out),
            None => out.truncate(begin),
        }
        ends.push(out.len());
    }
    budget::charge(cost::RENDERED_BYTE * out.len() as u64);
    Rendering { bytes: out.into(), ends: ends.into() }
}

fn write_update(out: &mut Vec<u8>, message: &Message, token: &CursorText) -> Option<()> {
    out.extend_from_slice(br#"{"type":"update","#);
    write_update_members(out, message, token);
    Some(())
}

/// Writes what all updates have, and the end of the object.
pub(super) fn write_update_members(out: &mut Vec<u8>, message: &Message, token: &[u8]) {
    out.extend_from_slice(br#""counter":"#);
    write_number(out, message.seq.get());
    out.extend_from_slice(br#","id":"#);
    write_number(out, message.seq.get());
    out.extend_from_slice(br#","message":"#);
    let encoding = write_payload(out, &message.payload);
    write_encoding(out, encoding);
    out.extend_from_slice(br#","cursor":""#);
    out.extend_from_slice(token);
    out.extend_from_slice(br#"","timestamp":"#);
    write_time(out, message.at);
    out.push(b'}');
}

/// A message as a push promise, with the frame that announces it and the one that replaces it where push fails.
pub(crate) fn promise(
    channel: &ChannelName,
    batch: &Batch,
    index: usize,
    cache: String,
    framing: Framing,
) -> Option<Promise> {
    let message = batch.messages().get(index)?;
    let (seq, cursor) = (message.seq, batch.cursor(message));
    let announce = format!(r#"{{"type":"push","id":{seq},"cursor":"{cursor}"}}"#);
    let announce = framing.notice("push", Some(&cursor), announce.as_bytes()).into();
    promise_of(channel, message, cursor, cache, announce, updates(batch, framing).part(index)?)
}

/// A message at a position of its channel as a push promise.
pub(super) fn promise_of(
    channel: &ChannelName,
    message: &Message,
    cursor: Cursor,
    cache: String,
    announce: Bytes,
    inline: Bytes,
) -> Option<Promise> {
    let mut headers = HeaderMap::with_capacity(4);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(respond::JSON));
    headers.insert(CACHE_CONTROL, HeaderValue::try_from(cache).ok()?);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static(NOSNIFF));
    // Percent-encoded, so ASCII.
    let path = String::from_utf8(message_path(channel, &cursor.to_text())).ok()?;
    Some(Promise { path, headers, body: message_json(message).into(), announce, inline })
}

/// The `Content-Type` of a native stream.
pub(crate) fn content_type(framing: Framing) -> &'static str {
    match framing {
        Framing::Lines => respond::NDJSON,
        Framing::Events => respond::EVENT_STREAM,
    }
}
