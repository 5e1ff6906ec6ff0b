//! Parsing of native publishes: content in the query, or a body of any type, which may have many lines.

use std::borrow::Cow;

use memchr::memchr;
use poll_core::{ChannelName, IdempotencyKey, Payload, Publish};

use crate::dialect::native::content_type::ContentType;
use crate::dialect::native::multipart;
use crate::message::head::{Field, Head, Repeated};
use crate::message::query::{Query, Repeats, form};
use crate::message::refusal::Refusal;
use crate::worker::settings::Demo;

/// The most lines of one publish: as many messages as an answer has at most.
const MOST_LINES: usize = 1_000;
/// The most bytes of one publish of lines: as large as an answer is at most.
pub(crate) const MOST_LINES_BYTES: usize = 1 << 20;

/// What kind of body a publish has, which decides how it is answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PublishBody(ContentType);

impl PublishBody {
    /// A step of a job.
    pub(crate) const STEP: Self = Self(ContentType::Json);

    pub(crate) fn of(head: Head<'_>) -> Self {
        Self(ContentType::of(head.field(Field::ContentType)))
    }

    /// Whether each line is a message.
    pub(crate) fn is_lines(&self) -> bool {
        matches!(self.0, ContentType::Lines | ContentType::Read(_))
    }

    /// The lines of the body, to be parsed in pieces and [handed back](Self::give). If that is not done, they are parsed
    /// with the publish.
    pub(crate) fn lines<'a>(&self, body: &'a [u8]) -> Option<Lines<'a>> {
        (self.0 == ContentType::Lines).then(|| Lines::new(body))
    }

    /// Takes lines that have all been parsed.
    pub(crate) fn give(&mut self, lines: Lines<'_>) -> Result<(), Refusal> {
        self.0 = ContentType::Read(lines.into_payloads()?);
        Ok(())
    }

    /// The most bytes of body. In a form, percent-encoding may triple the content's length.
    pub(crate) fn most_bytes(&self, most_payload: usize) -> usize {
        match self.0 {
            ContentType::Lines | ContentType::Read(_) => MOST_LINES_BYTES,
            ContentType::Form => most_payload.saturating_mul(3).saturating_add(1_024),
            ContentType::Multipart(_) => most_payload.saturating_add(multipart::ENVELOPE_BYTES),
            ContentType::Json | ContentType::Text | ContentType::Other => most_payload,
        }
    }
}

/// The channel in the query, and the content, if it is there.
pub(crate) fn publish_query(head: Head<'_>) -> Result<(ChannelName, Option<String>), Refusal> {
    let query = Query::of(head);
    let [channel, content] = query.get_all(["channel", "content"], Repeats::Refused)?;
    let content = content.filter(|content| !content.is_empty()).map(Cow::into_owned);
    Ok((super::question::channel_or_default(&channel)?, content))
}

/// Parses a publish. `key` and `content` come from the head.
pub(crate) fn publish(
    key: Option<IdempotencyKey>,
    content: Option<String>,
    incoming: &mut PublishBody,
    body: &[u8],
    most_payload: usize,
    demo: Demo,
) -> Result<Publish, Refusal> {
    let publish = match (content, body, demo) {
        (Some(_), [_, ..], _) => {
            return Err(Refusal::bad_request("`content` is given in the address and in the body: give one"));
        }
        (Some(content), [], _) => Publish::one(Payload::text(content)),
        (None, [], Demo::On) => Publish::one(Payload::text("Test message")),
        (None, [], Demo::Off) => {
            return Err(missing_content());
        }
        (None, body, _) => from_body(&mut incoming.0, body)?,
    };
    if publish.payloads.iter().any(|payload| payload.len() > most_payload) {
        return Err(Refusal::too_large("the message", most_payload));
    }
    Ok(Publish { key, ..publish })
}

/// Empty content counts as missing, wherever it stands, as in the original. JSON can express an empty text.
fn missing_content() -> Refusal {
    let remedy = "give it as a parameter or as the body; an empty text is `\"\"` as application/json; \
                  without the parameter `channel` it goes to `default`";
    Refusal::bad_request(format!("`content` is missing or empty: {remedy}"))
}

