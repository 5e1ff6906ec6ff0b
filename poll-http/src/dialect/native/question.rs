//! Parsing of native questions: channel, position, limit and wait, from the query and the head.

use std::borrow::Cow;
use std::time::Duration;

use poll_core::{ChannelName, Cursor, Limit, Position, Seq};

use crate::dialect::frame::Framing;
use crate::dialect::question::{AtEnd, Channels, Question, StreamQuestion};
use crate::dialect::timeout::wait;
use crate::message::accept::weight;
use crate::message::head::{Field, Head, text};
use crate::message::query::{Query, Repeats, number};
use crate::message::refusal::Refusal;
use crate::message::respond;

const DEFAULT_CHANNEL: &str = "default";

/// Query parameters that say what to read, decoded but not parsed.
struct Parameters<'a> {
    channel: Parameter<'a>,
    cursor: Parameter<'a>,
    last_id: Parameter<'a>,
    limit: Parameter<'a>,
}

type Parameter<'a> = Option<Cow<'a, str>>;

impl<'a> Parameters<'a> {
    fn of(head: Head<'a>) -> Result<Self, Refusal> {
        let names = ["channel", "cursor", "last_id", "limit"];
        let [channel, cursor, last_id, limit] = Query::of(head).get_all(names, Repeats::Refused)?;
        Ok(Self { channel, cursor, last_id, limit })
    }

    /// The same with `timeout`, which only a long poll has.
    fn timed(head: Head<'a>) -> Result<(Self, Parameter<'a>), Refusal> {
        let names = ["channel", "cursor", "last_id", "limit", "timeout"];
        let [channel, cursor, last_id, limit, timeout] = Query::of(head).get_all(names, Repeats::Refused)?;
        Ok((Self { channel, cursor, last_id, limit }, timeout))
    }
}

/// `/api/poll`.
pub(crate) fn short_poll(head: Head<'_>) -> Result<Question, Refusal> {
    let parameters = Parameters::of(head)?;
    question(&parameters, position(&parameters)?.unwrap_or(Position::Start), Duration::ZERO)
}

/// `/api/longpoll`; waits at most `most`.
pub(crate) fn long_poll(head: Head<'_>, most: Duration) -> Result<Question, Refusal> {
    let (parameters, timeout) = Parameters::timed(head)?;
    let wait = wait(timeout.as_deref(), || preferred_wait(head), most)?;
    question(&parameters, position(&parameters)?.unwrap_or(Position::Start), wait)
}

/// `/api/stream` and `/api/push`: from now on, unless the reader names a position.
pub(crate) fn stream(head: Head<'_>) -> Result<StreamQuestion, Refusal> {
    let parameters = Parameters::of(head)?;
    let given = given(head, &parameters)?;
    let question = question(&parameters, given.unwrap_or(Position::End), Duration::ZERO)?;
    Ok(StreamQuestion { question, given, framing: framing(head)? })
}

/// `/api/progress/{job}`, whose channel is in the path: from the first step, unless the reader names a position.
pub(crate) fn job(head: Head<'_>, channel: ChannelName) -> Result<StreamQuestion, Refusal> {
    let [cursor, last_id] = Query::of(head).get_all(["cursor", "last_id"], Repeats::Refused)?;
    let given = given(head, &Parameters { channel: None, cursor, last_id, limit: None })?;
    progress(head, channel, given)
}

/// `/api/progress`, whose channel is still to be created.
pub(crate) fn demo_job(head: Head<'_>, channel: ChannelName) -> Result<StreamQuestion, Refusal> {
    progress(head, channel, None)
}

fn progress(
    head: Head<'_>,
    channel: ChannelName,
    given: Option<Position>,
) -> Result<StreamQuestion, Refusal> {
    let channels = Channels::one(channel, given.unwrap_or(Position::Start));
    let question =
        Question { channels, limit: Limit::default(), wait: Duration::ZERO, at_end: AtEnd::Answer };
    Ok(StreamQuestion { question, given, framing: framing(head)? })
}

/// The framing of a stream: what `format` says, else what `Accept` prefers, else lines.
fn framing(head: Head<'_>) -> Result<Framing, Refusal> {
    match get(Query::of(head), "format")?.as_deref() {
        Some("sse") => Ok(Framing::Events),
        Some("lines") => Ok(Framing::Lines),
        Some(_) => Err(Refusal::bad_request("`format` must be `sse` or `lines`")),
        None if weight(head, respond::EVENT_STREAM) > weight(head, respond::NDJSON) => Ok(Framing::Events),
        None => Ok(Framing::Lines),
    }
}

