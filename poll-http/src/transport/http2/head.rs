//! Heads of HTTP/2 responses: what hyper does itself for HTTP/1, and h2 leaves to its user.

use http::header::{self, HeaderValue};
use http::{HeaderMap, Response, StatusCode};
use poll_core::Timestamp;

use crate::message::body::Body;
use crate::message::reply::Reply;
pub(super) use crate::message::reply::Wants;
use crate::transport::date::with_date;

/// The head as it goes out, and the body if there is one to send.
pub(super) fn finished(mut reply: Reply, wants: Wants) -> (Response<()>, Option<Body>) {
    reply.leave_framing(wants);
    reply.remove(&[header::CONNECTION]);
    let made = reply.made;
    let (mut parts, body) = reply.into_response().into_parts();
    dated(&mut parts.headers, made);
    let status = parts.status;
    // Neither has a body, and a length would be that of another answer (RFC 9110, section 8.6).
    let bodiless = status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
    if !bodiless && let Some(length) = body.exact_length() {
        sized(&mut parts.headers, length);
    }
    let sent = wants == Wants::Body && !bodiless && !body.is_ended();
    (Response::from_parts(parts, ()), sent.then_some(body))
}

/// The head of a pushed answer.
pub(super) fn pushed(mut headers: HeaderMap, length: usize) -> Response<()> {
    dated(&mut headers, None);
    sized(&mut headers, length as u64);
    let mut response = Response::new(());
    *response.headers_mut() = headers;
    response
}

fn sized(headers: &mut HeaderMap, length: u64) {
    headers.entry(header::CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
}

/// RFC 9110, section 6.6.1: an origin server with a clock sends `Date`.
fn dated(headers: &mut HeaderMap, made: Option<Timestamp>) {
    headers.entry(header::DATE).or_insert_with(|| with_date(made, Clone::clone));
}
