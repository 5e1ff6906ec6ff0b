//! The Durable Streams dialect: `/v1/stream/{name}`, an open protocol for streams that are created, appended to, read from
//! any offset and followed, closed, forked and deleted.
//!
//! A stream is a channel: what is appended here is read by every other dialect, and the other way round. An offset is a
//! message's number, which with the channel's epoch is the cursor of the other dialects. A channel that was born by a
//! publish is a stream of JSON.

mod answer;
mod content;
mod events;
mod fields;
mod interval;
mod media;
mod offset;
mod read_answer;
mod request;

use std::time::Duration;

use percent_encoding::percent_decode_str;
use poll_core::{ChannelName, Limit, Position};

pub(crate) use self::answer::{
    appended, closed_before, created, deleted, described, live, refuse_append, refuse_create,
};
pub(crate) use self::content::most_bytes;
pub(crate) use self::events::{Ahead, EventWriter};
pub(crate) use self::fields::STREAM_SSE_DATA_ENCODING as SSE_DATA_ENCODING;
pub(crate) use self::read_answer::{Cached, CatchUp, PollAnswer, at_tail};
pub(crate) use self::request::{Append, Begins, Create, Live, Read, append, create, read};
use crate::access::origin::{self, CrossOriginFields};
use crate::dialect::question::{AtEnd, Question, Reading};
use crate::dialect::timeout;
use crate::message::connection_info::Scheme;
use crate::message::head::Head;
use crate::message::percent_encoding::is_encoded;
use crate::message::refusal::{ErrorFormat, Refusal};
use crate::worker::Worker;

/// What the path of every stream begins with.
pub(crate) const ROOT: &str = "/v1/stream/";
/// Names that begin with this are the protocol's own.
const RESERVED: &str = "__ds/";

/// How long a long poll waits, unless the server allows less.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// How errors are written.
pub(crate) const ERRORS: ErrorFormat = ErrorFormat::ProblemJson;

/// The fields that pages of other origins may read and send.
pub(crate) const CROSS_ORIGIN_FIELDS: CrossOriginFields =
    CrossOriginFields { exposed: EXPOSED, allowed: ALLOWED };
const EXPOSED: &str = "ETag, Location, Poll-Missed, Producer-Epoch, Producer-Expected-Seq, \
    Producer-Received-Seq, Producer-Seq, Retry-After, Stream-Closed, Stream-Cursor, Stream-Expires-At, \
    Stream-Next-Offset, Stream-SSE-Data-Encoding, Stream-TTL, Stream-Up-To-Date, X-Request-Id";
const ALLOWED: &str = "Authorization, Content-Type, If-None-Match, Producer-Epoch, Producer-Id, \
    Producer-Seq, Stream-Closed, Stream-Expires-At, Stream-Fork-Offset, Stream-Fork-Sub-Offset, Stream-Forked-From, \
    Stream-Seq, Stream-TTL, X-Client-ID, X-Request-Id";

/// The channel of a stream, from what follows the [root](ROOT) in its path; `/` belongs to the name.
///
/// # Errors
/// 400 if the name is malformed, 404 if it is the protocol's own.
pub(crate) fn name(path: &str) -> Result<ChannelName, Refusal> {
    let not_text = || Refusal::bad_request("the path is not percent-encoded UTF-8");
    if !is_encoded(path.as_bytes()) {
        return Err(not_text());
    }
    let name = percent_decode_str(path).decode_utf8().map_err(|_| not_text())?;
    if name.starts_with(RESERVED) {
        return Err(Refusal::not_found());
    }
    Ok(ChannelName::parse(&name)?)
}

/// The URL of the stream that a request names, as the request names it.
///
/// # Errors
/// 400 without a host.
pub(crate) fn location(head: Head<'_>, scheme: Scheme) -> Result<String, Refusal> {
    let scheme = match scheme {
        Scheme::Http => "http",
        Scheme::Https => "https",
    };
    let path = head.path();
    // HTTP/1.0 may have no host.
    Ok(match origin::authority(head)? {
        Some(authority) => format!("{scheme}://{authority}{path}"),
        None => path.to_owned(),
    })
}

/// A long poll of a stream, which waits as long as the server lets it: a thirtieth less, for the answer to travel.
pub(crate) fn long_poll(
    channel: ChannelName,
    read: Read,
    cached: Cached,
    worker: &Worker,
) -> Result<(Question, PollAnswer), Refusal> {
    let wait = timeout::wait(None, || Some(LONGEST_WAIT), worker.settings().max_poll.min(LONGEST_WAIT))?;
    // The format decides where it begins.
    let reading = Reading { channel, position: Position::Start };
    let question = Question { reading, limit: Limit::default(), wait, at_end: AtEnd::Answer };
    Ok((question, PollAnswer::new(read, cached, worker.environment().random())))
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[test]
    fn a_name_is_the_rest_of_the_path() {
        let parsed =
            |path: &str| name(path).map(|name| name.as_str().to_owned()).map_err(|refusal| refusal.status());
        assert_eq!(parsed("a/b%20c%2Fd").as_deref(), Ok("a/b c/d"));
        assert_eq!(parsed("/").as_deref(), Ok("/"));
        for malformed in ["", "%", "%ff", "%00", "a%0Ab"] {
            assert_eq!(parsed(malformed), Err(StatusCode::BAD_REQUEST), "{malformed}");
        }
        assert_eq!(parsed("__ds/jwks.json"), Err(StatusCode::NOT_FOUND));
    }
}
