//! Replies that are not refusals: status, the fields that every one of a kind has, body.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};

use crate::body::Body;
use crate::reply::Reply;

pub(crate) const JSON: &str = "application/json";
pub(crate) const NDJSON: &str = "application/x-ndjson";
pub(crate) const EVENT_STREAM: &str = "text/event-stream";
pub(crate) const NO_CACHE: &str = "no-cache";
pub(crate) const NO_STORE: &str = "no-store";
/// nginx then passes each piece on as it comes.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// A whole answer.
pub(crate) fn whole(
    status: StatusCode,
    media: &'static str,
    cache: impl Into<Cow<'static, str>>,
    body: Body,
) -> Reply {
    Reply { media: Some(media), cache: Some(cache.into()), ..Reply::new(status, body) }
}

/// JSON that is right only now.
pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Reply {
    whole(status, JSON, NO_STORE, Body::full(body))
}

/// An answer that comes piece by piece.
pub(crate) fn streamed(media: &'static str, body: Body) -> Reply {
    let mut reply = whole(StatusCode::OK, media, NO_CACHE, body);
    reply.headers_mut().insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
    reply
}

/// An answer without content.
pub(crate) fn bare(status: StatusCode) -> Reply {
    Reply::new(status, Body::empty())
}
