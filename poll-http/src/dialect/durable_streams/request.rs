//! The heads of requests: what to create, what to append, where to read from.
//!
//! Everything that the fields say is parsed here; whether it fits the stream is decided where the stream is.

use std::time::Duration;

use http::{HeaderName, StatusCode};
use poll_core::life::{
    self, Bound, Bounds, Condition, ContentType, ContentTypeError, Description, ForkPoint, Lifetime, Order,
    ProducerId, ProducerStamp,
};
use poll_core::{ChannelName, Cursor, Ending, Publish, Seq, Timestamp};

use crate::dialect::durable_streams::content::payloads;
use crate::dialect::durable_streams::fields;
use crate::dialect::durable_streams::interval::Interval;
use crate::dialect::durable_streams::media::{self, Media};
use crate::dialect::durable_streams::name::{ROOT, name};
use crate::dialect::durable_streams::offset::Offset;
use crate::message::head::{Field, Head, text};
use crate::message::query::{Query, Repeats, number};
use crate::message::refusal::Refusal;

/// The largest number of a producer: exact in JavaScript.
const LARGEST: u64 = (1 << 53) - 1;

/// PUT: a stream to be created, or one to be there already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Create {
    /// `None`: that of the stream it is forked from.
    pub(crate) content_type: Option<ContentType>,
    /// `None`: that of the stream it is forked from, else endless.
    pub(crate) lifetime: Option<Lifetime>,
    pub(crate) ending: Ending,
    pub(crate) origin: Option<ForkPoint>,
}

/// POST: content to be appended, or a stream to be closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Append {
    pub(crate) condition: Condition,
    pub(crate) ending: Ending,
}

/// GET: from where, and whether to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) offset: Offset,
    pub(crate) live: Live,
    /// The cursor that the reader came with.
    pub(crate) interval: Option<Interval>,
}

/// What a read does at the tail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Live {
    /// It says that it is there.
    No,
    /// It waits.
    LongPoll,
    /// It stays.
    Events,
}

/// Parses the head of a PUT.
///
/// # Errors
/// 400 for malformed fields and for combinations that mean nothing.
pub(crate) fn create(head: Head<'_>) -> Result<Create, Refusal> {
    let lifetime = match (value(head, &fields::STREAM_TTL)?, value(head, &fields::STREAM_EXPIRES_AT)?) {
        (None, None) => None,
        (Some(ttl), None) => Some(Lifetime::Sliding(time_to_live(ttl)?)),
        (None, Some(at)) => Some(Lifetime::Until(expiry(at)?)),
        (Some(_), Some(_)) => {
            return Err(Refusal::bad_request("`Stream-TTL` and `Stream-Expires-At` are given: give one"));
        }
    };
    let origin = origin(head)?;
    let content_type = match (content_type(head)?, &origin) {
        (None, None) => Some(ContentType::parse(media::DEFAULT).map_err(not_a_type)?),
        (given, _) => given,
    };
    Ok(Create { content_type, lifetime, ending: ending(head), origin })
}

/// Parses the head of a POST.
///
/// # Errors
/// 400 for malformed fields.
pub(crate) fn append(head: Head<'_>) -> Result<Append, Refusal> {
    let order = value(head, &fields::STREAM_SEQ)?.map(Order::parse).transpose();
    let order = order.map_err(|error| Refusal::bad_request(format!("`Stream-Seq`: {error}")))?;
    let condition = Condition { content_type: content_type(head)?, producer: producer(head)?, order };
    Ok(Append { condition, ending: ending(head) })
}

/// Parses a GET.
///
/// # Errors
/// 400 for an offset that was never given out, and for a live read without one.
pub(crate) fn read(head: Head<'_>) -> Result<Read, Refusal> {
    let query = Query::of(head);
    let [offset] = query.get_all(["offset"], Repeats::Refused)?;
    let [live, cursor] = query.get_all(["live", "cursor"], Repeats::FirstWins)?;
    let live = match live.as_deref() {
        None => Live::No,
        Some("long-poll") => Live::LongPoll,
        Some("sse") => Live::Events,
        Some(_) => return Err(Refusal::bad_request("parameter `live` is neither `long-poll` nor `sse`")),
    };
    let offset = match offset.as_deref() {
        None if live != Live::No => {
            return Err(Refusal::bad_request("parameter `offset` is missing: a live read begins somewhere"));
        }
        None => Offset::Start,
        Some(offset) => Offset::parse(offset).ok_or_else(|| no_offset("parameter `offset`"))?,
    };
    Ok(Read { offset, live, interval: cursor.as_deref().and_then(Interval::parse) })
}

