//! Chunked stream: a response that stays open, one chunk a message, as JSON lines or server-sent events.

use crate::access::client::Client;
use crate::dialect::native;
use crate::dialect::question::{Asked, ListStreamQuestion, StreamQuestion};
use crate::message::body::Body;
use crate::message::outcome::Outcome;
use crate::message::refusal::Refusal;
use crate::message::reply::Reply;
use crate::message::respond;
use crate::stream::body::StreamBody;
use crate::stream::open::{open, open_list};
use crate::stream::style::Style;
use crate::worker::Worker;
use crate::worker::metrics::Waiter;

/// A parsed request.
pub(crate) struct Request {
    pub(crate) asked: Asked<StreamQuestion, ListStreamQuestion>,
}

/// Opens a stream.
pub(crate) fn answer(worker: &Worker, request: Request, client: Client) -> Result<Outcome, Refusal> {
    let worker = worker.clone();
    Ok(match request.asked {
        Asked::One(asked) => Outcome::later(stream(worker, asked, client)),
        Asked::Several(asked) => Outcome::later(stream_list(worker, *asked, client)),
    })
}

async fn stream_list(worker: Worker, asked: ListStreamQuestion, client: Client) -> Result<Reply, Refusal> {
    let framing = asked.framing;
    let Some(opened) = open_list(&worker, asked, Waiter::Stream, client).await? else {
        return Ok(respond::nothing_more());
    };
    let body = StreamBody::new(opened.reader, Style::Updates(framing), Some(opened.first));
    Ok(respond::streamed(native::content_type(framing), Body::broadcastable(body).on_end(opened.permit)))
}

async fn stream(worker: Worker, asked: StreamQuestion, client: Client) -> Result<Reply, Refusal> {
    let framing = asked.framing;
    let Some(opened) = open(&worker, asked, Waiter::Stream, client).await? else {
        return Ok(respond::nothing_more());
    };
    let first = native::connected(framing, worker.random_id(), &opened.read_state, opened.now);
    let body = StreamBody::new(opened.reader, Style::Updates(framing), Some(first));
    Ok(respond::streamed(native::content_type(framing), Body::broadcastable(body).on_end(opened.permit)))
}
