//! Responses that are not refusals: status, the fields that every one of a kind has, body.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use crate::body::Body;

pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");
pub(crate) const NDJSON: HeaderValue = HeaderValue::from_static("application/x-ndjson");
pub(crate) const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");
pub(crate) const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");
pub(crate) const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
/// nginx then passes each piece on as it comes.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// A whole answer.
pub(crate) fn whole(
    status: StatusCode,
    content_type: HeaderValue,
    cache: HeaderValue,
    body: Body,
) -> Response<Body> {
    let mut response = bare_with(status, body);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response.headers_mut().insert(CACHE_CONTROL, cache);
    response
}

/// JSON that is right only now.
pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    whole(status, JSON, NO_STORE, Body::full(body))
}

/// An answer that comes piece by piece.
pub(crate) fn streamed(content_type: HeaderValue, body: Body) -> Response<Body> {
    let mut response = whole(StatusCode::OK, content_type, NO_CACHE, body);
    response.headers_mut().insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}

/// An answer without content.
pub(crate) fn bare(status: StatusCode) -> Response<Body> {
    bare_with(status, Body::empty())
}

fn bare_with(status: StatusCode, body: Body) -> Response<Body> {
    // What nearly all answers have in the end, date and length included, without growing on the way.
    let mut response = Response::new(body);
    *response.headers_mut() = HeaderMap::with_capacity(6);
    *response.status_mut() = status;
    response
}
