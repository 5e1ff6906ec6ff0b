//! The golongpoll dialect: `/events` and `/publish`, as the library jcuga/golongpoll and its clients speak it.
//!
//! Times are milliseconds here, so several events may share one. The library's own clients then lose some;
//! ours must not. So a poll's `since_time` is settled before it waits and given back by a timeout, an answer to a
//! client that cannot name its last event holds whole milliseconds only, and the channel is sealed up to each time that
//! is given as one to go on from.

use std::cmp::Ordering;
use std::io::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use poll_core::{
    Batch, ChannelName, Form, Limit, MAX_JSON_DEPTH, Message, Payload, Position, Publish, ReadState,
    Timestamp, compact_json,
};
use uuid::Uuid;

use crate::dialect::form;
use crate::dialect::list::{self, List};
use crate::dialect::object::{self, Fields};
use crate::dialect::question::{Answer, AtEnd, Grain, Question, Skips};
use crate::message::body::Body;
use crate::message::head::Head;
use crate::message::json::{write_payload, write_string};
use crate::message::query::{Query, Repeats};
use crate::message::refusal::Refusal;
use crate::message::reply::Reply;
use crate::message::respond;
use crate::worker::settings::Given;

/// What a publish may hold beside its data: a category of 1024 characters, each written as an escape, and keys.
pub(crate) const ENVELOPE_BYTES: usize = 8 * 1_024;
/// How far back a client's clock from the future counts.
const SLACK_MILLIS: u64 = 2_000;

/// What a poll of `/events` asks, as its client put it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Since {
    /// Nothing said: from now on.
    Now,
    /// Milliseconds since the epoch.
    Time(u64),
    /// The same, and the last event the client has of that millisecond.
    Event(u64, Uuid),
}

/// Whether the event that a client has last is one of its channel's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Last {
    Known,
    Unknown,
}

/// A poll of `/events`, still to be [placed](place).
#[derive(Debug)]
pub(crate) struct Events {
    pub(crate) question: Question,
    pub(crate) since: Since,
}

/// Reads a poll. Checks are in the library's order and in its words.
pub(crate) fn events(head: Head<'_>, most_seconds: u64, given: Given) -> Result<Events, Refusal> {
    let query = Query::of(head);
    let get = |name| query.get(name, Repeats::FirstWins).ok().flatten().filter(|value| !value.is_empty());

    let timeout = get("timeout").and_then(|text| text.parse().ok());
    let timeout = timeout
        .filter(|seconds| (1..=most_seconds).contains(seconds))
        .ok_or_else(|| told(format!("Invalid or missing 'timeout' arg.  Must be 1-{most_seconds}.")))?;
    let channel = get("category").and_then(|category| ChannelName::parse(&category).ok());
    let channel =
        channel.ok_or_else(|| told("Invalid subscription category, must be 1-1024 characters long."))?;
    // A value that is there but no text is as wrong as one that is no number.
    let malformed = |name| query.get(name, Repeats::FirstWins).is_err();
    let since = match get("since_time") {
        None if malformed("since_time") => return Err(told("Invalid 'since_time' arg.")),
        None => None,
        Some(text) => Some(text.parse::<i64>().map_err(|_| told("Invalid 'since_time' arg."))?),
    };
    let last = match get("last_id") {
        None if malformed("last_id") => return Err(told("Param 'last_id' was not a valid UUID.")),
        None => None,
        Some(_) if since.is_none() => {
            return Err(told("Must provide 'since_time' arg when providing 'last_id'."));
        }
        Some(text) => {
            Some(Uuid::parse_str(&text).map_err(|_| told("Param 'last_id' was not a valid UUID."))?)
        }
    };
    let since = match (since, last) {
        (None, _) => Since::Now,
        (Some(millis), last) => {
            let millis = u64::try_from(millis).unwrap_or(0);
            last.map_or(Since::Time(millis), |last| Since::Event(millis, last))
        }
    };
    let skips = if given == Given::Deleted { Skips::Deleted } else { Skips::Nothing };
    let wait = std::time::Duration::from_secs(timeout);
    let (position, limit, grain) = (Position::End, Limit::default(), Grain::Millisecond);
    let question = Question { channel, position, limit, wait, at_end: AtEnd::Wait, grain, skips };
    Ok(Events { question, since })
}

