//! The chat dialect: `/messages`, one channel of texts in the order of their ids.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use poll_core::{Batch, ChannelName, Form, Limit, Message, Payload, Position, Publish, Published};
use uuid::Uuid;

use crate::dialect::format::{PollFormat, PublishFormat};
use crate::dialect::message_list::{self, List};
use crate::dialect::object::{self, Fields};
use crate::dialect::question::{Answer, AtEnd, Question, Reading};
use crate::message::body::Body;
use crate::message::head::Head;
use crate::message::json::{json_string, write_payload, write_string, write_text, write_time};
use crate::message::query::{Query, Repeats};
use crate::message::refusal::{ErrorFormat, Refusal};
use crate::message::reply::Reply;
use crate::message::respond;

/// The one channel of this dialect.
const CHANNEL: &str = "messages";
/// The largest request in bytes, as in the original.
pub(crate) const MOST_BYTES: usize = 10_000;
/// How long a poll waits.
const WAIT: Duration = Duration::from_secs(10);

/// How errors are written.
pub(crate) const ERRORS: ErrorFormat = ErrorFormat::SpacedJson;

const JSON_UTF8: &str = "application/json; charset=UTF-8";

pub(crate) fn channel() -> Result<ChannelName, Refusal> {
    Ok(ChannelName::parse(CHANNEL)?)
}

/// Parses a poll.
pub(crate) fn question(head: Head<'_>) -> Result<Question, Refusal> {
    let query = Query::of(head);
    let after = query.get("after", Repeats::FirstWins)?.filter(|after| !after.is_empty());
    let position = match after.as_deref().map(Uuid::parse_str) {
        None => Position::Start,
        Some(Ok(id)) if id.is_nil() => Position::Start,
        Some(Ok(id)) => Position::AfterId(id),
        Some(Err(_)) => return Err(Refusal::bad_request("`after` is not a UUID")),
    };
    let reading = Reading { channel: channel()?, position };
    Ok(Question { reading, limit: Limit::default(), wait: WAIT, at_end: AtEnd::Wait })
}

/// Parses a publish.
pub(crate) fn publish(body: &[u8], most_payload: usize) -> Result<(Publish, PublishAnswer), Refusal> {
    let malformed = |why: &dyn std::fmt::Display| {
        Refusal::bad_request(format!("not an object with a text `body`: {why}"))
    };
    let posted = Payload::json(body).map_err(|error| malformed(&error))?;
    let bodies =
        Fields::of(posted.as_bytes()).filter(|(name, _)| object::text(name).as_deref() == Some("body"));
    let text = bodies.last().ok_or_else(|| malformed(&"it has none"))?.1;
    let text = object::text(text).ok_or_else(|| malformed(&"it is no text"))?.into_owned();
    if text.len() > most_payload {
        return Err(Refusal::too_large("the message", most_payload));
    }
    Ok((Publish::one(Payload::text(text.clone())), PublishAnswer(text)))
}

/// Answers a poll with an array, empty after a timeout.
pub(crate) struct PollAnswer;

impl PollFormat for PollAnswer {
    fn write(self: Box<Self>, _: &ChannelName, answer: &Answer) -> Result<Reply, Refusal> {
        let body = match &answer.view.batch {
            Some(batch) => message_list::body(Messages, answer, batch, Vec::new()),
            None => Body::full(&b"[]"[..]),
        };
        let mut reply = respond::whole(StatusCode::OK, JSON_UTF8, respond::NO_STORE, body);
        message_list::add_missed(&mut reply, answer.missed());
        Ok(reply)
    }
}

struct Messages;

impl List for Messages {
    type Batch = Batch;

    const FORM: Form = Form::new("chat");
    const GZIPPED: Form = Form::new("chat, gzip");

    fn open(&self, out: &mut Vec<u8>) {
        out.push(b'[');
    }

    fn message(&self, out: &mut Vec<u8>, message: &Arc<Message>) {
        write_message(out, message);
    }

    fn close(&self, out: &mut Vec<u8>, _: &Batch, _: &[Arc<Message>]) {
        out.push(b']');
    }
}

fn write_message(out: &mut Vec<u8>, message: &Message) {
    let _ = write!(out, r#"{{"id":"{}","created_at":"#, message.id);
    write_time(out, message.at);
    out.extend_from_slice(br#","body":"#);
    match &message.payload {
        // A body is a string: other JSON is shown as text.
        Payload::Json(json) if json_string(json).is_none() => write_text(out, json),
        payload => drop(write_payload(out, payload)),
    }
    out.push(b'}');
}

/// Answers a publish with the message as readers will see it.
#[derive(Debug)]
pub(crate) struct PublishAnswer(String);

impl PublishFormat for PublishAnswer {
    fn most_bytes(&self, _: usize) -> usize {
        // Each byte may have to be escaped.
        self.0.len() * 6
    }

    fn write(&self, _: &ChannelName, published: &Published) -> Reply {
        let mut out = Vec::with_capacity(self.0.len() + 112);
        for stamp in published.stamps.iter().take(1) {
            let _ = write!(out, r#"{{"id":"{}","created_at":"{}","body":"#, stamp.id, stamp.at);
            write_string(&mut out, &self.0);
            out.push(b'}');
        }
        respond::whole(StatusCode::OK, JSON_UTF8, respond::NO_STORE, Body::full(out))
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn after_is_an_id_and_the_zero_id_is_the_start() {
        let ask = |query: &str| {
            let head = Request::get(format!("/messages?{query}")).body(()).unwrap().into_parts().0;
            question((&head).into()).map(|question| question.reading.position)
        };
        let id = Uuid::from_u128(7);
        assert_eq!(ask(""), Ok(Position::Start));
        assert_eq!(ask("after="), Ok(Position::Start));
        assert_eq!(ask(&format!("after={}", Uuid::nil())), Ok(Position::Start));
        assert_eq!(ask(&format!("after={id}&after=x")), Ok(Position::AfterId(id)));
        assert!(ask("after=7").is_err());
    }

    #[test]
    fn a_body_is_a_text() {
        assert_eq!(publish(br#"{"body":"a","x":1}"#, 64).unwrap().1.0, "a");
        for bad in ["", "{}", "[]", r#"{"body":1}"#, r#"{"body":"a"} x"#] {
            assert!(publish(bad.as_bytes(), 64).is_err(), "{bad}");
        }
    }
}
