//! Chunked stream: one answer that stays open, one chunk a message, as JSON lines or server-sent events.

use poll_core::Position;

use crate::access::client::Client;
use crate::dialect::frame::Framing;
use crate::dialect::native;
use crate::dialect::question::Question;
use crate::message::body::Body;
use crate::message::refusal::Refusal;
use crate::message::reply::Reply;
use crate::message::respond;
use crate::service::Service;
use crate::stream::body::{Feed, Style};
use crate::stream::channel_reader::{self, Follow};
use crate::worker::metrics::Pattern;

/// Opens a stream. `given` is the position as far as the reader named one.
pub(crate) async fn answer(
    service: Service,
    question: Question,
    client: Client,
    given: Option<Position>,
    framing: Framing,
) -> Result<Reply, Refusal> {
    let now = service.now();
    let (pinned, read_state) = service.stand(now, &question.channel, question.position, &client).await?;
    if framing == Framing::Events && given.is_some() && channel_reader::is_over(&read_state) {
        return Ok(respond::nothing_more());
    }
    let place = service.place(Pattern::Stream, &question.channel, &client)?;
    let first = native::connected(framing, &read_state, now);
    let follow = Follow::new(&service, question.channel, pinned, client);
    let feed = Feed::new(follow, Style::Updates(framing), Some(first));
    Ok(respond::streamed(native::media(framing), Body::level(feed).on_end(place)))
}
