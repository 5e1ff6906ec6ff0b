//! HTTP/2 server push: a response that stays open, and a PUSH_PROMISE a message (RFC 9113 §8.4).
//!
//! If a promise cannot be made, the message is sent inline, as in a chunked stream: nothing is lost because a stream, a
//! window or HTTP/2 is missing.

use http::{HeaderName, HeaderValue};

use crate::access::client::Client;
use crate::dialect::native;
use crate::dialect::question::StreamQuestion;
use crate::message::body::Body;
use crate::message::connection_info::PushPolicy;
use crate::message::outcome::Outcome;
use crate::message::refusal::Refusal;
use crate::message::reply::Reply;
use crate::message::respond;
use crate::stream::body::StreamBody;
use crate::stream::open::open;
use crate::stream::style::Style;
use crate::worker::Worker;
use crate::worker::metrics::Waiter;

const PUSH_POLICY: HeaderName = HeaderName::from_static("push-policy");

/// A parsed request.
pub(crate) struct Request {
    pub(crate) asked: StreamQuestion,
    /// Whether the client's connection accepts promises.
    pub(crate) push: PushPolicy,
}

/// Opens a stream of promises.
pub(crate) fn answer(worker: &Worker, request: Request, client: Client) -> Result<Outcome, Refusal> {
    Ok(Outcome::later(push(worker.clone(), request, client)))
}

async fn push(worker: Worker, request: Request, client: Client) -> Result<Reply, Refusal> {
    let Request { asked, push } = request;
    let framing = asked.framing;
    let Some(opened) = open(&worker, asked, Waiter::Push, client).await? else {
        return Ok(respond::nothing_more());
    };
    let first = native::connected(framing, worker.random_id(), &opened.read_state, opened.now);
    let style = match push {
        PushPolicy::Possible => Style::Promises(framing),
        PushPolicy::Off => Style::Updates(framing),
    };
    let body = StreamBody::new(opened.reader, style, Some(first));
    let mut reply =
        respond::streamed(native::content_type(framing), Body::stream(body).on_end(opened.permit));
    if push == PushPolicy::Off {
        reply.headers_mut().insert(PUSH_POLICY, HeaderValue::from_static("none"));
    }
    Ok(reply)
}
