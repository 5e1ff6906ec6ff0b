//! A single message: as JSON, as an answer of its own, and its path.

use std::borrow::Cow;
use std::sync::Arc;

use http::StatusCode;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use poll_core::{ChannelName, Cursor, Message, Timestamp};

use crate::message::body::Body;
use crate::message::json::{write_encoding, write_id, write_number, write_payload, write_string, write_time};
use crate::message::reply::Reply;
use crate::message::respond;

/// Everything but RFC 3986's unreserved characters (section 2.3).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A cursor as [`Cursor::to_text`] writes it.
pub(super) type CursorText = [u8; Cursor::TEXT_BYTES];

pub(super) fn write_message(out: &mut Vec<u8>, message: &Message) {
    out.push(b'{');
    write_members(out, message);
}

/// Writes a message's members, and the end of the object.
pub(super) fn write_members(out: &mut Vec<u8>, message: &Message) {
    out.extend_from_slice(br#""id":"#);
    write_number(out, message.seq.get());
    out.extend_from_slice(br#","uuid":"#);
    write_id(out, message.id);
    out.extend_from_slice(br#","content":"#);
    let encoding = write_payload(out, &message.payload);
    write_encoding(out, encoding);
    out.extend_from_slice(br#","timestamp":"#);
    write_time(out, message.at);
    out.push(b'}');
}

/// One message as JSON.
pub(crate) fn message_json(message: &Message) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.payload.len() + 160);
    write_message(&mut out, message);
    out
}

/// A message as an answer of its own, with the clients that got it if receipts are kept.
pub(crate) fn message(message: &Message, receipts: Option<&[Arc<str>]>, cache: Cow<'static, str>) -> Reply {
    let mut out = message_json(message);
    if let Some(names) = receipts {
        out.pop();
        out.extend_from_slice(br#","delivered_to":["#);
        for (index, name) in names.iter().enumerate() {
            out.extend_from_slice(if index > 0 { b"," } else { b"" });
            write_string(&mut out, name);
        }
        out.extend_from_slice(b"]}");
    }
    respond::whole(StatusCode::OK, respond::JSON, cache, Body::full(out))
}

/// The path of one message.
pub(crate) fn message_path(channel: &ChannelName, cursor: &CursorText) -> Vec<u8> {
    const BEGIN: &[u8] = b"/api/messages/";
    // The exact size, unless the name has to be encoded.
    let bytes = BEGIN.len() + channel.as_str().len() + 1 + Cursor::TEXT_BYTES;
    let mut path = Vec::with_capacity(bytes);
    path.extend_from_slice(BEGIN);
    for part in utf8_percent_encode(channel.as_str(), SEGMENT) {
        path.extend_from_slice(part.as_bytes());
    }
    path.push(b'/');
    path.extend_from_slice(cursor);
    path
}

/// The `Cache-Control` of a message, which never changes but expires.
pub(crate) fn message_cache(now: Timestamp, until: Option<Timestamp>) -> String {
    // Without a limit on age: a year, the customary maximum.
    let seconds = until.map_or(31_536_000, |until| until.since(now).as_secs());
    format!("private, max-age={seconds}, immutable")
}
