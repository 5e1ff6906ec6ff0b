//! How a server is spoken to, as data: targets with gaps, and the rule by which an answer leads to the next question.
//!
//! A server under test, or one that a user names, is no more to the load than this. Sends nothing itself.

use std::net::SocketAddr;

use clap::ValueEnum;

/// A server's address and its ways to be asked; what it cannot do is none.
#[derive(Clone, Debug)]
pub(crate) struct Wire {
    pub(crate) address: SocketAddr,
    pub(crate) long: Option<Ask>,
    /// An answer without end, a line or chunk a message.
    pub(crate) stream: Option<Ask>,
    /// Server-sent events.
    pub(crate) events: Option<Ask>,
    /// A short poll that is answered by 304 where there is nothing new.
    pub(crate) unchanged: Option<Ask>,
    /// A short poll from the beginning.
    pub(crate) short: Option<Ask>,
    pub(crate) publish: Post,
}

/// A question. Gaps in its target: `{channel}`, and what an answer left, `{cursor}`, or `{since}` and `{id}`. A
/// parameter of the query whose gap has nothing yet is left out.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) target: String,
    /// More header lines, each with its line end.
    pub(crate) lines: String,
    pub(crate) next: Next,
}

/// What of an answer the next question carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Next {
    /// The last `"cursor"` of a JSON answer, as `{cursor}`
    Cursor,
    /// `Last-Modified` and `Etag`, as `If-Modified-Since` and `If-None-Match`
    Headers,
    /// The last `"timestamp"` and `"id"` of a JSON answer, as `{since}` and `{id}`
    Golongpoll,
    /// Nothing: the same question again
    Same,
}

/// A publish. Gaps: `{channel}` in target and body, `{payload}` in the body.
#[derive(Clone, Debug)]
pub(crate) struct Post {
    pub(crate) target: String,
    pub(crate) lines: String,
    pub(crate) body: String,
}

/// What an answer left for the next question. Bytes of the answer, empty where there is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place<'a> {
    /// `{cursor}`, `{since}`, or `Last-Modified`.
    pub(crate) one: &'a [u8],
    /// `{id}`, or `Etag`.
    pub(crate) two: &'a [u8],
}

impl Ask {
    pub(crate) fn new(target: &str, next: Next) -> Self {
        Self { target: target.to_owned(), lines: String::new(), next }
    }

    pub(crate) fn with(mut self, line: &str) -> Self {
        self.lines.push_str(line);
        self.lines.push_str("\r\n");
        self
    }

    /// The request's bytes.
    pub(crate) fn request(&self, host: SocketAddr, channel: &str, place: Place<'_>) -> Vec<u8> {
        let gaps = [
            ("{channel}", encoded(channel.as_bytes())),
            ("{cursor}", encoded(place.one)),
            ("{since}", encoded(place.one)),
            ("{id}", encoded(place.two)),
        ];
        let mut request =
            format!("GET {} HTTP/1.1\r\nHost: {host}\r\n{}", filled(&self.target, &gaps), self.lines)
                .into_bytes();
        if self.next == Next::Headers {
            for (name, value) in [("If-Modified-Since", place.one), ("If-None-Match", place.two)] {
                if !value.is_empty() {
                    request.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
                }
            }
        }
        request.extend(b"\r\n");
        request
    }
}

impl Post {
    pub(crate) fn new(target: &str, content_type: &str, body: &str) -> Self {
        let lines = format!("Content-Type: {content_type}\r\n");
        Self { target: target.to_owned(), lines, body: body.to_owned() }
    }

    /// The request's bytes.
    pub(crate) fn request(&self, host: SocketAddr, channel: &str, payload: &str) -> Vec<u8> {
        let target = self.target.replace("{channel}", &encoded(channel.as_bytes()));
        let body = self.body.replace("{channel}", channel).replace("{payload}", payload);
        let lines = &self.lines;
        format!(
            "POST {target} HTTP/1.1\r\nHost: {host}\r\n{lines}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }
}

/// The target with its gaps filled, without the parameters that would be empty.
fn filled(target: &str, gaps: &[(&str, String)]) -> String {
    let fill = |text: &str| gaps.iter().fold(text.to_owned(), |text, (gap, value)| text.replace(gap, value));
    let Some((path, query)) = target.split_once('?') else { return fill(target) };
    let is_empty = |part: &&str| gaps.iter().any(|(gap, value)| value.is_empty() && part.contains(gap));
    let query: Vec<String> = query.split('&').filter(|part| !is_empty(part)).map(fill).collect();
    if query.is_empty() { fill(path) } else { format!("{}?{}", fill(path), query.join("&")) }
}

/// Percent-encoded, but for what RFC 3986 calls unreserved.
fn encoded(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len()), |mut text, &byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> SocketAddr {
        "127.0.0.1:80".parse().unwrap()
    }

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_gap_that_has_nothing_takes_its_parameter_along() {
        let ask = Ask::new("/p?channel={channel}&cursor={cursor}&timeout=60", Next::Cursor);
        let first = text(ask.request(host(), "a b", Place::default()));
        assert_eq!(first, "GET /p?channel=a%20b&timeout=60 HTTP/1.1\r\nHost: 127.0.0.1:80\r\n\r\n");
        let next = text(ask.request(host(), "c", Place { one: b"T", two: b"" }));
        assert!(next.starts_with("GET /p?channel=c&cursor=T&timeout=60 HTTP/1.1\r\n"), "{next}");
    }

    #[test]
    fn validators_become_conditions() {
        let ask = Ask::new("/p", Next::Headers).with("TE: chunked");
        assert_eq!(
            text(ask.request(host(), "c", Place { one: b"Wed", two: b"0" })),
            "GET /p HTTP/1.1\r\nHost: 127.0.0.1:80\r\nTE: chunked\r\nIf-Modified-Since: Wed\r\nIf-None-Match: 0\r\n\r\n"
        );
    }

    #[test]
    fn a_publish_says_how_long_it_is() {
        let post = Post::new("/p?c={channel}", "text/plain", "{\"c\":\"{channel}\",\"d\":\"{payload}\"}");
        assert_eq!(
            text(post.request(host(), "x", "hi")),
            "POST /p?c=x HTTP/1.1\r\nHost: 127.0.0.1:80\r\nContent-Type: text/plain\r\nContent-Length: 18\r\n\r\n\
             {\"c\":\"x\",\"d\":\"hi\"}"
        );
    }
}
