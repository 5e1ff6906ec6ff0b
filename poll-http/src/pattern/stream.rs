//! Chunked stream: one answer that stays open, one chunk a message, as JSON lines or server-sent events.

use poll_core::Position;

use crate::body::Body;
use crate::client::Client;
use crate::dialect::native;
use crate::error::Refusal;
use crate::feed::{Feed, Style};
use crate::follow::{self, Follow};
use crate::frame::Framing;
use crate::metrics::Pattern;
use crate::question::Question;
use crate::reply::Reply;
use crate::respond;
use crate::service::Service;

/// Opens a stream. `given` is the position as far as the reader named one.
pub(crate) async fn answer(
    service: Service,
    question: Question,
    client: Client,
    given: Option<Position>,
    framing: Framing,
) -> Result<Reply, Refusal> {
    let now = service.now();
    let (pinned, standing) = service.stand(now, &question.channel, question.position, &client).await?;
    if framing == Framing::Events && given.is_some() && follow::is_over(&standing) {
        return Ok(respond::nothing_more());
    }
    let place = service.place(Pattern::Stream, &question.channel, &client)?;
    let first = native::connected(framing, &standing, now);
    let follow = Follow::new(&service, question.channel, pinned, client);
    let feed = Feed::new(follow, Style::Updates(framing), Some(first));
    Ok(respond::streamed(native::media(framing), Body::level(feed).on_end(place)))
}
