//! Answers to what creates, changes and describes a stream, and its refusals.

use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use poll_core::life::{
    AppendError, Appended, CreateError, Created, Deleted, Description, Lifetime, ProducerStamp, Standing,
};
use poll_core::{Cursor, Ending, Seq};

use crate::dialect::durable_streams::{fields, media, offset};
use crate::message::refusal::Refusal;
use crate::message::reply::Reply;
use crate::message::respond;

const TRUE: HeaderValue = HeaderValue::from_static("true");

/// The description of a stream that is there.
///
/// # Errors
/// 404 if there is none, 410 if it was deleted and others were forked from it.
pub(crate) fn live(standing: Standing) -> Result<Description, Refusal> {
    match standing {
        Standing::Live(description) => Ok(description),
        Standing::Absent => Err(absent()),
        Standing::Hidden => Err(hidden()),
    }
}

pub(super) fn absent() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "there is no such stream")
}

fn hidden() -> Refusal {
    Refusal::new(StatusCode::GONE, "the stream was deleted, and lives on only in those forked from it")
}

/// 201 for a stream that was created, 200 for one that was there already. `location` is its URL.
pub(crate) fn created(created: &Created, location: String) -> Reply {
    let (status, stream) = match created {
        Created::New { description: stream, .. } => (StatusCode::CREATED, stream),
        Created::Same(stream) => (StatusCode::OK, stream),
    };
    let location = (status == StatusCode::CREATED).then(|| location.into_bytes().into());
    Reply { location, ..described_with(status, stream) }
}

/// A stream without its content.
pub(crate) fn described(stream: &Description) -> Reply {
    let mut reply = described_with(StatusCode::OK, stream);
    match stream.life.lifetime {
        Lifetime::Endless => {}
        Lifetime::Sliding(time) => {
            reply.headers_mut().insert(fields::STREAM_TTL, HeaderValue::from(time.as_secs()));
        }
        Lifetime::Until(at) => {
            let at = HeaderValue::from_bytes(&at.to_rfc3339());
            at.into_iter().for_each(|at| drop(reply.headers_mut().insert(fields::STREAM_EXPIRES_AT, at)));
        }
    }
    reply
}

fn described_with(status: StatusCode, stream: &Description) -> Reply {
    let mut reply = bare(status);
    reply.headers_mut().insert(CONTENT_TYPE, content_type(stream));
    add_end(&mut reply, stream.end(), stream.ending);
    reply
}

/// The content type of a stream, as it was given.
pub(super) fn content_type(stream: &Description) -> HeaderValue {
    let given =
        stream.life.content_type.as_ref().and_then(|given| HeaderValue::try_from(given.as_str()).ok());
    given.unwrap_or(HeaderValue::from_static(media::OF_PUBLISHED))
}

fn bare(status: StatusCode) -> Reply {
    Reply { cache: Some(respond::NO_STORE.into()), ..respond::bare(status) }
}

/// Adds the end of a stream.
fn add_end(reply: &mut Reply, end: Cursor, ending: Ending) {
    add_next(reply, end.seq);
    if ending == Ending::Close {
        add_closed(reply);
    }
}

/// Adds where to go on.
pub(super) fn add_next(reply: &mut Reply, after: Seq) {
    if let Ok(offset) = HeaderValue::try_from(offset::text(after)) {
        reply.headers_mut().insert(fields::STREAM_NEXT_OFFSET, offset);
    }
}

pub(super) fn add_closed(reply: &mut Reply) {
    reply.headers_mut().insert(fields::STREAM_CLOSED, TRUE);
}

pub(super) fn add_up_to_date(reply: &mut Reply) {
    reply.headers_mut().insert(fields::STREAM_UP_TO_DATE, TRUE);
}

/// 204 for an append or a close, 200 for a producer's append.
pub(crate) fn appended(appended: &Appended, producer: Option<&ProducerStamp>, ending: Ending) -> Reply {
    let (status, seq, end, ending) = match appended {
        Appended::New { published, end } => {
            let content = producer.is_some() && !published.stamps.is_empty();
            let status = if content { StatusCode::OK } else { StatusCode::NO_CONTENT };
            (status, producer.map(|producer| producer.seq), *end, ending)
        }
        Appended::Duplicate { last, end, ending } => (StatusCode::NO_CONTENT, Some(*last), *end, *ending),
    };
    let mut reply = bare(status);
    add_end(&mut reply, end, ending);
    if let (Some(producer), Some(seq)) = (producer, seq) {
        let headers = reply.headers_mut();
        headers.insert(fields::PRODUCER_EPOCH, HeaderValue::from(producer.epoch));
        headers.insert(fields::PRODUCER_SEQ, HeaderValue::from(seq));
    }
    reply
}