fn from_body(media: &mut ContentType, body: &[u8]) -> Result<Publish, Refusal> {
    Ok(Publish::one(match media {
        ContentType::Lines => return lines(body).map(Publish::many),
        ContentType::Read(payloads) => return Ok(Publish::many(std::mem::take(payloads))),
        ContentType::Form => form_content(body)?,
        ContentType::Multipart(boundary) => {
            let part = multipart::message(boundary.as_deref(), body)?;
            content(&part.media, &part.bytes)?
        }
        media => content(media, body)?,
    }))
}

/// One message, parsed by its type.
fn content(media: &ContentType, bytes: &[u8]) -> Result<Payload, Refusal> {
    match media {
        _ if bytes.is_empty() => Err(missing_content()),
        ContentType::Json => json(bytes, "the body"),
        ContentType::Text => text(bytes),
        _ => Ok(Payload::bytes(bytes)),
    }
}

/// The `content` field of a form. A body without one is text: `curl -d hello` sends it with this type.
fn form_content(body: &[u8]) -> Result<Payload, Refusal> {
    let form = form(body);
    let query = Query::new(&form);
    if !query.assigns("content") {
        return text(body);
    }
    let content = query.get("content", Repeats::Refused)?.filter(|content| !content.is_empty());
    content.map(Payload::text).ok_or_else(missing_content)
}

fn text(bytes: &[u8]) -> Result<Payload, Refusal> {
    let not_text = "the body is not UTF-8: send bytes as application/octet-stream";
    std::str::from_utf8(bytes).map(Payload::text).map_err(|_| Refusal::bad_request(not_text))
}

/// A body of lines that is parsed in pieces, because a large one takes as long as hundreds of requests.
pub(crate) struct Lines<'a> {
    /// Not parsed yet; `None` after the last line.
    rest: Option<&'a [u8]>,
    read: usize,
    payloads: Vec<Payload>,
}

impl<'a> Lines<'a> {
    fn new(body: &'a [u8]) -> Self {
        Self { rest: Some(body), read: 0, payloads: Vec::new() }
    }

    /// Parses lines of at least `bytes` in all, if there are as many. Returns their bytes; 0 is the end.
    pub(crate) fn read(&mut self, bytes: usize) -> Result<usize, Refusal> {
        let mut count = 0;
        while count < bytes
            && let Some(rest) = self.rest
        {
            let (line, rest) = match memchr(b'\n', rest) {
                Some(end) => (&rest[..end], Some(&rest[end + 1..])),
                None => (rest, None),
            };
            self.rest = rest;
            self.read += 1;
            count += line.len() + 1;
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            if self.payloads.len() == MOST_LINES {
                let detail = format!("the body has more than {MOST_LINES} lines");
                return Err(Refusal::new(http::StatusCode::PAYLOAD_TOO_LARGE, detail));
            }
            self.payloads.push(json(line, &format!("line {}", self.read))?);
        }
        Ok(count)
    }

    fn into_payloads(self) -> Result<Vec<Payload>, Refusal> {
        if self.payloads.is_empty() { Err(missing_content()) } else { Ok(self.payloads) }
    }
}

fn lines(body: &[u8]) -> Result<Vec<Payload>, Refusal> {
    let mut lines = Lines::new(body);
    while lines.read(usize::MAX)? > 0 {}
    lines.into_payloads()
}

fn json(text: &[u8], what: &str) -> Result<Payload, Refusal> {
    Payload::json(text).map_err(|error| Refusal::bad_request(format!("{what}: {error}")))
}

/// The value of `Idempotency-Key`.
pub(crate) fn idempotency_key(head: Head<'_>) -> Result<Option<IdempotencyKey>, Refusal> {
    let key = head.single(Field::IdempotencyKey);
    let key = key.map_err(|Repeated| {
        Refusal::bad_request("`Idempotency-Key` is given more than once: give it once")
    })?;
    let Some(key) = key else { return Ok(None) };
    let text = std::str::from_utf8(key).map_err(|_| Refusal::bad_request("`Idempotency-Key`: not UTF-8"))?;
    let key = IdempotencyKey::parse(text);
    key.map(Some).map_err(|error| Refusal::bad_request(format!("`Idempotency-Key`: {error}")))
}

#[cfg(test)]
mod tests {
    use http::Request;
    use http::header::CONTENT_TYPE;

