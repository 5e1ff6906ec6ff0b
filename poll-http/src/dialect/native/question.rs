//! Parsing of native questions: channel, position, limit and wait, from the query and the head.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use poll_core::{ChannelKey, ChannelName, Limit, ListStart, Position, Seq, Token};

use crate::dialect::frame::Framing;
use crate::dialect::question::{
    Arrival, Asked, AtEnd, ListQuestion, ListStanding, ListStreamQuestion, Question, Reading, StreamQuestion,
};
use crate::dialect::timeout::wait;
use crate::message::accept::weight;
use crate::message::head::{Field, Head, text};
use crate::message::query::{Query, Repeats, decoded, number};
use crate::message::refusal::Refusal;
use crate::message::respond;
use crate::worker::lists::{Lists, SharedList};
use crate::worker::settings::MaxChannels;

const DEFAULT_CHANNEL: &str = "default";

/// Query parameters that say what to read, decoded but not parsed.
struct Parameters<'a> {
    channel: Parameter<'a>,
    /// All channels, not decoded, if there are several.
    channels: Vec<&'a str>,
    cursor: Parameter<'a>,
    last_id: Parameter<'a>,
    limit: Parameter<'a>,
}

type Parameter<'a> = Option<Cow<'a, str>>;

impl<'a> Parameters<'a> {
    fn of(head: Head<'a>) -> Result<Self, Refusal> {
        let names = ["channel", "cursor", "last_id", "limit"];
        let ([channel, cursor, last_id, limit], channels) = Query::of(head).get_all_and_list(names)?;
        Ok(Self { channel, channels, cursor, last_id, limit })
    }

    /// The same with `timeout`, which only a long poll has.
    fn timed(head: Head<'a>) -> Result<(Self, Parameter<'a>), Refusal> {
        let names = ["channel", "cursor", "last_id", "limit", "timeout"];
        let ([channel, cursor, last_id, limit, timeout], channels) =
            Query::of(head).get_all_and_list(names)?;
        Ok((Self { channel, channels, cursor, last_id, limit }, timeout))
    }
}

/// The channels that a question names.
enum Named {
    One(ChannelName),
    Several(Arc<SharedList>),
}

/// A position as it is given, by whatever parameter.
enum Given {
    Token(Token),
    Seq(Seq),
    /// An id that is not ours.
    Unknown,
}

impl Given {
    /// The position in one channel; `None` if the token does not know it.
    fn in_one(&self, channel: &ChannelName) -> Option<Position> {
        match self {
            Self::Token(Token::Cursor(cursor)) => Some(Position::After(*cursor)),
            Self::Token(Token::Set(set)) => set.get(&ChannelKey::of(channel)).map(Position::After),
            Self::Seq(seq) => Some(Position::AfterSeq(*seq)),
            Self::Unknown => Some(Position::Unknown),
        }
    }

    /// The position in each of several channels.
    fn in_several(given: Option<Self>, otherwise: Position) -> Result<ListStart, Refusal> {
        Ok(match given {
            None => ListStart::Each(otherwise),
            Some(Self::Token(token)) => ListStart::Token { token, otherwise },
            Some(Self::Unknown) => ListStart::Each(Position::Unknown),
            Some(Self::Seq(_)) => {
                let remedy =
                    "`last_id` is a number in one channel: for several give the `cursor` of an answer";
                return Err(Refusal::bad_request(remedy));
            }
        })
    }
}

/// `/api/poll`, of at most `most` channels.
pub(crate) fn short_poll(
    head: Head<'_>,
    lists: &Lists,
    most: MaxChannels,
) -> Result<Asked<Question, ListQuestion>, Refusal> {
    let parameters = Parameters::of(head)?;
    poll(&parameters, lists, most, Duration::ZERO)
}

/// `/api/longpoll`; waits at most `max_poll`.
pub(crate) fn long_poll(
    head: Head<'_>,
    lists: &Lists,
    most: MaxChannels,
    max_poll: Duration,
) -> Result<Asked<Question, ListQuestion>, Refusal> {
    let (parameters, timeout) = Parameters::timed(head)?;
    let wait = wait(timeout.as_deref(), || preferred_wait(head), max_poll)?;
    poll(&parameters, lists, most, wait)
}

