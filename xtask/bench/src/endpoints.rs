//! How a server is spoken to, as data: request templates, and how a response leads to the next request.
//!
//! To the load, a server is its [`Endpoints`] and nothing else. Sends nothing itself.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use memchr::memmem::rfind;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

/// All but what RFC 3986 calls unreserved.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A server's address and what it can be asked.
#[derive(Clone, Debug)]
pub(crate) struct Endpoints {
    pub(crate) address: SocketAddr,
    pub(crate) reads: Vec<(Mode, ReadTemplate)>,
    pub(crate) publish: PublishTemplate,
}

/// A way to read a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    LongPoll,
    /// A response without end, a line or chunk per message.
    Stream,
    /// Server-sent events.
    Events,
    /// A short poll that is answered by 304 if there is nothing new.
    Conditional,
    /// A short poll from the beginning.
    ShortPoll,
    /// Long polls over HTTP/2, which have a load of their own.
    Http2,
}

/// A read. Placeholders in its target: `{channel}`, and from the previous response `{cursor}`.
/// A query parameter whose placeholder has no value yet is left out.
#[derive(Clone, Debug)]
pub(crate) struct ReadTemplate {
    pub(crate) target: String,
    /// More header lines, each with its CRLF.
    pub(crate) lines: String,
    pub(crate) next: Next,
}

/// What the next request takes from a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Next {
    /// The last `"cursor"` of a JSON response, as `{cursor}`
    Cursor,
    /// `Last-Modified` and `Etag`, as `If-Modified-Since` and `If-None-Match`
    Headers,
    /// Nothing: the same request again
    Same,
}

/// A publish. Placeholders: `{channel}` in target and body, `{payload}` in the body.
#[derive(Clone, Debug)]
pub(crate) struct PublishTemplate {
    target: String,
    content_type: String,
    body: String,
}

/// Where to go on, from a response; empty if it does not say. The first part is `{cursor}` or `Last-Modified`,
/// the second `Etag`.
pub(crate) type Position<'a> = [&'a [u8]; 2];

impl Endpoints {
    pub(crate) fn read(&self, mode: Mode) -> Option<&ReadTemplate> {
        self.reads.iter().find(|(of, _)| *of == mode).map(|(_, template)| template)
    }
}

impl Next {
    pub(crate) fn position<'a>(
        self,
        body: &'a [u8],
        last_modified: Option<&'a [u8]>,
        etag: Option<&'a [u8]>,
    ) -> Result<Position<'a>> {
        Ok(match self {
            Self::Same => [b"", b""],
            Self::Cursor => [text_after(body, b"\"cursor\":\"").context("the response has no cursor")?, b""],
            Self::Headers => [last_modified.unwrap_or_default(), etag.context("the response has no etag")?],
        })
    }
}

/// What follows the last `name`, up to the quote.
fn text_after<'a>(body: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let rest = &body[rfind(body, name)? + name.len()..];
    Some(&rest[..memchr::memchr(b'"', rest)?])
}

impl ReadTemplate {
    pub(crate) fn new(target: &str, next: Next) -> Self {
        Self { target: target.to_owned(), lines: String::new(), next }
    }

    pub(crate) fn with(mut self, line: &str) -> Self {
        self.lines += &format!("{line}\r\n");
        self
    }

    /// The request as bytes.
    pub(crate) fn request(&self, host: SocketAddr, channel: &str, position: Position<'_>) -> Vec<u8> {
        let encoded = |bytes: &[u8]| percent_encode(bytes, RESERVED).to_string();
        let values = [("{channel}", encoded(channel.as_bytes())), ("{cursor}", encoded(position[0]))];
        let target = filled(&self.target, &values);
        let mut request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{}", self.lines).into_bytes();
        if self.next == Next::Headers {
            for (name, value) in [("If-Modified-Since", position[0]), ("If-None-Match", position[1])] {
                if !value.is_empty() {
                    request.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
                }
            }
        }
        request.extend(b"\r\n");
        request
    }
}

impl PublishTemplate {
    pub(crate) fn new(target: &str, content_type: &str, body: &str) -> Self {
        let [target, content_type, body] = [target, content_type, body].map(str::to_owned);
        Self { target, content_type, body }
    }

    /// The request as bytes.
    pub(crate) fn request(&self, host: SocketAddr, channel: &str, payload: &str) -> Vec<u8> {
        let encoded = percent_encode(channel.as_bytes(), RESERVED).to_string();
        let target = self.target.replace("{channel}", &encoded);
        let body = self.body.replace("{channel}", channel).replace("{payload}", payload);
        format!(
            "POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {}\r\nContent-Length: {}\r\n\r\n{body}",
            self.content_type,
            body.len()
        )
        .into_bytes()
    }
}

/// The target with its values, without the parameters that would be empty.
fn filled(target: &str, values: &[(&str, String)]) -> String {
    let fill =
        |text: &str| values.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value));
    let Some((path, query)) = target.split_once('?') else { return fill(target) };
    let is_empty = |part: &&str| values.iter().any(|(name, value)| value.is_empty() && part.contains(name));
    let query: Vec<String> = query.split('&').filter(|part| !is_empty(part)).map(fill).collect();
    if query.is_empty() { fill(path) } else { format!("{}?{}", fill(path), query.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(template: &ReadTemplate, channel: &str, one: &str, two: &str) -> String {
        let position = [one.as_bytes(), two.as_bytes()];
        String::from_utf8(template.request(([127, 0, 0, 1], 80).into(), channel, position)).unwrap()
    }

    #[test]
    fn a_parameter_without_a_value_is_left_out() {
        let poll = ReadTemplate::new("/p?channel={channel}&cursor={cursor}&timeout=60", Next::Cursor);
        let first = "GET /p?channel=a%20b&timeout=60 HTTP/1.1\r\nHost: 127.0.0.1:80\r\n\r\n";
        assert_eq!(text(&poll, "a b", "", ""), first);
        let next = text(&poll, "c", "T", "");
        assert!(next.starts_with("GET /p?channel=c&cursor=T&timeout=60 HTTP/1.1\r\n"), "{next}");
    }

    #[test]
    fn a_position_is_the_last_of_the_response() {
        let of = |next: Next, body: &'static str| next.position(body.as_bytes(), None, None);
        let body = r##"{"messages":[{"id":1,"content":"#"}],"cursor":"aa","cursor":"bb","timestamp":"t"}"##;
        assert_eq!(of(Next::Cursor, body).unwrap()[0], b"bb");
        assert!(of(Next::Cursor, "{}").is_err() && of(Next::Headers, "{}").is_err());
    }

    #[test]
    fn validators_become_conditions() {
        let poll = ReadTemplate::new("/p", Next::Headers).with("TE: chunked");
        assert_eq!(
            text(&poll, "c", "Wed", "0"),
            "GET /p HTTP/1.1\r\nHost: 127.0.0.1:80\r\nTE: chunked\r\nIf-Modified-Since: Wed\r\nIf-None-Match: 0\r\n\r\n"
        );
    }

    #[test]
    fn a_publish_states_its_length() {
        let post =
            PublishTemplate::new("/p?c={channel}", "text/plain", "{\"c\":\"{channel}\",\"d\":\"{payload}\"}");
        let request = String::from_utf8(post.request(([127, 0, 0, 1], 80).into(), "x", "hi")).unwrap();
        assert!(request.starts_with("POST /p?c=x HTTP/1.1\r\n"), "{request}");
        assert!(request.ends_with("Content-Length: 18\r\n\r\n{\"c\":\"x\",\"d\":\"hi\"}"), "{request}");
    }
}
