//! The frames of the native streams: a line of JSON or a server-sent event each, see [`crate::dialect::frame`].

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue};
use poll_core::{Batch, ChannelName, Continuity, Cursor, Form, Message, ReadState, Rendering, Timestamp};
use uuid::Uuid;

use crate::dialect::frame::{COMMENT, Framing};
use crate::dialect::native::job::write_step;
use crate::dialect::native::message::{message_json, message_path};
use crate::dialect::stream_event::{Finality, StreamEvent};
use crate::message::body::Promise;
use crate::message::json::{write_cursor, write_encoding, write_number, write_payload, write_time};
use crate::message::reply::NOSNIFF;
use crate::message::respond;
use crate::worker::budget::{self, cost};

/// The first frame: the reader's id and where it starts. If that is not where the reader left off, the event has no id:
/// should the connection break before the `reset` arrives, an EventSource must come back with its old position.
pub(crate) fn connected(framing: Framing, client: u128, read_state: &ReadState, now: Timestamp) -> Bytes {
    let cursor = Cursor { epoch: read_state.epoch, seq: read_state.position };
    let id = Some(cursor).filter(|_| read_state.continuity == Continuity::Kept);
    let client = Uuid::from_u128(client);
    let json =
        format!(r#"{{"type":"connected","client_id":"{client}","cursor":"{cursor}","timestamp":"{now}"}}"#);
    framing.notice("connected", id, json.as_bytes()).into()
}

/// The frame of an event that is not a message, if it has one.
pub(crate) fn notice(framing: Framing, event: &StreamEvent) -> Option<Bytes> {
    Some(match *event {
        StreamEvent::Batch(..) | StreamEvent::Broken => return None,
        StreamEvent::Reset { missed, cursor } => reset(framing, missed, cursor),
        StreamEvent::Idle(cursor) => heartbeat(framing, cursor),
        StreamEvent::Stalled(cursor) => intake(framing, "stalled", cursor),
        StreamEvent::Resumed(cursor) => intake(framing, "resumed", cursor),
        StreamEvent::Ended(cursor) => closed(framing, "ended", cursor),
        StreamEvent::Draining(cursor) => closed(framing, "draining", cursor),
    })
}

/// How many messages were missed, if known, before the stream continues after `cursor`.
fn reset(framing: Framing, missed: Option<u64>, cursor: Cursor) -> Bytes {
    let missed = missed.map_or(String::new(), |missed| format!(r#""missed":{missed},"#));
    let json = format!(r#"{{"type":"reset",{missed}"cursor":"{cursor}"}}"#);
    framing.notice("reset", Some(cursor), json.as_bytes()).into()
}

/// Never empty: HTTP/2 peers take empty DATA frames for an attack (RFC 9113, section 10.5).
fn heartbeat(framing: Framing, cursor: Cursor) -> Bytes {
    match framing {
        Framing::Events => Bytes::from_static(COMMENT),
        Framing::Lines => format!("{{\"type\":\"heartbeat\",\"cursor\":\"{cursor}\"}}\n").into(),
    }
}

/// Whether messages are accepted. The event has no id: it may come while a returning reader still waits for a `reset`.
fn intake(framing: Framing, kind: &str, cursor: Cursor) -> Bytes {
    let json = format!(r#"{{"type":"{kind}","cursor":"{cursor}"}}"#);
    framing.notice(kind, None, json.as_bytes()).into()
}

/// The last frame.
fn closed(framing: Framing, reason: &str, cursor: Cursor) -> Bytes {
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
    write: impl Fn(&mut Vec<u8>, &Message, Cursor) -> Option<()>,
) -> Rendering {
    let mut out =
        Vec::with_capacity(batch.messages().iter().map(|message| message.payload.len() + 224).sum());
    let mut ends = Vec::with_capacity(batch.messages().len());
    for message in batch.messages() {
        let (begin, cursor) = (out.len(), batch.cursor(message));
        framing.open_message(&mut out, cursor);
        match write(&mut out, message, cursor) {
            Some(()) => framing.close(&mut out),
            None => out.truncate(begin),
        }
        ends.push(out.len());
    }
    budget::charge(cost::RENDERED_BYTE * out.len() as u64);
    Rendering { bytes: out.into(), ends: ends.into() }
}

fn write_update(out: &mut Vec<u8>, message: &Message, cursor: Cursor) -> Option<()> {
    out.extend_from_slice(br#"{"type":"update","counter":"#);
    write_number(out, message.seq.get());
    out.extend_from_slice(br#","id":"#);
    write_number(out, message.seq.get());
    out.extend_from_slice(br#","message":"#);
    let encoding = write_payload(out, &message.payload);
    write_encoding(out, encoding);
    out.extend_from_slice(br#","cursor":"#);
    write_cursor(out, cursor);
    out.extend_from_slice(br#","timestamp":"#);
    write_time(out, message.at);
    out.push(b'}');
    Some(())
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
    let mut headers = HeaderMap::with_capacity(3);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(respond::JSON));
    headers.insert(CACHE_CONTROL, HeaderValue::try_from(cache).ok()?);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static(NOSNIFF));
    let announce = format!(r#"{{"type":"push","id":{seq},"cursor":"{cursor}"}}"#);
    Some(Promise {
        // Percent-encoded, so ASCII.
        path: String::from_utf8(message_path(channel, &cursor.to_text())).ok()?,
        headers,
        body: message_json(message).into(),
        announce: framing.notice("push", Some(cursor), announce.as_bytes()).into(),
        inline: updates(batch, framing).part(index)?,
    })
}

/// The `Content-Type` of a native stream.
pub(crate) fn content_type(framing: Framing) -> &'static str {
    match framing {
        Framing::Lines => respond::NDJSON,
        Framing::Events => respond::EVENT_STREAM,
    }
}