/// Settles where a poll starts that came `now`, when its channel's newest event was as `end` says, and the `since_time`
/// that it really uses, which is what a timeout gives back. `settle` seals the channel up to a millisecond or, where an
/// event is on its way that is not later, an earlier one, and says which.
pub(crate) fn place(
    question: Question,
    since: Since,
    known: Last,
    now: Timestamp,
    end: &ReadState,
    settle: impl Fn(u64) -> u64,
) -> (Question, u64) {
    // The time of an event is not in the future, even where the channel's times are ahead of the clock: a client must
    // not be given again what it had.
    let latest = now.max(end.newest_at).as_millis();
    let (position, used, grain) = match since {
        Since::Now => (Position::After(end.cursor()), settle(latest), Grain::Millisecond),
        // By a client's clock that runs ahead, and would skip what comes meanwhile.
        Since::Time(millis) | Since::Event(millis, _) if millis > latest => {
            let used = settle(now.as_millis().saturating_sub(SLACK_MILLIS));
            (after_millis(used), used, Grain::Millisecond)
        }
        Since::Time(0) => (Position::Start, 0, Grain::Millisecond),
        Since::Event(0, _) => (Position::Start, 0, Grain::Message),
        Since::Time(millis) => {
            // It may be a clock's: what comes from now on is later, whatever the clock does.
            settle(millis);
            (after_millis(millis), millis, Grain::Millisecond)
        }
        Since::Event(millis, last) => (after_event(millis, last, known), millis, Grain::Message),
    };
    (Question { position, grain, ..question }, used)
}

/// After all events of this millisecond.
fn after_millis(millis: u64) -> Position {
    Position::AfterTime(Timestamp::end_of_millis(millis))
}

/// After an event of this millisecond. Ids sort as events do; a known one that is not of this millisecond says
/// only on which side of it the client is, an unknown one nothing.
fn after_event(millis: u64, last: Uuid, known: Last) -> Position {
    match (poll_core::time_of(last).as_millis().cmp(&millis), known) {
        (Ordering::Less, _) | (_, Last::Unknown) => {
            Position::AfterTime(Timestamp::from_micros(millis.saturating_mul(1_000) - 1))
        }
        (Ordering::Equal, Last::Known) => Position::AfterId(last),
        (Ordering::Greater, Last::Known) => after_millis(millis),
    }
}

