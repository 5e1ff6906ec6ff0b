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
mod name;
mod offset;
mod read_answer;
mod request;
pub(crate) mod subscriptions;

use std::time::Duration;

use poll_core::{ChannelName, Limit, Position};

pub(crate) use self::answer::{
    appended, closed_before, created, deleted, described, live, refuse_append, refuse_create,
};
pub(crate) use self::content::most_bytes;
pub(crate) use self::events::{Ahead, EventWriter};
pub(crate) use self::fields::STREAM_SSE_DATA_ENCODING as SSE_DATA_ENCODING;
pub(crate) use self::name::{RESERVED, ROOT, base, location, name};
pub(crate) use self::read_answer::{Cached, CatchUp, PollAnswer, at_tail};
pub(crate) use self::request::{Append, Begins, Create, Live, Read, append, create, read};
use crate::access::origin::CrossOriginFields;
use crate::dialect::question::{AtEnd, Question, Reading};
use crate::dialect::timeout;
use crate::message::refusal::{ErrorFormat, Refusal};
use crate::worker::Worker;

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