fn no_offset(what: &str) -> Refusal {
    Refusal::bad_request(format!("{what}: give `-1`, `now` or an offset as an answer gave it"))
}

fn not_a_type(error: ContentTypeError) -> Refusal {
    Refusal::bad_request(format!("`Content-Type`: {error}"))
}

/// A field's value as text.
fn value<'a>(head: Head<'a>, name: &HeaderName) -> Result<Option<&'a str>, Refusal> {
    let Some(value) = head.named(name) else { return Ok(None) };
    text(value).map(Some).ok_or_else(|| Refusal::bad_request(format!("`{name}` is not text")))
}

/// Only `true` closes a stream; any other value is as if there were none.
fn ending(head: Head<'_>) -> Ending {
    let closed = head.named(&fields::STREAM_CLOSED);
    if closed.is_some_and(|value| value.eq_ignore_ascii_case(b"true")) { Ending::Close } else { Ending::Open }
}

fn content_type(head: Head<'_>) -> Result<Option<ContentType>, Refusal> {
    let Some(value) = head.field(Field::ContentType).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let value = text(value).ok_or_else(|| Refusal::bad_request("`Content-Type` is not text"))?;
    ContentType::parse(value).map(Some).map_err(not_a_type)
}

/// Digits without a sign or leading zeros.
fn plain(text: &str) -> Option<u64> {
    number(text).filter(|_| text == "0" || !text.starts_with('0'))
}

fn time_to_live(text: &str) -> Result<Duration, Refusal> {
    let seconds = plain(text);
    let malformed = || Refusal::bad_request("`Stream-TTL` is not a plain number of seconds");
    seconds.map(Duration::from_secs).ok_or_else(malformed)
}

/// A time of RFC 3339, section 5.6. Those before the Unix epoch count as that.
fn expiry(text: &str) -> Result<Timestamp, Refusal> {
    let malformed = || Refusal::bad_request("`Stream-Expires-At` is not a time of RFC 3339");
    let (local, east) = local_time(text).ok_or_else(malformed)?;
    // An instant of jiff ends before the last day of 9999, which often stands for never.
    let since_epoch =
        local.duration_since(jiff::civil::date(1970, 1, 1).to_datetime(jiff::civil::Time::midnight()));
    let micros = since_epoch.saturating_sub(east).as_micros();
    Ok(Timestamp::from_micros(u64::try_from(micros).unwrap_or_default()))
}

/// The local time that a time of RFC 3339 gives, and how far that is ahead of UTC. jiff checks the numbers, but takes
/// other forms of ISO 8601, too.
fn local_time(text: &str) -> Option<(jiff::civil::DateTime, jiff::SignedDuration)> {
    let (date, zoned) = text.split_at_checked("2026-11-27T07:30:00".len())?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let shaped = date.bytes().zip(*b"dddd-dd-ddTdd:dd:dd").all(|(byte, shape)| match shape {
        b'd' => byte.is_ascii_digit(),
        b'T' => matches!(byte, b'T' | b't'),
        other => byte == other,
    });
    let (fraction, zone) = zoned.split_at_checked(zoned.find(['Z', 'z', '+', '-'])?)?;
    if !shaped || !(fraction.is_empty() || fraction.strip_prefix('.').is_some_and(digits)) {
        return None;
    }
    let local = text[..date.len() + fraction.len()].parse().ok()?;
    Some((local, ahead_of_utc(zone)?))
}

fn ahead_of_utc(zone: &str) -> Option<jiff::SignedDuration> {
    let (sign, offset) = zone.split_at(1);
    if offset.is_empty() {
        return sign.eq_ignore_ascii_case("z").then_some(jiff::SignedDuration::ZERO);
    }
    let (hours, minutes) = offset.split_once(':').filter(|_| offset.len() == 5)?;
    let within = |text: &str, most| number(text).filter(|number| *number <= most);
    let minutes = 60 * within(hours, 23)? + within(minutes, 59)?;
    let ahead = jiff::SignedDuration::from_mins(i64::try_from(minutes).ok()?);
    match sign {
        "+" => Some(ahead),
        "-" => Some(-ahead),
        _ => None,
    }
}

