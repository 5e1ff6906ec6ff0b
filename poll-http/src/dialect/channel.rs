//! The channel dialect: `/api/poll/{channel}` and `/api/publish/{channel}`, with times in seconds.
//!
//! A client that names its last message gets all that follow. One that names a time gets one message, because the
//! dialect's own client reads only one and resumes from its time.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use poll_core::planted::{self, Bug};
use poll_core::{Batch, ChannelName, Form, Limit, Message, Payload, Position, Publish, Published, Timestamp};
use uuid::Uuid;

use crate::dialect::format::{PollFormat, PublishFormat};
use crate::dialect::message_list::{self, List};
use crate::dialect::object::{self, Fields};
use crate::dialect::question::{Answer, AtEnd, Question, Reading};
use crate::dialect::timeout::wait;
use crate::message::body::Body;
use crate::message::head::Head;
use crate::message::json::{write_encoding, write_payload};
use crate::message::query::{Query, Repeats};
use crate::message::refusal::{ErrorFormat, Refusal};
use crate::message::reply::Reply;
use crate::message::respond;

/// How errors are written.
pub(crate) const ERRORS: ErrorFormat = ErrorFormat::Json;

/// How a poll was put, which decides how it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PollAnswer {
    /// With all messages after this one.
    All(Uuid),
    /// With the next message after this time.
    One(Timestamp),
}

/// Parses a poll.
pub(crate) fn question(
    head: Head<'_>,
    channel: ChannelName,
    most: Duration,
) -> Result<(Question, PollAnswer), Refusal> {
    let query = Query::of(head);
    let get = |name| Ok::<_, Refusal>(query.get(name, Repeats::FirstWins)?.filter(|value| !value.is_empty()));
    let wait = wait(get("timeout")?.as_deref(), || None, most)?;
    let (position, limit, format) = match get("last_message_id")? {
        Some(text) => {
            let id = Uuid::parse_str(&text)
                .map_err(|_| Refusal::bad_request("`last_message_id` is not a UUID"))?;
            let position = if id.is_nil() { Position::Start } else { Position::AfterId(id) };
            (position, Limit::default(), PollAnswer::All(id))
        }
        None => {
            let since = get("since")?.map_or(Ok(Timestamp::ZERO), |text| time(&text))?;
            let start = since == Timestamp::ZERO;
            let position = if start { Position::Start } else { Position::AfterTime(since) };
            (position, Limit::messages(1), PollAnswer::One(since))
        }
    };
    let reading = Reading { channel, position };
    Ok((Question { reading, limit, wait, at_end: AtEnd::Wait }, format))
}

/// Seconds since the epoch. A double is exact to the microsecond until the year 2255.
fn time(text: &str) -> Result<Timestamp, Refusal> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| seconds.is_finite());
    let seconds = seconds.ok_or_else(|| Refusal::bad_request("`since` must be a number of seconds"))?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "saturates, and is not negative"
    )]
    Ok(Timestamp::from_micros((seconds.max(0.0) * 1e6).round() as u64))
}

/// Parses a publish: a JSON object, whatever its `Content-Type`.
pub(crate) fn publish(body: &[u8], most_payload: usize) -> Result<Publish, Refusal> {
    let malformed =
        |error| Refusal::bad_request(format!("the body must be a message, which is a JSON object: {error}"));
    let payload = Payload::json(body).map_err(|error| malformed(error.to_string()))?;
    if !payload.as_bytes().starts_with(b"{") {
        return Err(malformed("it is another JSON value".to_owned()));
    }
    if payload.len() > most_payload {
        return Err(Refusal::too_large("the message", most_payload));
    }
    Ok(Publish::one(payload))
}

impl PollFormat for PollAnswer {
    fn write(self: Box<Self>, _: &ChannelName, answer: &Answer) -> Result<Reply, Refusal> {
        let body = match (&answer.view.batch, *self) {
            (Some(batch), Self::All(_)) => message_list::body(All, answer, batch, Vec::new()),
            (Some(batch), Self::One(_)) => message_list::body(One, answer, batch, Vec::new()),
            (None, format) => {
                let since = match format {
                    Self::One(since) => since,
                    Self::All(id) => poll_core::time_of(id),
                };
                let since = if planted::is(Bug::CursorFromTheClock) { answer.now } else { since };
                let mut out = br#"{"status":"timeout","messages":[],"count":0,"timestamp":"#.to_vec();
                write_seconds(&mut out, since);
                out.push(b'}');
                Body::full(out)
            }
        };
        let mut reply = respond::whole(StatusCode::OK, respond::JSON, respond::NO_STORE, body);
        message_list::add_missed(&mut reply, answer.missed());
        Ok(reply)
    }
}

struct All;

impl List for All {
    type Batch = Batch;

    const FORM: Form = Form::new("channel all");
    const GZIPPED: Form = Form::new("channel all, gzip");

