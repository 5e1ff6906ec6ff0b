//! The golongpoll dialect: `/events` and `/publish`, as the library jcuga/golongpoll and its clients speak it.
//!
//! Times are milliseconds, so several events may share one, and the library's clients then lose some. Here they must
//! not: a poll's `since_time` is settled before it waits and returned by a timeout, the answer to a client that cannot
//! name its last event has whole milliseconds only, and the channel is sealed up to every time that a client is told to
//! resume from.

mod poll_answer;
mod start;
mod whole_milliseconds;

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use poll_core::{
    ChannelName, Limit, MAX_JSON_DEPTH, Payload, Position, Publish, Published, Store, compact_json,
};
use uuid::Uuid;

pub(crate) use self::poll_answer::{PollAnswer, uncached};
use self::start::Since;
use crate::access::authority::{Grant, Scope};
use crate::access::origin;
use crate::dialect::format::PublishFormat;
use crate::dialect::object::{self, Fields};
use crate::dialect::question::{AtEnd, Question, Reading};
use crate::message::connection_info::Scheme;
use crate::message::head::Head;
use crate::message::query::{Query, Repeats};
use crate::message::refusal::{ErrorFormat, Refusal};
use crate::message::reply::{Reply, Wants};
use crate::message::respond;
use crate::worker::settings::{AfterDelivery, ServiceSettings};

/// How large a publish may be beyond its data: a category of 1024 escaped characters, and the keys.
pub(crate) const ENVELOPE_BYTES: usize = 8 * 1_024;
/// How errors are written.
pub(crate) const ERRORS: ErrorFormat = ErrorFormat::SpacedJson;

/// Parses a poll. Checks are in the library's order and in its words.
pub(crate) fn question(
    head: Head<'_>,
    scheme: Scheme,
    settings: &ServiceSettings,
    store: &Store,
    wants: Wants,
    grant: &Grant,
) -> Result<(Question, PollAnswer), Refusal> {
    let (question, since) = poll(head, settings.golongpoll_most_seconds)?;
    let after = after_delivery(head, scheme, settings, &grant.publish, &question.reading.channel);
    let setting = settings.golongpoll_after_delivery;
    Ok((question, PollAnswer::new(store.clone(), since, wants, setting, after)))
}

fn poll(head: Head<'_>, most_seconds: u64) -> Result<(Question, Since), Refusal> {
    let query = Query::of(head);
    let get = |name| query.get(name, Repeats::FirstWins).ok().flatten().filter(|value| !value.is_empty());

    let timeout = get("timeout").and_then(|text| text.parse().ok());
    let timeout = timeout
        .filter(|seconds| (1..=most_seconds).contains(seconds))
        .ok_or_else(|| mistake(format!("Invalid or missing 'timeout' arg.  Must be 1-{most_seconds}.")))?;
    let channel = get("category").and_then(|category| ChannelName::parse(&category).ok());
    let channel =
        channel.ok_or_else(|| mistake("Invalid subscription category, must be 1-1024 characters long."))?;
    // A value that is not UTF-8 is as wrong as one that is not a number.
    let malformed = |name| query.get(name, Repeats::FirstWins).is_err();
    let since = match get("since_time") {
        None if malformed("since_time") => return Err(mistake("Invalid 'since_time' arg.")),
        None => None,
        Some(text) => Some(text.parse::<i64>().map_err(|_| mistake("Invalid 'since_time' arg."))?),
    };
    let last = match get("last_id") {
        None if malformed("last_id") => return Err(mistake("Param 'last_id' was not a valid UUID.")),
        None => None,
        Some(_) if since.is_none() => {
            return Err(mistake("Must provide 'since_time' arg when providing 'last_id'."));
        }
        Some(text) => {
            Some(Uuid::parse_str(&text).map_err(|_| mistake("Param 'last_id' was not a valid UUID."))?)
        }
    };
    let since = match (since, last) {
        (None, _) => Since::Now,
        (Some(millis), last) => {
            let millis = u64::try_from(millis).unwrap_or(0);
            last.map_or(Since::Time(millis), |last| Since::Event(millis, last))
        }
    };
    let wait = Duration::from_secs(timeout);
    // The position is settled when the poll starts.
    let reading = Reading { channel, position: Position::End };
    Ok((Question { reading, limit: Limit::default(), wait, at_end: AtEnd::Wait }, since))
}

/// A client's mistake, which this dialect answers with status 200.
fn mistake(text: impl Into<std::borrow::Cow<'static, str>>) -> Refusal {
    Refusal::reported_as_200(text)
}

/// What happens to the events that this client gets. Deleting is a write: it needs the right to publish, and a page of
/// another site, which may send any GET, deletes nothing.
fn after_delivery(
    head: Head<'_>,
    scheme: Scheme,
    settings: &ServiceSettings,
    publishes: &Scope,
    channel: &ChannelName,
) -> AfterDelivery {
    let may = || publishes.covers(channel) && origin::check_site(head, scheme, &settings.cors).is_ok();
    if settings.golongpoll_after_delivery == AfterDelivery::Delete && may() {
        AfterDelivery::Delete
    } else {
        AfterDelivery::Keep
    }
}

/// Parses a publish: a JSON object whose keys match in any case, as in Go's decoder.
pub(crate) fn publish(body: &[u8], most_payload: usize) -> Result<(ChannelName, Publish), Refusal> {
    let malformed = || Refusal::bad_request("Invalid POST body json.");
    // The data is nested one level deep.
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
    // Part of compact JSON is compact.
    Ok((channel, Publish::one(Payload::Json(Bytes::copy_from_slice(data)))))
}

/// Writes the answer to a publish.
pub(crate) struct PublishAnswer;

impl PublishFormat for PublishAnswer {
    fn write(&self, _: &ChannelName, _: &Published) -> Reply {
        respond::json(StatusCode::OK, &br#"{"success": true}"#[..])
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn ask(query: &str) -> Result<(Question, Since), Refusal> {
        let head = Request::get(format!("/events?{query}")).body(()).unwrap().into_parts().0;
        poll((&head).into(), 120)
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
    fn a_time_before_the_epoch_is_the_epoch() {
        assert_eq!(ask("timeout=1&category=c&since_time=-5").unwrap().1, Since::Time(0));
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