fn poll(
    parameters: &Parameters<'_>,
    lists: &Lists,
    most: MaxChannels,
    wait: Duration,
) -> Result<Asked<Question, ListQuestion>, Refusal> {
    let limit = limit(parameters)?;
    Ok(match channels(parameters, lists, most)? {
        Named::One(channel) => {
            let given = position(parameters)?;
            let position = given.and_then(|given| given.in_one(&channel)).unwrap_or(Position::Start);
            let reading = Reading { channel, position };
            Asked::One(Question { reading, limit, wait, at_end: AtEnd::Answer })
        }
        Named::Several(list) => {
            let start = || Given::in_several(position(parameters)?, Position::Start);
            if parameters.last_id.is_some() {
                // Refused, as it is of one channel.
                start()?;
            }
            let feed = list.feed(parameters.cursor.as_deref(), start)?;
            Asked::Several(Box::new(ListQuestion { standing: ListStanding::of(list), feed, limit, wait }))
        }
    })
}

/// `/api/stream` and `/api/push`, of at most `most` channels: from now on, unless the reader names a position.
pub(crate) fn stream(
    head: Head<'_>,
    lists: &Lists,
    most: MaxChannels,
) -> Result<Asked<StreamQuestion, ListStreamQuestion>, Refusal> {
    let parameters = Parameters::of(head)?;
    let (given, limit, framing) = (given(head, &parameters)?, limit(&parameters)?, framing(head)?);
    let wait = Duration::ZERO;
    Ok(match channels(&parameters, lists, most)? {
        Named::One(channel) => {
            let given = given.and_then(|given| given.in_one(&channel));
            let reading = Reading { channel, position: given.unwrap_or(Position::End) };
            let question = Question { reading, limit, wait, at_end: AtEnd::Answer };
            Asked::One(StreamQuestion { question, given, framing })
        }
        Named::Several(list) => {
            let arrival = if given.is_some() { Arrival::Returning } else { Arrival::New };
            let start = Given::in_several(given, Position::End)?;
            let standing = ListStanding::of(list);
            Asked::Several(Box::new(ListStreamQuestion { standing, start, arrival, framing }))
        }
    })
}