/// 204 for a close of a stream that is closed already.
pub(crate) fn closed_before(end: Cursor) -> Reply {
    let mut reply = bare(StatusCode::NO_CONTENT);
    add_end(&mut reply, end, Ending::Close);
    reply
}

/// 204 for a stream that was deleted.
///
/// # Errors
/// 404 if there was none, 410 if it was deleted before.
pub(crate) fn deleted(deleted: &Deleted) -> Result<Reply, Refusal> {
    match deleted {
        Deleted::Gone | Deleted::Hidden => Ok(bare(StatusCode::NO_CONTENT)),
        Deleted::AlreadyHidden => Err(hidden()),
        Deleted::Absent => Err(absent()),
    }
}

/// Why a stream was not created.
pub(crate) fn refuse_create(error: CreateError) -> Refusal {
    let conflict = |detail: &'static str| Refusal::new(StatusCode::CONFLICT, detail);
    match error {
        CreateError::Differs => conflict("there is a stream of this name with another configuration"),
        CreateError::Hidden => {
            conflict("a stream of this name was deleted, and lives on in those forked from it")
        }
        CreateError::NoSource => {
            Refusal::new(StatusCode::NOT_FOUND, "`Stream-Forked-From`: there is no such stream")
        }
        CreateError::SourceHidden => conflict("`Stream-Forked-From`: the stream was deleted"),
        CreateError::BeyondTail => {
            Refusal::bad_request("`Stream-Fork-Offset` is beyond the end of the stream")
        }
        CreateError::BeyondUnit => {
            Refusal::bad_request("`Stream-Fork-Sub-Offset` is beyond the append that follows the offset")
        }
        CreateError::SourceEvicted => Refusal::new(
            StatusCode::GONE,
            "`Stream-Fork-Sub-Offset`: what follows the offset is no longer retained",
        ),
        CreateError::OtherType => conflict("`Content-Type` is not that of the stream it is forked from"),
        CreateError::TooDeep => conflict("`Stream-Forked-From`: the stream is a fork of too many others"),
        CreateError::Publish(error) => error.into(),
    }
}

/// Why nothing was appended.
pub(crate) fn refuse_append(error: AppendError) -> Refusal {
    let conflict = |detail: &'static str| Refusal::new(StatusCode::CONFLICT, detail);
    match error {
        AppendError::NotFound => absent(),
        AppendError::Hidden => hidden(),
        AppendError::Closed { end } => {
            let refusal = conflict("the stream is closed").with_field(fields::STREAM_CLOSED, TRUE);
            match HeaderValue::try_from(offset::text(end.seq)) {
                Ok(offset) => refusal.with_field(fields::STREAM_NEXT_OFFSET, offset),
                Err(_) => refusal,
            }
        }
        AppendError::OtherType => conflict("`Content-Type` is not that of the stream"),
        AppendError::Order => conflict("`Stream-Seq` is not after the one of the append before"),
        AppendError::Stale { epoch } => {
            Refusal::new(StatusCode::FORBIDDEN, "`Producer-Epoch`: the producer has begun a later one")
                .with_field(fields::PRODUCER_EPOCH, epoch)
        }
        AppendError::NotFromZero => {
            Refusal::bad_request("`Producer-Seq` is not 0: an epoch begins with that")
        }
        AppendError::Gap { expected, received } => {
            conflict("`Producer-Seq`: an append of the producer before this one is missing")
                .with_field(fields::PRODUCER_EXPECTED_SEQ, expected)
                .with_field(fields::PRODUCER_RECEIVED_SEQ, received)
        }
        AppendError::TooManyProducers => {
            Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too many producers append to this stream")
                .retry_after(std::time::Duration::from_secs(1))
        }
        AppendError::Publish(error) => error.into(),
    }
}
