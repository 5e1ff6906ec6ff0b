//! Chunked stream: a response that stays open, one chunk a message, as JSON lines or server-sent events.

use crate::access::client::Client;
use crate::dialect::native;
use crate::dialect::question::StreamQuestion;
use crate::message::body::Body;
use crate::message::outcome::Outcome;
use crate::message::refusal::Refusal;
use crate::message::reply::Reply;
use crate::message::respond;
use crate::stream::body::StreamBody;
use crate::stream::open::open;
use crate::stream::style::Style;
use crate::worker::Worker;
use crate::worker::metrics::Waiter;

/// A parsed request.
pub(crate) struct Request {
    pub(crate) asked: StreamQuestion,
}

/// Opens a stream.
pub(crate) fn answer(worker: &Worker, request: Request, client: Client) -> Result<Outcome, Refusal> {
    Ok(Outcome::later(stream(worker.clone(), request, client)))
}

async fn stream(worker: Worker, request: Request, client: Client) -> Result<Reply, Refusal> {
    let framing = request.asked.framing;
    let Some(opened) = open(&worker, request.asked, Waiter::Stream, client).await? else {
        return Ok(respond::nothing_more());
    };
    let first = native::connected(framing, worker.random_id(), &opened.read_state, opened.now);
    let body = StreamBody::new(opened.reader, Style::Updates(framing), Some(first));
    Ok(respond::streamed(native::content_type(framing), Body::broadcastable(body).on_end(opened.permit)))
}