/// The answer to a poll that used this `since_time`.
pub(crate) fn answer(answer: &Answer, channel: &ChannelName, used: u64) -> Reply {
    let body = if let Some(batch) = &answer.view.batch {
        list::body(Listing::of(channel), answer, batch, Vec::new())
    } else {
        Body::full(format!(r#"{{"timeout":"no events before timeout","timestamp":{used}}}"#))
    };
    let mut reply = respond::whole(StatusCode::OK, respond::JSON, respond::NO_STORE, body);
    uncached(&mut reply);
    crate::dialect::add_missed(&mut reply, &answer.view.read_state);
    reply
}

/// The events of a category.
struct Listing {
    /// The category as JSON.
    category: Vec<u8>,
}

impl Listing {
    fn of(channel: &ChannelName) -> Self {
        let mut category = Vec::with_capacity(channel.as_str().len() + 2);
        write_string(&mut category, channel.as_str());
        Self { category }
    }
}

impl List for Listing {
    const FORM: Form = form::EVENTS;

    fn open(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"events":["#);
    }

    fn message(&self, out: &mut Vec<u8>, message: &Message) {
        let _ = write!(out, r#"{{"timestamp":{},"category":"#, message.at.as_millis());
        out.extend_from_slice(&self.category);
        out.extend_from_slice(br#","data":"#);
        write_payload(out, &message.payload);
        let _ = write!(out, r#","id":"{}"}}"#, message.id);
    }

    fn close(&self, out: &mut Vec<u8>, _: &Batch, _: &[Arc<Message>]) {
        out.extend_from_slice(b"]}");
    }
}

/// What the library says of caching, on everything that `/events` answers.
pub(crate) fn uncached(reply: &mut Reply) {
    reply.cache = Some("no-cache, no-store, must-revalidate".into());
    let headers = reply.headers_mut();
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    headers.insert(header::EXPIRES, HeaderValue::from_static("0"));
}

/// A mistake of the asker's, which this dialect tells with status 200.
fn told(text: impl Into<std::borrow::Cow<'static, str>>) -> Refusal {
    Refusal::told_as_success(text)
}

/// Reads a publish: a JSON object whose keys match in any case, as Go's decoder has it.
pub(crate) fn publish(body: &[u8], most_payload: usize) -> Result<(ChannelName, Publish), Refusal> {
    let malformed = || Refusal::bad_request("Invalid POST body json.");
    // The data is one level down.
    let posted = compact_json(body, MAX_JSON_DEPTH + 1).map_err(|_| malformed())?;
    if !posted.starts_with(b"{") {
        return Err(malformed());
    }
    let (mut category, mut data) = (None, None);
    for (name, value) in Fields::of(&posted) {
        let value = Some(value).filter(|value| *value != b"null");
        match object::text(name) {
            Some(name) if name.eq_ignore_ascii_case("category") => {
                category = value.map(|value| object::text(value).ok_or_else(malformed)).transpose()?;
            }
            Some(name) if name.eq_ignore_ascii_case("data") => data = value,
            _ => {}
        }
    }
    let channel = category.and_then(|category| ChannelName::parse(&category).ok());
    let channel = channel.ok_or_else(|| {
        Refusal::bad_request("Invalid or missing 'category' arg, must be 1-1024 characters long.")
    })?;
    let data = data.ok_or_else(|| Refusal::bad_request("Invalid or missing 'data' arg, must be non-nil."))?;
    if data.len() > most_payload {
        return Err(Refusal::too_large("'data'", most_payload));
    }
    // A part of compact JSON is compact.
    Ok((channel, Publish::one(Payload::Json(Bytes::copy_from_slice(data)))))
}

/// The answer to a publish.
pub(crate) fn published() -> Reply {
    respond::json(StatusCode::OK, &br#"{"success": true}"#[..])
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn ask(query: &str) -> Result<Events, Refusal> {
        let head = Request::get(format!("/events?{query}")).body(()).unwrap().into_parts().0;
        events((&head).into(), 120, Given::Kept)
    }

    #[test]
    fn mistakes_are_told_in_the_librarys_order_and_words() {
        let timeout = "Invalid or missing 'timeout' arg.  Must be 1-120.";
        let category = "Invalid subscription category, must be 1-1024 characters long.";
        let long = format!("timeout=1&category={}", "a".repeat(1025));
        let cases = [
            ("", timeout),
            ("timeout=0&category=", timeout),
            ("timeout=121", timeout),
            ("timeout=1.5", timeout),
            ("timeout=1", category),
            ("timeout=1&category=&since_time=x", category),
            (&long, category),
            ("timeout=1&category=c&since_time=1.5&last_id=x", "Invalid 'since_time' arg."),
            ("timeout=1&category=c&last_id=x", "Must provide 'since_time' arg when providing 'last_id'."),
            (
                "timeout=1&category=c&since_time=&last_id=x",
                "Must provide 'since_time' arg when providing 'last_id'.",
            ),
            ("timeout=1&category=c&since_time=1&last_id=x", "Param 'last_id' was not a valid UUID."),
        ];
        for (query, text) in cases {
            assert_eq!(ask(query).unwrap_err().detail(), text, "{query}");
        }
    }

    #[test]
    fn a_clock_from_the_future_counts_as_two_seconds_ago() {
        let end = ReadState { newest_at: NOW, ..ReadState::UNBORN };
        let used = |time: &str, sealed: u64| {
            let Events { question, since } = ask(&format!("timeout=1&category=c&since_time={time}")).unwrap();
            place(question, since, Last::Unknown, NOW, &end, |millis| millis.min(sealed)).1
        };
        assert_eq!(used("1000001", u64::MAX), 998_000);
        assert_eq!(used("1000000", u64::MAX), 1_000_000);
        assert_eq!(used("-5", u64::MAX), 0);
        assert_eq!(used("", u64::MAX), 1_000_000);
        // What is on its way lies ahead of a time that is the server's, not of one that is the client's.
        assert_eq!(used("1000001", 900_000), 900_000);
        assert_eq!(used("1000000", 900_000), 1_000_000);
        assert_eq!(used("", 900_000), 900_000);
    }

    #[test]
    fn keys_match_in_any_case_and_data_is_anything_but_nil() {
        for body in [
            r#"{"category":"c","data":false}"#,
            r#"{"Category":"c","DATA":""}"#,
            r#"{"x":[],"data":0,"category":"c"}"#,
        ] {
            assert!(publish(body.as_bytes(), 64).is_ok(), "{body}");
        }
        let cases = [
            ("", "Invalid POST body json."),
            ("[]", "Invalid POST body json."),
            (r#"{"category":5,"data":1}"#, "Invalid POST body json."),
            (r#"{"data":1}"#, "Invalid or missing 'category' arg, must be 1-1024 characters long."),
            (
                r#"{"category":"","data":1}"#,
                "Invalid or missing 'category' arg, must be 1-1024 characters long.",
            ),
            (r#"{"category":"c","data":null}"#, "Invalid or missing 'data' arg, must be non-nil."),
            (r#"{"category":"c"}"#, "Invalid or missing 'data' arg, must be non-nil."),
        ];
        for (body, text) in cases {
            assert_eq!(publish(body.as_bytes(), 64).unwrap_err().detail(), text, "{body}");
        }
    }
}
