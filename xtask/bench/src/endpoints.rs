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
    /// Where to PUT a channel before it is used, if that is needed, with `{channel}`.
    pub(crate) create: Option<&'static str>,
    pub(crate) content: Content,
}

/// What is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Text,
    /// The same text as a JSON string.
    Json,
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
    /// A read of Durable Streams from the beginning.
    CatchUp,
    /// Long polls over HTTP/2, which have a load of their own.
    Http2,
    /// A long poll, a stream and a conditional short poll of ten channels, of which one has the messages.
    LongList,
    StreamList,
    ConditionalList,
}

/// A read. Its target holds `{channel}`, and perhaps `{cursor}`. At the end as `&cursor={cursor}` it
/// is left out at first.
#[derive(Clone, Debug)]
pub(crate) struct ReadTemplate {
    pub(crate) target: String,
    /// Another header line with its CRLF, or nothing.
    pub(crate) line: &'static str,
    pub(crate) next: Next,
    /// What stands for `{cursor}` at first.
    pub(crate) first: &'static str,
}

/// What the next request takes from a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The last `"cursor"` of a JSON response, as `{cursor}`.
    Cursor,
    /// `Stream-Next-Offset`, as `{cursor}`.
    Offset,
    /// `Last-Modified` and `Etag`, as `If-Modified-Since` and `If-None-Match`.
    Headers,
    /// Nothing: the same request again.
    Same,
}

/// What a response says about where to go on, apart from its body.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Told<'a> {
    pub(crate) last_modified: Option<&'a [u8]>,
    pub(crate) etag: Option<&'a [u8]>,
    pub(crate) next_offset: Option<&'a [u8]>,
}

/// Where to go on, from a response; empty if it does not say. The first part is `{cursor}` or `Last-Modified`, the
/// second `Etag`.
pub(crate) type Position<'a> = [&'a [u8]; 2];

impl Content {
    fn media_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain",
            Self::Json => "application/json",
        }
    }
}

impl Endpoints {
    /// A server that cannot be read yet, and needs no channel to be made.
    pub(crate) fn new(address: SocketAddr, publish: &'static str) -> Self {
        Self { address, reads: Vec::new(), publish, create: None, content: Content::Text }
    }

    /// With channels that hold this.
    pub(crate) fn holding(self, content: Content) -> Self {
        Self { content, ..self }
    }

    pub(crate) fn read(&self, mode: Mode) -> Option<&ReadTemplate> {
        self.reads.iter().find(|(of, _)| *of == mode).map(|(_, template)| template)
    }

    /// A publish as bytes; the payload needs no escaping.
    pub(crate) fn publish(&self, channel: &str, payload: &str) -> Vec<u8> {
        let quote = if self.content == Content::Json { "\"" } else { "" };
        self.request("POST", self.publish, channel, &format!("{quote}{payload}{quote}"))
    }

    /// What makes a channel, if it has to be made.
    pub(crate) fn create(&self, channel: &str) -> Option<Vec<u8>> {
        Some(self.request("PUT", self.create?, channel, ""))
    }

    fn request(&self, method: &str, target: &str, channel: &str, body: &str) -> Vec<u8> {
        let (target, host) = (target.replace("{channel}", channel), self.address);
        let (media_type, length) = (self.content.media_type(), body.len());
        let fields = format!("Content-Type: {media_type}\r\nContent-Length: {length}");
        format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n\r\n{body}").into_bytes()
    }
}

impl Next {
    pub(crate) fn position<'a>(self, body: &'a [u8], told: Told<'a>) -> Result<Position<'a>> {
        Ok(match self {
            Self::Same => [b"", b""],
            Self::Cursor => [last_cursor(body).context("the response has no cursor")?, b""],
            Self::Offset => [told.next_offset.context("the response has no next offset")?, b""],
            Self::Headers => {
                [told.last_modified.unwrap_or_default(), told.etag.context("the response has no etag")?]
            }
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
        Self { target: target.to_owned(), line: "", next, first: "" }
    }

    /// With this for `{cursor}` at first.
    pub(crate) fn beginning(self, first: &'static str) -> Self {
        Self { first, ..self }
    }

    /// With another header line.
    pub(crate) fn with(self, line: &'static str) -> Self {
        Self { line, ..self }
    }

    /// The request as bytes.
    pub(crate) fn request(&self, host: SocketAddr, channel: &str, position: Position<'_>) -> Vec<u8> {
        let cursor = if position[0].is_empty() { self.first.as_bytes() } else { position[0] };
        let cursor = String::from_utf8_lossy(cursor);
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
        let next = Next::Cursor.position(body, Told::default()).unwrap();
        assert_eq!(request(&poll, [b"", b""]), "GET /p?c=c HTTP/1.1\r\nHost: 127.0.0.1:80\r\n\r\n");
        assert!(request(&poll, next).starts_with("GET /p?c=c&cursor=bb HTTP/1.1\r\n"));
        assert!(Next::Cursor.position(b"{}", Told::default()).is_err());
        let stream = ReadTemplate::new("/s/{channel}?offset={cursor}&live=sse", Next::Offset).beginning("-1");
        let told = Told { next_offset: Some(b"0_7"), ..Told::default() };
        let next = Next::Offset.position(b"[]", told).unwrap();
        assert!(request(&stream, [b"", b""]).starts_with("GET /s/c?offset=-1&live=sse HTTP/1.1\r\n"));
        assert!(request(&stream, next).starts_with("GET /s/c?offset=0_7&live=sse HTTP/1.1\r\n"));
        assert!(Next::Offset.position(b"[]", Told::default()).is_err());
        let poll = ReadTemplate::new("/p", Next::Headers).with("TE: chunked\r\n");
        assert_eq!(
            request(&poll, [b"Wed", b"0"]),
            "GET /p HTTP/1.1\r\nHost: 127.0.0.1:80\r\nTE: chunked\r\nIf-Modified-Since: Wed\r\nIf-None-Match: 0\r\n\r\n"
        );
    }

    #[test]
    fn a_publish_and_what_makes_its_channel_are_of_one_type() {
        let at = ([127, 0, 0, 1], 80).into();
        let text = |request: Vec<u8>| String::from_utf8(request).unwrap();
        let made = Endpoints { create: Some("/s/{channel}"), ..Endpoints::new(at, "/s/{channel}") };
        assert_eq!(Endpoints::new(at, "/").create("c"), None);
        assert_eq!(
            text(made.publish("c", "#1#")),
            "POST /s/c HTTP/1.1\r\nHost: 127.0.0.1:80\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\n#1#"
        );
        let json = made.holding(Content::Json);
        assert!(
            text(json.publish("c", "#1#")).ends_with("application/json\r\nContent-Length: 5\r\n\r\n\"#1#\"")
        );
        assert_eq!(
            text(json.create("c").unwrap()),
            "PUT /s/c HTTP/1.1\r\nHost: 127.0.0.1:80\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n"
        );
    }
}