/// `/api/progress/{job}`, whose channel is in the path: from the first step, unless the reader names a position.
pub(crate) fn job(head: Head<'_>, channel: ChannelName) -> Result<StreamQuestion, Refusal> {
    let [cursor, last_id] = Query::of(head).get_all(["cursor", "last_id"], Repeats::Refused)?;
    let parameters = Parameters { channel: None, channels: Vec::new(), cursor, last_id, limit: None };
    let given = given(head, &parameters)?.and_then(|given| given.in_one(&channel));
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
    let reading = Reading { channel, position: given.unwrap_or(Position::Start) };
    let question = Question { reading, limit: Limit::default(), wait: Duration::ZERO, at_end: AtEnd::Answer };
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

/// The channels in the query, at most `most`. A name that is there twice counts once.
fn channels(parameters: &Parameters<'_>, lists: &Lists, most: MaxChannels) -> Result<Named, Refusal> {
    let values = &parameters.channels[..];
    if values.is_empty() {
        return channel_or_default(&parameters.channel).map(Named::One);
    }
    if let Some(list) = lists.named(values) {
        return Ok(Named::Several(list));
    }
    let parse = |value: &&str| channel_or_default(&Some(decoded("channel", value)?));
    let mut names = values.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    names.sort_unstable();
    names.dedup();
    match most {
        MaxChannels::At(most) if names.len() > most.get() => Err(Refusal::bad_request(format!(
            "`channel` names {} channels: one request reads at most {most}",
            names.len()
        ))),
        _ => match names.pop() {
            Some(one) if names.is_empty() => Ok(Named::One(one)),
            last => {
                names.extend(last);
                Ok(Named::Several(lists.name(values, names)?))
            }
        },
    }
}

fn limit(parameters: &Parameters<'_>) -> Result<Limit, Refusal> {
    match &parameters.limit {
        None => Ok(Limit::default()),
        Some(text) => match number(text) {
            Some(0) | None => Err(Refusal::bad_request("`limit` must be a whole number of at least 1")),
            Some(limit) => Ok(Limit::messages(usize::try_from(limit).unwrap_or(usize::MAX))),
        },
    }
}

/// The position in the query.
fn position(parameters: &Parameters<'_>) -> Result<Option<Given>, Refusal> {
    match (&parameters.cursor, &parameters.last_id) {
        (Some(_), Some(_)) => {
            Err(Refusal::bad_request("`cursor` and `last_id` say the same thing: give one"))
        }
        (Some(text), None) => match text.parse() {
            Ok(token) => Ok(Some(Given::Token(token))),
            Err(error) => Err(Refusal::bad_request(format!("`cursor`: {error}"))),
        },
        (None, Some(text)) => match number(text) {
            Some(last) => Ok(Some(Given::Seq(Seq::new(last)))),
            None => Err(Refusal::bad_request("`last_id` must be a whole number")),
        },
        (None, None) => Ok(None),
    }
}

/// The position that the reader of a stream names, if any.
fn given(head: Head<'_>, parameters: &Parameters<'_>) -> Result<Option<Given>, Refusal> {
    match resumed(head)? {
        Some(position) => Ok(Some(position)),
        None => position(parameters),
    }
}

/// Where an EventSource was when its connection broke (WHATWG HTML, section 9.2.4). Newer than the query, so it takes
/// precedence. An id that is no token comes from another server: an error would end the EventSource for good.
fn resumed(head: Head<'_>) -> Result<Option<Given>, Refusal> {
    let position = |id: &str| id.parse().map_or(Given::Unknown, Given::Token);
    let given = get(Query::of(head), "lastEventId")?.filter(|id| !id.is_empty());
    match head.field(Field::LastEventId).filter(|id| !id.is_empty()) {
        Some(id) => Ok(Some(text(id).map_or(Given::Unknown, position))),
        None => Ok(given.as_deref().map(position)),
    }
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
    use poll_core::{Lane, Retention, Store};

    use super::*;

    fn head(target: &str, fields: &[(&str, &str)]) -> Parts {
        let request =
            fields.iter().fold(Request::get(target), |request, (name, value)| request.header(*name, *value));
        request.body(()).unwrap().into_parts().0
    }

    fn one<One, Several>(asked: Result<Asked<One, Several>, Refusal>) -> Result<One, Refusal> {
        asked.map(|asked| match asked {
            Asked::One(one) => one,
            Asked::Several(_) => panic!("one channel"),
        })
    }

    fn lists() -> Lists {
        Lists::new(Store::in_memory(Retention::default()), Lane::default())
    }

    fn several(target: &str, fields: &[(&str, &str)]) -> Result<(Vec<String>, ListStart), Refusal> {
        let most = MaxChannels::At(std::num::NonZeroUsize::new(3).unwrap());
        stream((&head(target, fields)).into(), &lists(), most).map(|asked| match asked {
            Asked::One(asked) => (
                vec![asked.question.reading.channel.to_string()],
                ListStart::Each(asked.question.reading.position),
            ),
            Asked::Several(asked) => {
                (asked.standing.channels().names().iter().map(ToString::to_string).collect(), asked.start)
            }
        })
    }

    #[test]
    fn a_list_has_each_channel_once_and_no_more_than_allowed() {
        let names = |target: &str| several(target, &[]).map(|(names, _)| names);
        assert_eq!(names("/?channel=b&channel=a&channel=b").unwrap(), ["a", "b"]);
        assert_eq!(names("/?channel=a&channel=%61").unwrap(), ["a"]);
        assert_eq!(names("/?channel=c&channel=a&channel=b&channel=a").unwrap(), ["a", "b", "c"]);
        for bad in
            ["/?channel=a&channel=b&channel=c&channel=d", "/?channel=a&channel=", "/?channel=a&channel=%00"]
        {
            let refusal = names(bad).unwrap_err();
            assert_eq!(refusal.status(), http::StatusCode::BAD_REQUEST);
            assert!(refusal.detail().contains("`channel`"), "{bad}: {}", refusal.detail());
        }
        let refusal = names("/?channel=a&channel=b&last_id=1").unwrap_err();
        assert!(refusal.detail().contains("`last_id`"));
    }

    #[test]
    fn a_compound_token_works_for_one_channel_and_for_several() {
        let name = |name: &str| ChannelName::parse(name).unwrap();
        let at = poll_core::Cursor { epoch: poll_core::Epoch::new(7), seq: Seq::new(3) };
        let mut token = Vec::new();
        poll_core::ChannelList::new([name("a")]).write_token(&mut token, [at]);
        let token = String::from_utf8(token).unwrap();
        let start = |target: &str, fields: &[(&str, &str)]| several(target, fields).unwrap().1;
        for target in
            [format!("/?channel=a&cursor={token}"), format!("/?channel=a&lastEventId={token}&last_id=1")]
        {
            assert_eq!(start(&target, &[]), ListStart::Each(Position::After(at)));
        }
        assert_eq!(start(&format!("/?channel=b&cursor={token}"), &[]), ListStart::Each(Position::End));
        let both = ListStart::Token { token: token.parse().unwrap(), otherwise: Position::End };
        assert_eq!(start(&format!("/?channel=a&channel=b&cursor={token}"), &[]), both);
        assert_eq!(start("/?channel=a&channel=b&cursor=", &[("last-event-id", &token)]), both);
        let unknown = ListStart::Each(Position::Unknown);
        assert_eq!(start("/?channel=a&channel=b", &[("last-event-id", "m1-x")]), unknown);
        assert_eq!(start("/?channel=a&channel=b", &[]), ListStart::Each(Position::End));
        assert!(several("/?channel=a&channel=b&cursor=m1-x", &[]).unwrap_err().detail().contains("`cursor`"));
    }

    #[test]
    fn waits_are_decimal_clamped_and_preferred() {
        let most = Duration::from_secs(60);
        let wait = |target: &str, fields: &[(&str, &str)]| {
            one(long_poll((&head(target, fields)).into(), &lists(), MaxChannels::default(), most))
                .map(|q| q.wait)
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
            let asked = one(stream((&head(target, fields)).into(), &lists(), MaxChannels::default()));
            asked.unwrap().question.reading.position
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
        let short = one(short_poll((&head("/", &[])).into(), &lists(), MaxChannels::default()));
        assert_eq!(short.unwrap().reading.position, Position::Start);
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
            ("/?channel=%ff", "`channel`"),
        ];
        let channels = MaxChannels::default();
        for (target, name) in cases {
            let refusal = short_poll((&head(target, &[])).into(), &lists(), channels).unwrap_err();
            assert!(refusal.detail().contains(name), "{target}: {}", refusal.detail());
        }
        let name = ChannelName::parse("progress/a").unwrap();
        assert!(short_poll((&head("/?unknown=1&unknown=2", &[])).into(), &lists(), channels).is_ok());
        assert!(
            short_poll((&head("/?timeout=1&timeout=%ff", &[])).into(), &lists(), channels).is_ok(),
            "only a long poll knows of it"
        );
        assert!(stream((&head("/?timeout=1&timeout=2", &[])).into(), &lists(), channels).is_ok());
        assert!(
            job((&head("/?channel=&channel=a&limit=0", &[])).into(), name.clone()).is_ok(),
            "a job's channel is in its path"
        );
        assert!(job((&head("/?cursor=x", &[])).into(), name).is_err());
        let most = Duration::from_secs(60);
        assert!(long_poll((&head("/?timeout=1&timeout=2", &[])).into(), &lists(), channels, most).is_err());
    }
}