    use super::*;

    fn take(target: &str, content_type: &str, body: &[u8]) -> Result<Vec<Payload>, Refusal> {
        let request = Request::post(target).header(CONTENT_TYPE, content_type);
        let head = request.body(()).unwrap().into_parts().0;
        let head = Head::from(&head);
        let (key, (_, content)) = (idempotency_key(head)?, publish_query(head)?);
        publish(key, content, &mut PublishBody::of(head), body, 64, Demo::Off)
            .map(|publish| publish.payloads.into_vec())
    }

    #[test]
    fn a_body_is_what_its_type_says() {
        let form = "application/x-www-form-urlencoded";
        let multipart = "multipart/form-data; boundary=B";
        let part = b"--B\r\nContent-Disposition: form-data; name=\"content\"\r\n\r\na=b&c\r\n--B--";
        let cases: [(&str, &str, &[u8], Payload); 12] = [
            ("/?content=a+b", "", b"", Payload::text("a b")),
            ("/", "application/json; charset=utf-8", b" [1, 2] ", Payload::json(b"[1,2]").unwrap()),
            ("/", "application/geo+json", b"{}", Payload::json(b"{}").unwrap()),
            ("/", "Text/Plain", "é".as_bytes(), Payload::text("é")),
            ("/", form, b"content=a%2Bb+c", Payload::text("a+b c")),
            ("/", form, b"hello", Payload::text("hello")),
            ("/", form, b"a=b&c=%zz+d", Payload::text("a=b&c=%zz+d")),
            ("/", form, b"content", Payload::text("content")),
            ("/", form, b"x&%63ontent=y", Payload::text("y")),
            ("/", multipart, part, Payload::text("a=b&c")),
            ("/", "application/octet-stream", b"\xff\x00", Payload::bytes(&b"\xff\x00"[..])),
            ("/", "image/png", b"abc", Payload::text("abc")),
        ];
        for (target, content_type, body, payload) in cases {
            assert_eq!(take(target, content_type, body), Ok(vec![payload]), "{target} {content_type}");
        }
        let lines = take("/", "application/x-ndjson", b"{\"a\": 1}\r\n\n2\n").unwrap();
        assert_eq!(lines, [Payload::json(b"{\"a\":1}").unwrap(), Payload::json(b"2").unwrap()]);
    }

    #[test]
    fn lines_read_in_pieces_are_the_same() {
        for body in
            ["1\n2", "1\n\n 2 \r\n", "\n\n1", "1\n2\n", "[1,\n2]", "\n", "1\n{\n", &"1\n".repeat(1_001)]
        {
            let whole = lines(body.as_bytes());
            for piece in [1, 2, 3, 100] {
                let mut lines = Lines::new(body.as_bytes());
                let mut read = || {
                    while lines.read(piece)? > 0 {}
                    Ok(())
                };
                let pieces: Result<(), Refusal> = read();
                assert_eq!(pieces.and_then(|()| lines.into_payloads()), whole, "{body:?} by {piece}");
            }
        }
    }

    #[test]
    fn what_cannot_be_published_is_told() {
        let form = "application/x-www-form-urlencoded";
        let cases: [(&str, &str, &[u8], u16); 12] = [
            ("/", "", b"", 400),
            ("/?content=", "", b"", 400),
            ("/?content=a", "text/plain", b"b", 400),
            ("/", "application/json", b"{", 400),
            ("/", "text/plain", b"\xff", 400),
            ("/", form, b"content=", 400),
            ("/", form, b"content=%ff", 400),
            ("/", form, b"a=\xff", 400),
            ("/", form, &[b'x'; 65], 413),
            ("/", "multipart/form-data", b"x", 400),
            ("/", "application/x-ndjson", b"1\n{\n", 400),
            ("/", "text/plain", &[b'x'; 65], 413),
        ];
        for (target, content_type, body, status) in cases {
            let refusal = take(target, content_type, body).unwrap_err();
            assert_eq!(refusal.status().as_u16(), status, "{target} {content_type}");
        }
        let many = b"1\n".repeat(MOST_LINES + 1);
        assert_eq!(take("/", "application/x-ndjson", &many).unwrap_err().status().as_u16(), 413);
    }
}
