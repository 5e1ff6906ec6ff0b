//! Chunked stream: one answer that stays open, one chunk a message, as JSON lines or server-sent events.

use http::StatusCode;
use poll_core::{Cursor, Position, Standing};

use crate::body::Body;
use crate::client::Client;
use crate::dialect::native;
use crate::error::Refusal;
use crate::feed::{Feed, Style};
use crate::follow::Follow;
use crate::frame::Framing;
use crate::head::{Field, Head};
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
    let pinned = service.store().pin(now, &question.channel, question.position).await;
    let standing = service.store().standing(now, &question.channel, &pinned).await;
    if framing == Framing::Events && given.is_some() && is_over(&standing) {
        return Ok(respond::bare(StatusCode::NO_CONTENT));
    }
    let place = service.place(Pattern::Stream, &question.channel, &client)?;
    let first = native::connected(framing, start(&standing), now);
    let follow = Follow::new(&service, question.channel, pinned, client);
    let feed = Feed::new(follow, Style::Updates(framing), Some(first));
    Ok(respond::streamed(native::media(framing), Body::level(feed).on_end(place)))
}

/// What the asker wants a stream to be framed as.
pub(crate) fn framing(head: Head<'_>) -> Framing {
    let events = head.texts(Field::Accept).flat_map(|value| value.split(',')).any(|range| {
        let media = range.split(';').next().unwrap_or_default().trim();
        media.eq_ignore_ascii_case("text/event-stream")
    });
    if events { Framing::Events } else { Framing::Lines }
}

/// Whether a reader has all there will ever be. 204 then stops an EventSource (WHATWG HTML §9.2.3).
pub(crate) fn is_over(standing: &Standing) -> bool {
    standing.ended && standing.position >= standing.newest && standing.missed() == Some(0)
}

/// Where the reader starts, before anything is said of what it missed.
fn start(standing: &Standing) -> Cursor {
    Cursor { epoch: standing.epoch, seq: standing.position }
}