fn producer(head: Head<'_>) -> Result<Option<ProducerStamp>, Refusal> {
    let names = [&fields::PRODUCER_ID, &fields::PRODUCER_EPOCH, &fields::PRODUCER_SEQ];
    let (id, epoch, seq) = match names.map(|name| head.named(name)) {
        [None, None, None] => return Ok(None),
        [Some(id), Some(epoch), Some(seq)] => (id, epoch, seq),
        _ => {
            let detail =
                "`Producer-Id`, `Producer-Epoch` and `Producer-Seq` belong together: give all or none";
            return Err(Refusal::bad_request(detail));
        }
    };
    let id = std::str::from_utf8(id).map_err(|_| Refusal::bad_request("`Producer-Id` is not UTF-8"))?;
    let id =
        ProducerId::parse(id).map_err(|error| Refusal::bad_request(format!("`Producer-Id`: {error}")))?;
    let counted = |name: &str, value: &[u8]| {
        let number = text(value).and_then(number).filter(|number| *number <= LARGEST);
        number.ok_or_else(|| Refusal::bad_request(format!("`{name}` is not a number of at most 2^53 - 1")))
    };
    let (epoch, seq) = (counted("Producer-Epoch", epoch)?, counted("Producer-Seq", seq)?);
    Ok(Some(ProducerStamp { id, epoch, seq }))
}

fn origin(head: Head<'_>) -> Result<Option<ForkPoint>, Refusal> {
    let source = value(head, &fields::STREAM_FORKED_FROM)?;
    let after = value(head, &fields::STREAM_FORK_OFFSET)?;
    let further = value(head, &fields::STREAM_FORK_SUB_OFFSET)?;
    let Some(source) = source else {
        if after.is_some() || further.is_some() {
            let detail = "`Stream-Fork-Offset` and `Stream-Fork-Sub-Offset` need `Stream-Forked-From`";
            return Err(Refusal::bad_request(detail));
        }
        return Ok(None);
    };
    let after = match after.map(Offset::parse) {
        None | Some(Some(Offset::Now)) => None,
        Some(Some(Offset::After(seq))) => Some(seq),
        Some(Some(Offset::Start)) => Some(Seq::ZERO),
        Some(None) => return Err(no_offset("`Stream-Fork-Offset`")),
    };
    let malformed = || Refusal::bad_request("`Stream-Fork-Sub-Offset` is not a plain number");
    let further = further.map_or(Ok(0), |further| plain(further).ok_or_else(malformed))?;
    if further > 0 && after.is_none() {
        return Err(Refusal::bad_request("`Stream-Fork-Sub-Offset` needs `Stream-Fork-Offset`"));
    }
    let path = source.strip_prefix(ROOT);
    let path =
        path.ok_or_else(|| Refusal::bad_request("`Stream-Forked-From` is not the path of a stream"))?;
    Ok(Some(ForkPoint { source: name(path)?, after, further }))
}

impl Create {
    /// What is to be created, with its first content. That of a fork without a type of its own is read as its `source` is.
    ///
    /// # Errors
    /// 400 for malformed JSON, 413 for too much.
    pub(crate) fn with(
        self,
        content: &[u8],
        source: Option<&ContentType>,
        most_payload: usize,
    ) -> Result<life::Create, Refusal> {
        let Self { content_type, lifetime, ending, origin } = self;
        let media = Media::of(content_type.as_ref().or(source));
        let payloads = if content.is_empty() { Vec::new() } else { payloads(media, content, most_payload)? };
        let bounds = Bounds { bytes: Bound::Server, ..Bounds::UNLIMITED };
        Ok(life::Create { content_type, lifetime, bounds, payloads: payloads.into(), ending, origin })
    }

    /// The stream whose type says what its content means, if it has none of its own.
    pub(crate) fn read_as(&self) -> Option<&ChannelName> {
        let origin = self.origin.as_ref().filter(|_| self.content_type.is_none());
        origin.map(|origin| &origin.source)
    }
}

impl Append {
    /// Parses the content of an append.
    ///
    /// # Errors
    /// 400 for nothing at all, content without a type, and malformed JSON; 413 for too much.
    pub(crate) fn with(&mut self, content: &[u8], most_payload: usize) -> Result<Publish, Refusal> {
        let payloads = match (&self.condition.content_type, content) {
            (_, []) if self.ending == Ending::Close => {
                // Nothing is compared with it.
                self.condition.content_type = None;
                Vec::new()
            }
            (_, []) => return Err(Refusal::bad_request("there is nothing to append")),
            (None, _) => return Err(Refusal::bad_request("`Content-Type` is missing")),
            (Some(content_type), content) => payloads(Media::of(Some(content_type)), content, most_payload)?,
        };
        if payloads.is_empty() && !content.is_empty() {
            return Err(Refusal::bad_request("the array is empty: there is nothing to append"));
        }
        let publish = Publish::many(payloads);
        Ok(if self.ending == Ending::Close { publish.closing() } else { publish })
    }
}