/// The channel that a parameter names, or the default one.
pub(super) fn channel_or_default(channel: &Parameter<'_>) -> Result<ChannelName, Refusal> {
    if channel.as_deref() == Some("") {
        let remedy = format!("`channel` is empty: name one, or leave it out for `{DEFAULT_CHANNEL}`");
        return Err(Refusal::bad_request(remedy));
    }
    Ok(ChannelName::parse(channel.as_deref().unwrap_or(DEFAULT_CHANNEL))?)
}

fn question(parameters: &Parameters<'_>, position: Position, wait: Duration) -> Result<Question, Refusal> {
    let limit = match &parameters.limit {
        None => Limit::default(),
        Some(text) => match number(text) {
            Some(0) | None => {
                return Err(Refusal::bad_request("`limit` must be a whole number of at least 1"));
            }
            Some(limit) => Limit::messages(usize::try_from(limit).unwrap_or(usize::MAX)),
        },
    };
    let channels = Channels::one(channel_or_default(&parameters.channel)?, position);
    Ok(Question { channels, limit, wait, at_end: AtEnd::Answer })
}

/// The position in the query.
fn position(parameters: &Parameters<'_>) -> Result<Option<Position>, Refusal> {
    match (&parameters.cursor, &parameters.last_id) {
        (Some(_), Some(_)) => {
            Err(Refusal::bad_request("`cursor` and `last_id` say the same thing: give one"))
        }
        (Some(text), None) => Ok(Some(Position::After(cursor("cursor", text)?))),
        (None, Some(text)) => match number(text) {
            Some(last) => Ok(Some(Position::AfterSeq(Seq::new(last)))),
            None => Err(Refusal::bad_request("`last_id` must be a whole number")),
        },
        (None, None) => Ok(None),
    }
}

/// The position that the reader of a stream names, if any.
fn given(head: Head<'_>, parameters: &Parameters<'_>) -> Result<Option<Position>, Refusal> {
    match resumed(head)? {
        Some(position) => Ok(Some(position)),
        None => position(parameters),
    }
}

/// Where an EventSource was when its connection broke (WHATWG HTML, section 9.2.4). Newer than the query, so it takes
/// precedence. An id that is not a cursor comes from another server: an error would end the EventSource for good.
fn resumed(head: Head<'_>) -> Result<Option<Position>, Refusal> {
    let position = |id: &str| id.parse().map_or(Position::Unknown, Position::After);
    let given = get(Query::of(head), "lastEventId")?.filter(|id| !id.is_empty());
    match head.field(Field::LastEventId).filter(|id| !id.is_empty()) {
        Some(id) => Ok(Some(text(id).map_or(Position::Unknown, position))),
        None => Ok(given.as_deref().map(position)),
    }
}

fn cursor(name: &str, text: &str) -> Result<Cursor, Refusal> {
    text.parse().map_err(|error| Refusal::bad_request(format!("`{name}`: {error}")))
}

/// `Prefer: wait=S` (RFC 7240, section 4.3), in whole seconds. Preferences that are not understood are ignored.
fn preferred_wait(head: Head<'_>) -> Option<Duration> {
    head.texts(Field::Prefer).flat_map(|value| value.split([',', ';'])).find_map(|preference| {
        let (name, value) = preference.split_once('=')?;
        let value = value.trim().trim_matches('"');
        let wait = name.trim().eq_ignore_ascii_case("wait");
        if wait { number(value).map(Duration::from_secs) } else { None }
    })
}

fn get<'a>(query: Query<'a>, name: &str) -> Result<Parameter<'a>, Refusal> {
    query.get(name, Repeats::Refused)
}

#[cfg(test)]
mod tests {
    use http::Request;
    use http::request::Parts;

    use super::*;