    fn open(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"status":"messages","messages":["#);
    }

    fn message(&self, out: &mut Vec<u8>, message: &Arc<Message>) {
        write_message(out, message);
    }

    fn close(&self, out: &mut Vec<u8>, batch: &Batch, messages: &[Arc<Message>]) {
        let _ = write!(out, r#"],"count":{},"timestamp":"#, messages.len());
        write_seconds(out, batch.newest().at);
        out.push(b'}');
    }
}

/// One message, twice: by itself, and in a list.
struct One;

impl List for One {
    type Batch = Batch;

    const FORM: Form = Form::new("channel one");
    const GZIPPED: Form = Form::new("channel one, gzip");

    fn open(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"status":"message","data":"#);
    }

    fn message(&self, out: &mut Vec<u8>, message: &Arc<Message>) {
        let begun = out.len();
        write_message(out, message);
        let end = out.len();
        out.extend_from_slice(br#","messages":["#);
        out.extend_from_within(begun..end);
    }

    fn close(&self, out: &mut Vec<u8>, batch: &Batch, _: &[Arc<Message>]) {
        out.extend_from_slice(br#"],"count":1,"timestamp":"#);
        write_seconds(out, batch.newest().at);
        out.push(b'}');
    }
}

/// An object is shown with the message's `id` and `timestamp` in place of its own; anything else as `data`.
fn write_message(out: &mut Vec<u8>, message: &Message) {
    out.push(b'{');
    match &message.payload {
        Payload::Json(json) if json.starts_with(b"{") => write_fields(out, json),
        payload => {
            out.extend_from_slice(br#""data":"#);
            let encoding = write_payload(out, payload);
            write_encoding(out, encoding);
            out.push(b',');
        }
    }
    let _ = write!(out, r#""id":"{}","timestamp":"#, message.id);
    write_seconds(out, message.at);
    out.push(b'}');
}

/// The members of an object except `id` and `timestamp`, each followed by a comma.
fn write_fields(out: &mut Vec<u8>, json: &[u8]) {
    for (name, value) in Fields::of(json) {
        if !object::text(name).is_some_and(|name| matches!(&*name, "id" | "timestamp")) {
            out.extend_from_slice(name);
            out.push(b':');
            out.extend_from_slice(value);
            out.push(b',');
        }
    }
}

/// A time as a JSON number of seconds with six decimals.
fn write_seconds(out: &mut Vec<u8>, at: Timestamp) {
    let _ = write!(out, "{}.{:06}", at.as_micros() / 1_000_000, at.as_micros() % 1_000_000);
}

/// Writes the answer to a publish.
pub(crate) struct PublishAnswer;

impl PublishFormat for PublishAnswer {
    fn write(&self, _: &ChannelName, published: &Published) -> Reply {
        let mut out = Vec::with_capacity(80);
        for stamp in published.stamps.iter().take(1) {
            let _ = write!(out, r#"{{"status":"published","message_id":"{}"}}"#, stamp.id);
        }
        respond::json(StatusCode::OK, out)
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn ask(query: &str) -> Result<(Question, PollAnswer), Refusal> {
        let head = Request::get(format!("/api/poll/c?{query}")).body(()).unwrap().into_parts().0;
        question((&head).into(), ChannelName::parse("c").unwrap(), Duration::from_secs(60))
    }

    #[test]
    fn a_time_in_seconds_keeps_its_microsecond() {
        let at = Timestamp::from_micros(1_795_214_978_123_457);
        let mut text = Vec::new();
        write_seconds(&mut text, at);
        assert_eq!(text, b"1795214978.123457");
        let (_, format) = ask("since=1795214978.123457").unwrap();
        assert_eq!(format, PollAnswer::One(at));
    }

    #[test]
    fn questions_by_id_get_all_and_by_time_get_one() {
        let (question, format) = ask("").unwrap();
        assert_eq!((question.reading.position, question.limit.messages), (Position::Start, 1));
        assert_eq!(format, PollAnswer::One(Timestamp::ZERO));
        let id = Uuid::from_u128(9);
        let (question, format) = ask(&format!("last_message_id={id}&since=5&timeout=99")).unwrap();
        assert_eq!((question.reading.position, format), (Position::AfterId(id), PollAnswer::All(id)));
        assert_eq!(question.wait, Duration::from_secs(59));
        for bad in ["since=inf", "since=nan", "since=x", "timeout=nan", "last_message_id=1"] {
            assert!(ask(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_messages_own_id_and_time_stand_aside() {
        let payload = Payload::json(br#"{"id":1,"a":{"id":2},"\u0069d":3,"timestamp":4}"#).unwrap();
        let at = Timestamp::from_micros(1_500_000);
        let message = Message { seq: poll_core::Seq::new(1), id: Uuid::nil(), at, payload };
        let mut out = Vec::new();
        write_message(&mut out, &message);
        let expected = format!(r#"{{"a":{{"id":2}},"id":"{}","timestamp":1.500000}}"#, Uuid::nil());
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