/// Where a read of a stream begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) cursor: Cursor,
    pub(crate) begins: Begins,
}

/// What a reader asked to begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begins {
    /// Whatever is retained.
    Anywhere,
    /// What follows an offset.
    AfterOffset,
    /// What is appended from now on.
    AtTail,
}

impl Read {
    /// Where it begins in this stream.
    ///
    /// # Errors
    /// 400 for an offset beyond the tail, 410 if what follows the offset is no longer retained.
    pub(crate) fn start(&self, stream: &Description) -> Result<Start, Refusal> {
        let (seq, begins) = match self.offset {
            Offset::Start => (Seq::ZERO, Begins::Anywhere),
            Offset::Now => (stream.newest, Begins::AtTail),
            Offset::After(seq) => (seq, Begins::AfterOffset),
        };
        if seq > stream.newest {
            return Err(Refusal::bad_request("parameter `offset` is beyond the end of the stream"));
        }
        if begins == Begins::AfterOffset && seq.next() < stream.oldest {
            let detail = "what follows this offset is no longer retained: `-1` begins with what is";
            return Err(Refusal::new(StatusCode::GONE, detail));
        }
        Ok(Start { cursor: Cursor { epoch: stream.epoch, seq }, begins })
    }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use http::request::Parts;

    use super::*;

    fn head(target: &str, fields: &[(&str, &str)]) -> Parts {
        let request =
            fields.iter().fold(Request::put(target), |request, (name, value)| request.header(*name, *value));
        request.body(()).unwrap().into_parts().0
    }

    fn created(fields: &[(&str, &str)]) -> Option<Create> {
        create((&head("/v1/stream/a", fields)).into()).ok()
    }

    fn appended(fields: &[(&str, &str)]) -> Option<Append> {
        append((&head("/v1/stream/a", fields)).into()).ok()
    }

    fn asked(query: &str) -> Option<(Offset, Live)> {
        let read = read((&head(&format!("/v1/stream/a?{query}"), &[])).into()).ok()?;
        Some((read.offset, read.live))
    }

    #[test]
    fn a_time_to_live_is_a_plain_number() {
        let lifetime = |ttl: &str| created(&[("Stream-TTL", ttl)]).map(|create| create.lifetime.unwrap());
        for (ttl, seconds) in [("0", 0), ("1", 1), ("3600", 3_600)] {
            assert_eq!(lifetime(ttl), Some(Lifetime::Sliding(Duration::from_secs(seconds))));
        }
        for ttl in ["", "-1", "+1", "00", "060", "1.5", "1e3", "0x10", "abc", "1 2", "99999999999999999999"] {
            assert_eq!(lifetime(ttl), None, "{ttl:?}");
        }
    }

    #[test]
    fn an_expiry_is_a_time_of_rfc_3339() {
        let until = |at: &str| match created(&[("Stream-Expires-At", at)])?.lifetime? {
            Lifetime::Until(at) => Some(at.as_millis()),
            Lifetime::Sliding(_) | Lifetime::Endless => None,
        };
        assert_eq!(until("2026-11-20T22:49:38.120Z"), Some(1_795_214_978_120));
        assert_eq!(until("2026-11-21t00:49:38.12+02:00"), Some(1_795_214_978_120));
        assert_eq!(until("2026-11-20T17:49:38-05:00"), Some(1_795_214_978_000));
        assert_eq!(until("1960-01-01T00:00:00Z"), Some(0));
        let latest = Some(Timestamp::MAX.as_millis());
        assert_eq!(until("9999-12-31T23:59:59Z"), latest);
        assert_eq!(until("9999-12-31T23:59:59-23:59"), latest);
        assert_eq!(until("0000-01-01T00:00:00+23:59"), Some(0));
        for at in [
            "",
            "tomorrow",
            "2026-11-20",
            "2026-11-20T22:49:38",
            "2026-11-20 22:49:38Z",
            "2026-13-20T22:49:38Z",
            "2026-02-30T22:49:38Z",
            "2026-11-20T25:49:38Z",
            "2026-11-20T22:49Z",
            "20261120T224938Z",
            "2026-11-20T22:49:38+0200",
            "2026-11-20T22:49:38+24:00",
            "2026-11-20T22:49:38+02:60",
            "2026-11-20T22:49:38Z0",
            "2026-11-20T22:49:38.Z",
            "2026-11-20T22:49:38Z[UTC]",
            "1795214978",
        ] {
            assert_eq!(until(at), None, "{at:?}");
        }
        let both = [("Stream-TTL", "1"), ("Stream-Expires-At", "2026-11-20T22:49:38Z")];
        assert_eq!(created(&both), None);
    }

