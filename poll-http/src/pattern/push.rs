//! HTTP/2 server push: an answer that stays open, and a PUSH_PROMISE a message (RFC 9113 §8.4).
//!
//! Where a promise cannot be made, the message comes inline, as a chunked stream would give it: nothing is
//! lost for want of a stream, a window or a protocol.

use http::{HeaderName, HeaderValue};
use poll_core::Position;

use crate::access::client::Client;
use crate::dialect::frame::Framing;
use crate::dialect::native;
use crate::dialect::question::Question;
use crate::message::body::Body;
use crate::message::connection_info::PushPolicy;
use crate::message::refusal::Refusal;
use crate::message::reply::Reply;
use crate::message::respond;
use crate::service::Service;
use crate::stream::body::{Feed, Style};
use crate::stream::channel_reader::{self, Follow};
use crate::worker::metrics::Pattern;

const PUSH_POLICY: HeaderName = HeaderName::from_static("push-policy");

/// Opens a stream of promises. `given` is the position as far as the reader named one.
pub(crate) async fn answer(
    service: Service,
    question: Question,
    client: Client,
    given: Option<Position>,
    framing: Framing,
    push: PushPolicy,
) -> Result<Reply, Refusal> {
    let now = service.now();
    let (pinned, read_state) = service.stand(now, &question.channel, question.position, &client).await?;
    if framing == Framing::Events && given.is_some() && channel_reader::is_over(&read_state) {
        return Ok(respond::nothing_more());
    }
    let first = native::connected(framing, &read_state, now);
    let place = service.place(Pattern::Push, &question.channel, &client)?;
    let follow = Follow::new(&service, question.channel, pinned, client);
    let style = match push {
        PushPolicy::Possible => Style::Promises(framing),
        PushPolicy::Off => Style::Updates(framing),
    };
    let feed = Feed::new(follow, style, Some(first));
    let mut reply = respond::streamed(native::media(framing), Body::stream(feed).on_end(place));
    if push == PushPolicy::Off {
        reply.headers_mut().insert(PUSH_POLICY, HeaderValue::from_static("none"));
    }
    Ok(reply)
}