    fn head(target: &str, fields: &[(&str, &str)]) -> Parts {
        let request =
            fields.iter().fold(Request::get(target), |request, (name, value)| request.header(*name, *value));
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn waits_are_decimal_clamped_and_preferred() {
        let most = Duration::from_secs(60);
        let wait = |target: &str, fields: &[(&str, &str)]| {
            long_poll((&head(target, fields)).into(), most).map(|q| q.wait)
        };
        let cases = [
            ("/?", &[][..], 29_000),
            ("/?timeout=0.3", &[], 290),
            ("/?timeout=-3", &[], 0),
            ("/?timeout=1e9", &[], 59_000),
            ("/?timeout=1e99", &[], 59_000),
            ("/?timeout=99999999999999999999", &[], 59_000),
            ("/?timeout=%2B6", &[], 5_800),
            ("/?timeout=30", &[], 29_000),
            ("/?timeout=31.5", &[], 30_500),
            ("/", &[("prefer", "respond-async, wait=15")], 14_500),
            ("/?timeout=3", &[("prefer", "wait=10")], 2_900),
            ("/", &[("prefer", "wait=soon")], 29_000),
        ];
        for (target, fields, millis) in cases {
            assert_eq!(wait(target, fields), Ok(Duration::from_millis(millis)), "{target}");
        }
        for bad in ["inf", "nan", "", "x", "1s", "-inf", "1e999"] {
            let refusal = wait(&format!("/?timeout={bad}"), &[]).unwrap_err();
            assert!(refusal.detail().contains("`timeout`"), "{bad}");
        }
    }

    #[test]
    fn positions_come_from_one_place_and_a_resumed_one_counts_first() {
        let (a, b) = (format!("{:032x}", 1u128 << 64 | 5), format!("{:032x}", 1u128 << 64 | 9));
        let at = |target: &str, fields: &[(&str, &str)]| {
            stream((&head(target, fields)).into()).unwrap().question.channels.only().position
        };
        assert_eq!(at("/", &[]), Position::End);
        assert_eq!(at("/?last_id=7", &[]), Position::AfterSeq(Seq::new(7)));
        assert_eq!(at(&format!("/?cursor={a}"), &[]), Position::After(a.parse().unwrap()));
        let resumed = at(&format!("/?cursor={a}"), &[("last-event-id", &b)]);
        assert_eq!(resumed, Position::After(b.parse().unwrap()));
        assert_eq!(at(&format!("/?lastEventId={b}&last_id=1"), &[]), Position::After(b.parse().unwrap()));
        assert_eq!(at(&format!("/?cursor={a}"), &[("last-event-id", "17")]), Position::Unknown);
        assert_eq!(
            at(&format!("/?cursor={a}"), &[("last-event-id", "")]),
            Position::After(a.parse().unwrap())
        );
        assert_eq!(at("/?lastEventId=x&last_id=1", &[]), Position::Unknown);
        assert_eq!(short_poll((&head("/", &[])).into()).unwrap().channels.only().position, Position::Start);
    }

    #[test]
    fn a_format_counts_before_what_is_accepted() {
        let framing = |target: &str, accept: &str| framing((&head(target, &[("accept", accept)])).into());
        for (target, accept, expected) in [
            ("/", "*/*", Framing::Lines),
            ("/", "text/event-stream", Framing::Events),
            ("/?format=lines", "text/event-stream", Framing::Lines),
            ("/?format=sse", "application/x-ndjson", Framing::Events),
            ("/", "text/event-stream;q=0.5, application/x-ndjson;q=0.6", Framing::Lines),
            ("/", "text/event-stream;q=0", Framing::Lines),
            ("/", "application/json", Framing::Lines),
        ] {
            assert_eq!(framing(target, accept), Ok(expected), "{target} {accept}");
        }
        for bad in ["/?format=", "/?format=SSE", "/?format=sse&format=sse"] {
            assert!(framing(bad, "*/*").unwrap_err().detail().contains("`format`"), "{bad}");
        }
    }

    #[test]
    fn what_is_malformed_is_named() {
        let cases = [
            ("/?limit=0", "`limit`"),
            ("/?limit=-1", "`limit`"),
            ("/?last_id=", "`last_id`"),
            ("/?last_id=1.5", "`last_id`"),
            ("/?last_id=99999999999999999999", "`last_id`"),
            ("/?cursor=xyz", "`cursor`"),
            ("/?cursor=x&last_id=1", "`cursor`"),
            ("/?channel=", "`channel`"),
            ("/?channel=%00", "`channel`"),
            ("/?channel=a&channel=b", "`channel`"),
            ("/?channel=%ff", "`channel`"),
        ];
        for (target, name) in cases {
            let refusal = short_poll((&head(target, &[])).into()).unwrap_err();
            assert!(refusal.detail().contains(name), "{target}: {}", refusal.detail());
        }
        let name = ChannelName::parse("progress/a").unwrap();
        assert!(short_poll((&head("/?unknown=1&unknown=2", &[])).into()).is_ok());
        assert!(
            short_poll((&head("/?timeout=1&timeout=%ff", &[])).into()).is_ok(),
            "only a long poll knows of it"
        );
        assert!(stream((&head("/?timeout=1&timeout=2", &[])).into()).is_ok());
        assert!(
            job((&head("/?channel=&channel=a&limit=0", &[])).into(), name.clone()).is_ok(),
            "a job's channel is in its path"
        );
        assert!(job((&head("/?cursor=x", &[])).into(), name).is_err());
        let most = Duration::from_secs(60);
        assert!(long_poll((&head("/?timeout=1&timeout=2", &[])).into(), most).is_err());
    }
}
