//! Events: a response that stays open for a minute, with content and where it ends as server-sent events.

use http::HeaderValue;
use http::header::VARY;
use poll_core::life::Use;
use poll_core::{ChannelName, Position};

use crate::access::client::Client;
use crate::dialect::durable_streams::{self, Cached, CatchUp, EventWriter, Read, SSE_DATA_ENCODING};
use crate::message::body::Body;
use crate::message::outcome::Outcome;
use crate::message::refusal::Refusal;
use crate::message::reply::Reply;
use crate::message::respond;
use crate::stream::channel_reader::ChannelReader;
use crate::stream::event_body::EventBody;
use crate::worker::Worker;
use crate::worker::metrics::Waiter;

/// A parsed request.
pub(crate) struct Request {
    pub(crate) channel: ChannelName,
    pub(crate) read: Read,
}

/// Opens a stream of events.
pub(crate) fn answer(worker: &Worker, request: Request, client: Client) -> Result<Outcome, Refusal> {
    Ok(Outcome::later(open(worker.clone(), request, client)))
}

async fn open(worker: Worker, request: Request, client: Client) -> Result<Reply, Refusal> {
    let Request { channel, read } = request;
    let standing = worker.describe(&channel, Use::Renew, &client).await?;
    let CatchUp { start, media, .. } =
        CatchUp::new(&read, &durable_streams::live(standing)?, Cached::ByReader)?;
    let position = Position::After(start.cursor);
    let (pinned, read_state) = worker.pin(worker.now(), &channel, position, &client).await?;
    let permit = worker.permit(Waiter::Stream, &channel, &client)?;
    let reader = ChannelReader::new(&worker, channel, pinned, client);
    let writer = EventWriter::new(media, read.interval, worker.environment().random());
    let encoding = writer.encoding();
    let body = Body::stream(EventBody::new(reader, writer, &read_state)).on_end(permit);
    let mut reply = respond::streamed(respond::EVENT_STREAM, body);
    // The form follows from the address, whatever the client accepts.
    reply.remove(&[VARY]);
    if let Some(encoding) = encoding {
        reply.headers_mut().insert(SSE_DATA_ENCODING, HeaderValue::from_static(encoding));
    }
    Ok(reply)
}
