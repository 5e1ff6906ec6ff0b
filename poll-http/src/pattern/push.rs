//! HTTP/2 server push: a response that stays open, and a PUSH_PROMISE a message (RFC 9113 §8.4).
//!
//! If a promise cannot be made, the message is sent inline, as in a chunked stream: nothing is lost because a stream, a
//! window or HTTP/2 is missing.

use http::{HeaderName, HeaderValue};

use crate::access::client::Client;
use crate::dialect::frame::Framing;
use crate::dialect::native;
use crate::dialect::question::{Asked, ListStreamQuestion, StreamQuestion};
use crate::message::body::Body;
use crate::message::connection_info::PushPolicy;
use crate::message::outcome::Outcome;
use crate::message::refusal::Refusal;
use crate::message::reply::Reply;
use crate::message::respond;
use crate::stream::body::StreamBody;
use crate::stream::open::{open, open_list};
use crate::stream::style::Style;
use crate::worker::Worker;
use crate::worker::metrics::Waiter;

const PUSH_POLICY: HeaderName = HeaderName::from_static("push-policy");

/// A parsed request.
pub(crate) struct Request {
    pub(crate) asked: Asked<StreamQuestion, ListStreamQuestion>,
    /// Whether the client's connection accepts promises.
    pub(crate) push: PushPolicy,
}

/// Opens a stream of promises.
pub(crate) fn answer(worker: &Worker, request: Request, client: Client) -> Result<Outcome, Refusal> {
    let (worker, Request { asked, push }) = (worker.clone(), request);
    Ok(match asked {
        Asked::One(asked) => Outcome::later(push_one(worker, asked, push, client)),
        Asked::Several(asked) => Outcome::later(push_list(worker, *asked, push, client)),
    })
}

async fn push_one(
    worker: Worker,
    asked: StreamQuestion,
    push: PushPolicy,
    client: Client,
) -> Result<Reply, Refusal> {
    let framing = asked.framing;
    let Some(opened) = open(&worker, asked, Waiter::Push, client).await? else {
        return Ok(respond::nothing_more());
    };
    let first = native::connected(framing, worker.random_id(), &opened.read_state, opened.now);
    let body = StreamBody::new(opened.reader, style(push, framing), Some(first));
    Ok(reply(push, framing, Body::stream(body).on_end(opened.permit)))
}

async fn push_list(
    worker: Worker,
    asked: ListStreamQuestion,
    push: PushPolicy,
    client: Client,
) -> Result<Reply, Refusal> {
    let framing = asked.framing;
    let Some(opened) = open_list(&worker, asked, Waiter::Push, client).await? else {
        return Ok(respond::nothing_more());
    };
    let body = StreamBody::new(opened.reader, style(push, framing), Some(opened.first));
    Ok(reply(push, framing, Body::stream(body).on_end(opened.permit)))
}

fn style(push: PushPolicy, framing: Framing) -> Style {
    match push {
        PushPolicy::Possible => Style::Promises(framing),
        PushPolicy::Off => Style::Updates(framing),
    }
}

fn reply(push: PushPolicy, framing: Framing, body: Body) -> Reply {
    let mut reply = respond::streamed(native::content_type(framing), body);
    if push == PushPolicy::Off {
        reply.headers_mut().insert(PUSH_POLICY, HeaderValue::from_static("none"));
    }
    reply
}