    #[test]
    fn only_true_closes() {
        for (value, ending) in [
            ("true", Ending::Close),
            ("TRUE", Ending::Close),
            ("1", Ending::Open),
            ("yes", Ending::Open),
            ("", Ending::Open),
        ] {
            assert_eq!(created(&[("Stream-Closed", value)]).unwrap().ending, ending, "{value}");
            assert_eq!(appended(&[("Stream-Closed", value)]).unwrap().ending, ending, "{value}");
        }
    }

    #[test]
    fn a_producer_is_three_fields() {
        let of = |id, epoch, seq| {
            appended(&[("Producer-Id", id), ("Producer-Epoch", epoch), ("Producer-Seq", seq)])?
                .condition
                .producer
        };
        assert_eq!(
            of("a", "0", "9007199254740991"),
            Some(ProducerStamp { id: ProducerId::parse("a").unwrap(), epoch: 0, seq: LARGEST })
        );
        for (id, epoch, seq) in [
            ("", "0", "0"),
            ("a", "-1", "0"),
            ("a", "0", "1e3"),
            ("a", "1abc", "0"),
            ("a", "0", "1.0"),
            ("a", "", "0"),
            ("a", "0", "9007199254740992"),
        ] {
            assert_eq!(of(id, epoch, seq), None, "{id:?} {epoch:?} {seq:?}");
        }
        assert_eq!(appended(&[]).unwrap().condition.producer, None);
        for one in ["Producer-Id", "Producer-Epoch", "Producer-Seq"] {
            assert_eq!(appended(&[(one, "1")]), None);
        }
        let long = "x".repeat(256);
        assert_eq!(of(&long, "0", "0"), None);
        assert_eq!(appended(&[("Stream-Seq", &long)]), None);
    }

    #[test]
    fn a_fork_names_its_source_and_place() {
        let forked = |fields: &[(&str, &str)]| created(fields).map(|create| create.origin);
        let source = ("Stream-Forked-From", "/v1/stream/a%20b/c");
        let two = ("Stream-Fork-Offset", "0000000000000002_0000000000000000");
        let fork = |after: Option<u64>, further| {
            let source = ChannelName::parse("a b/c").unwrap();
            Some(Some(ForkPoint { source, after: after.map(Seq::new), further }))
        };
        assert_eq!(forked(&[]), Some(None));
        assert_eq!(forked(&[source]), fork(None, 0));
        assert_eq!(forked(&[source, ("Stream-Fork-Sub-Offset", "0")]), fork(None, 0));
        assert_eq!(forked(&[source, two]), fork(Some(2), 0));
        assert_eq!(forked(&[source, two, ("Stream-Fork-Sub-Offset", "7")]), fork(Some(2), 7));
        assert_eq!(forked(&[two]), None);
        assert_eq!(forked(&[("Stream-Fork-Sub-Offset", "0")]), None);
        assert_eq!(forked(&[source, ("Stream-Fork-Sub-Offset", "1")]), None);
        assert_eq!(forked(&[source, ("Stream-Fork-Offset", "9999999999999999_9999999999999999")]), None);
        for malformed in ["-1", "05", "+1", "1.5", "x", ""] {
            assert_eq!(forked(&[source, two, ("Stream-Fork-Sub-Offset", malformed)]), None, "{malformed}");
        }
        for path in ["", "a", "/v1/stream/", "/api/poll", "/v1/stream/%", "/v1/stream/%00"] {
            assert_eq!(forked(&[("Stream-Forked-From", path)]), None, "{path}");
        }
    }

    #[test]
    fn a_read_names_one_offset_and_a_live_one_has_to() {
        assert_eq!(asked(""), Some((Offset::Start, Live::No)));
        assert_eq!(asked("offset=-1&x=y"), Some((Offset::Start, Live::No)));
        assert_eq!(asked("offset=now&live=sse"), Some((Offset::Now, Live::Events)));
        let after = "offset=0000000000000002_0000000000000000&live=long-poll&cursor=x";
        assert_eq!(asked(after), Some((Offset::After(Seq::new(2)), Live::LongPoll)));
        for malformed in
            ["offset=", "offset=a,b", "offset=-1&offset=-1", "live=sse", "live=long-poll", "offset=-1&live=x"]
        {
            assert_eq!(asked(malformed), None, "{malformed}");
        }
    }
}
