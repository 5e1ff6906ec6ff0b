//! Constructors of replies that are not refusals, with their common fields.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::VARY;
use http::{HeaderName, HeaderValue, StatusCode};

use crate::message::body::Body;
use crate::message::reply::Reply;

pub(crate) const JSON: &str = "application/json";
pub(crate) const PLAIN: &str = "text/plain; charset=utf-8";
pub(crate) const NDJSON: &str = "application/x-ndjson";
pub(crate) const EVENT_STREAM: &str = "text/event-stream";
pub(crate) const NO_CACHE: &str = "no-cache";
pub(crate) const NO_STORE: &str = "no-store";
/// For streams: a proxy that compresses would hold pieces back.
const NO_TRANSFORM: &str = "no-cache, no-transform";
/// Disables buffering in nginx.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// An answer with content.
pub(crate) fn whole(
    status: StatusCode,
    media: &'static str,
    cache: impl Into<Cow<'static, str>>,
    body: Body,
) -> Reply {
    Reply { media: Some(media), cache: Some(cache.into()), ..Reply::new(status, body) }
}

/// JSON that must not be cached.
pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Reply {
    whole(status, JSON, NO_STORE, Body::full(body))
}

/// A stream, whose format depends on `Accept`.
pub(crate) fn streamed(media: &'static str, body: Body) -> Reply {
    let mut reply = whole(StatusCode::OK, media, NO_TRANSFORM, body);
    let headers = reply.headers_mut();
    headers.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
    headers.insert(VARY, HeaderValue::from_static("Accept"));
    reply
}

/// 204 instead of a stream: there is nothing more, and an EventSource does not reconnect (WHATWG HTML, section 9.2.3).
pub(crate) fn nothing_more() -> Reply {
    let mut reply = Reply { cache: Some(NO_STORE.into()), ..bare(StatusCode::NO_CONTENT) };
    reply.headers_mut().insert(VARY, HeaderValue::from_static("Accept"));
    reply
}

/// An answer without content.
pub(crate) fn bare(status: StatusCode) -> Reply {
    Reply::new(status, Body::empty())
}
