//! Answers of the native dialect to polls and publishes, and single messages.

use std::io::Write as _;
use std::sync::Arc;

use http::header::{CACHE_CONTROL, ETAG, LOCATION};
use http::{HeaderValue, Response, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use poll_core::{
    Batch, ChannelName, Continuity, Cursor, Limit, Message, Published, Rendering, Stamp, Standing, Timestamp,
};

use crate::body::Body;
use crate::content::{write_encoding, write_payload, write_string, write_time};
use crate::dialect::form;
use crate::question::Answer;
use crate::respond;

/// What RFC 3986 §2.3 leaves unreserved stays readable in a path.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A poll's answer. `clock` is the name under which it says when it was given.
pub(crate) fn poll(answer: &Answer, clock: &str, cache: HeaderValue) -> Response<Body> {
    let shared = match &answer.view.batch {
        Some(batch) => batch.render(form::NATIVE_POLL, messages).bytes.clone(),
        None => format!(r#"{{"messages":[],"count":0,"cursor":"{}""#, answer.view.next).into(),
    };
    let mut own = Vec::with_capacity(96);
    write_flags(&mut own, answer);
    let _ = write!(own, ",\"{clock}\":");
    write_time(&mut own, answer.now);
    own.push(b'}');
    let body = Body::spliced([shared, own.into(), bytes::Bytes::new()]);
    respond::whole(StatusCode::OK, respond::JSON, cache, body)
}

/// The part of a poll's answer that all who are given this batch share.
fn messages(batch: &Batch) -> Rendering {
    let mut out =
        Vec::with_capacity(batch.messages().iter().map(|message| message.payload.len() + 160).sum());
    out.extend_from_slice(br#"{"messages":["#);
    for (index, message) in batch.messages().iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_message(&mut out, message);
    }
    let _ = write!(out, r#"],"count":{},"cursor":"{}""#, batch.messages().len(), batch.end());
    Rendering { bytes: out.into(), ends: Box::default() }
}

fn write_flags(out: &mut Vec<u8>, answer: &Answer) {
    let standing = &answer.view.standing;
    if let Some(missed) = standing.missed().filter(|missed| *missed > 0) {
        let _ = write!(out, r#","missed":{missed}"#);
    }
    if standing.continuity == Continuity::Reset {
        out.extend_from_slice(br#","reset":true"#);
    }
    if answer.view.is_closed() {
        out.extend_from_slice(br#","closed":true"#);
    }
}

fn write_message(out: &mut Vec<u8>, message: &Message) {
    let _ = write!(out, r#"{{"id":{},"uuid":"{}","content":"#, message.seq, message.id);
    let encoding = write_payload(out, &message.payload);
    write_encoding(out, encoding);
    out.extend_from_slice(br#","timestamp":"#);
    write_time(out, message.at);
    out.push(b'}');
}

/// The weak entity tag of a short poll (RFC 9110 §8.8.3): all that its answer depends on but the time.
pub(crate) fn etag(standing: &Standing, limit: Limit) -> HeaderValue {
    let Standing { epoch, oldest, newest, position, .. } = standing;
    let ended = if standing.ended { "-e" } else { "" };
    let limit = limit.messages;
    let tag = format!("W/\"{:x}-{oldest}-{position}-{newest}-{limit}{ended}\"", epoch.get());
    HeaderValue::from_str(&tag).unwrap_or(HeaderValue::from_static("W/\"\""))
}

/// One message as JSON.
pub(crate) fn message_json(message: &Message) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.payload.len() + 160);
    write_message(&mut out, message);
    out
}

/// One message as an answer of its own, with who was given it where that is noted.
pub(crate) fn message(
    message: &Message,
    given_to: Option<&[Arc<str>]>,
    cache: HeaderValue,
) -> Response<Body> {
    let mut out = message_json(message);
    if let Some(names) = given_to {
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
pub(crate) fn message_path(channel: &ChannelName, cursor: Cursor) -> String {
    format!("/api/messages/{}/{cursor}", utf8_percent_encode(channel.as_str(), SEGMENT))
}

/// For how long a message may be kept by caches.
pub(crate) fn message_cache(now: Timestamp, until: Option<Timestamp>) -> HeaderValue {
    // A year, which RFC 9111 takes for ever, where age is no bound.
    let seconds = until.map_or(31_536_000, |until| until.since(now).as_secs());
    let cache = format!("private, max-age={seconds}, immutable");
    HeaderValue::from_str(&cache).unwrap_or(respond::NO_CACHE)
}

/// What a publish of one message, or of a batch of lines, is answered.
pub(crate) fn published(
    channel: &ChannelName,
    published: &Published,
    shape: super::Incoming,
) -> Response<Body> {
    let status = if published.repeated { StatusCode::OK } else { StatusCode::CREATED };
    let mut out = Vec::with_capacity(224);
    out.extend_from_slice(br#"{"channel":"#);
    write_string(&mut out, channel.as_str());
    match (shape, &*published.stamps) {
        (super::Incoming::One, [stamp]) => {
            out.push(b',');
            write_stamp(&mut out, stamp);
            out.push(b'}');
            let mut response = respond::json(status, out);
            let path = message_path(channel, stamp.cursor);
            if let Ok(path) = HeaderValue::from_str(&path) {
                response.headers_mut().insert(LOCATION, path);
            }
            response
        }
        (_, stamps) => {
            let _ = write!(out, r#","count":{},"messages":["#, stamps.len());
            for (index, stamp) in stamps.iter().enumerate() {
                out.extend_from_slice(if index > 0 { b",{" } else { b"{" });
                write_stamp(&mut out, stamp);
                out.push(b'}');
            }
            out.extend_from_slice(b"]}");
            respond::json(status, out)
        }
    }
}

fn write_stamp(out: &mut Vec<u8>, stamp: &Stamp) {
    let Stamp { cursor, id, at } = stamp;
    let _ = write!(out, r#""id":{},"uuid":"{id}","cursor":"{cursor}","timestamp":"{at}""#, cursor.seq);
}

/// Adds what a short poll says of its freshness.
pub(crate) fn add_etag(response: &mut Response<Body>, tag: HeaderValue) {
    response.headers_mut().insert(ETAG, tag);
    response.headers_mut().insert(CACHE_CONTROL, respond::NO_CACHE);
}
