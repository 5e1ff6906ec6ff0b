//! How a server is spoken to, as data: request templates, and how a response leads to the next request.
//!
//! To the load, a server is its [`Endpoints`] and nothing else. Sends nothing itself.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use memchr::memmem::rfind;

/// A server's address and what it can be asked.
#[derive(Clone, Debug)]
pub(crate) struct Endpoints {
    pub(crate) address: SocketAddr,
    pub(crate) reads: Vec<(Mode, ReadTemplate)>,
    /// Where to POST, with `{channel}`.
    pub(crate) publish: &'static str,
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
    /// A long poll, a stream and a conditional short poll of ten channels, of which one has the messages.
    LongList,
    StreamList,
    ConditionalList,
}

/// A read. Its target holds `{channel}`, and at its end perhaps `&cursor={cursor}`, which is left out at first.
#[derive(Clone, Debug)]
pub(crate) struct ReadTemplate {
    pub(crate) target: String,
    /// Another header line with its CRLF, or nothing.
    pub(crate) line: &'static str,
    pub(crate) next: Next,
}

/// What the next request takes from a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The last `"cursor"` of a JSON response, as `{cursor}`.
    Cursor,
    /// `Last-Modified` and `Etag`, as `If-Modified-Since` and `If-None-Match`.
    Headers,
    /// Nothing: the same request again.
    Same,
}

/// Where to go on, from a response; empty if it does not say. The first part is `{cursor}` or `Last-Modified`, the
/// second `Etag`.
pub(crate) type Position<'a> = [&'a [u8]; 2];

impl Endpoints {
    pub(crate) fn read(&self, mode: Mode) -> Option<&ReadTemplate> {
        self.reads.iter().find(|(of, _)| *of == mode).map(|(_, template)| template)
    }

    /// A publish as bytes.
    pub(crate) fn publish(&self, channel: &str, payload: &str) -> Vec<u8> {
        let (target, host) = (self.publish.replace("{channel}", channel), self.address);
        let fields = format!("Content-Type: text/plain\r\nContent-Length: {}", payload.len());
        format!("POST {target} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n\r\n{payload}").into_bytes()
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
            Self::Cursor => [last_cursor(body).context("the response has no cursor")?, b""],
            Self::Headers => [last_modified.unwrap_or_default(), etag.context("the response has no etag")?],
        })
    }
}

fn last_cursor(body: &[u8]) -> Option<&[u8]> {
    const NAME: &[u8] = b"\"cursor\":\"";
    let rest = &body[rfind(body, NAME)? + NAME.len()..];
    Some(&rest[..memchr::memchr(b'"', rest)?])
}

impl ReadTemplate {
    pub(crate) fn new(target: &str, next: Next) -> Self {
        Self { target: target.to_owned(), line: "", next }
    }

    /// With another header line.
    pub(crate) fn with(self, line: &'static str) -> Self {
        Self { line, ..self }
    }

    /// The request as bytes.
    pub(crate) fn request(&self, host: SocketAddr, channel: &str, position: Position<'_>) -> Vec<u8> {
        let cursor = String::from_utf8_lossy(position[0]);
        let target = self.target.replace("{channel}", channel).replace("{cursor}", &cursor);
        let target = target.trim_end_matches("&cursor=");
        let mut request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{}", self.line).into_bytes();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_request_follows_from_the_last_position() {
        let request = |template: &ReadTemplate, position| {
            String::from_utf8(template.request(([127, 0, 0, 1], 80).into(), "c", position)).unwrap()
        };
        let poll = ReadTemplate::new("/p?c={channel}&cursor={cursor}", Next::Cursor);
        let body = br##"{"messages":[{"id":1,"content":"#"}],"cursor":"aa","cursor":"bb","timestamp":"t"}"##;
        let next = Next::Cursor.position(body, None, None).unwrap();
        assert_eq!(request(&poll, [b"", b""]), "GET /p?c=c HTTP/1.1\r\nHost: 127.0.0.1:80\r\n\r\n");
        assert!(request(&poll, next).starts_with("GET /p?c=c&cursor=bb HTTP/1.1\r\n"));
        assert!(Next::Cursor.position(b"{}", None, None).is_err());
        let poll = ReadTemplate::new("/p", Next::Headers).with("TE: chunked\r\n");
        assert_eq!(
            request(&poll, [b"Wed", b"0"]),
            "GET /p HTTP/1.1\r\nHost: 127.0.0.1:80\r\nTE: chunked\r\nIf-Modified-Since: Wed\r\nIf-None-Match: 0\r\n\r\n"
        );
    }
}
