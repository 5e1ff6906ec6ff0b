//! Parses a plain request: a GET or POST that has come whole and asks for nothing unusual.
//!
//! Everything else is left to hyper: other methods and versions, chunks, `Expect`, `Upgrade`, heads that are malformed, too
//! large or incomplete. So nothing here has to be decided that is easy to get wrong: either a request is as simple as can
//! be, or it is not touched.

use http::Method;
use memchr::{memchr, memmem};

use crate::message::head::{Field, FieldSet, Fields, HEAD_END, PlainHead};

/// A plain request, beside the bytes that it is in.
pub(crate) struct Plain<'a> {
    method: Method,
    target: &'a str,
    fields: Fields<'a>,
    pub(crate) content: &'a [u8],
}

/// Fields that ask for more than a response.
const ASKING: FieldSet =
    FieldSet::of([Field::Te, Field::Expect, Field::Upgrade, Field::Trailer, Field::TransferEncoding]);

/// Whether all bytes may stand in a target: pchar, `/` or `?` (RFC 3986, sections 3.3 and 3.4), which is what is visible but
/// for `"#<>[\]^`{|}`. Compared without branches, many at once: a target that names many channels is long.
fn is_in_targets(bytes: &[u8]) -> bool {
    let strange = |byte: u8| {
        !(0x21..=0x7e).contains(&byte)
            | matches!(byte, b'"' | b'#')
            | matches!(byte, b'<' | b'>')
            | (b'['..=b'^').contains(&byte)
            | (byte == b'`')
            | (b'{'..=b'}').contains(&byte)
    };
    !bytes.iter().fold(false, |found, &byte| found | strange(byte))
}

/// The plain request that `bytes` begin with, if they do, and its length in bytes.
pub(crate) fn read(bytes: &[u8], max_head_bytes: usize) -> Option<(Plain<'_>, usize)> {
    let (method, target, line) = line(bytes)?;
    if !target.starts_with(b"/") || !is_in_targets(target) {
        return None;
    }
    let head = line + memmem::find(&bytes[line..], HEAD_END)? + HEAD_END.len();
    let fields = Fields::read(&bytes[line..head])?;
    let content = bytes[head..].get(..content_length(&fields)?)?;
    if head > max_head_bytes || (method == Method::GET && !content.is_empty()) {
        return None;
    }
    let target = str::from_utf8(target).ok()?;
    Some((Plain { method, target, fields, content }, head + content.len()))
}

impl Plain<'_> {
    pub(crate) fn head(&self) -> PlainHead<'_> {
        let (path, query) = match memchr(b'?', self.target.as_bytes()) {
            Some(at) => (&self.target[..at], Some(&self.target[at + 1..])),
            None => (self.target, None),
        };
        PlainHead { method: self.method.clone(), path, query, fields: &self.fields }
    }
}

/// Method and target of a request line (RFC 9112, section 3), and its length in bytes. What is in the target is not
/// looked at.
fn line(bytes: &[u8]) -> Option<(Method, &[u8], usize)> {
    let (method, rest) = match bytes {
        [b'G', b'E', b'T', b' ', rest @ ..] => (Method::GET, rest),
        [b'P', b'O', b'S', b'T', b' ', rest @ ..] => (Method::POST, rest),
        _ => return None,
    };
    let end = memchr(b'\r', rest)?;
    let target = rest[..end].strip_suffix(b" HTTP/1.1")?;
    let whole = rest.get(end + 1) == Some(&b'\n');
    whole.then(|| (method, target, bytes.len() - rest.len() + end + 2))
}

/// The length of the content, in bytes. `None` where the head is not plain: the length is not said in the one plain way
/// (RFC 9112, section 6.2), or a field asks anything of the connection but to be kept.
fn content_length(fields: &Fields<'_>) -> Option<usize> {
    let asks = fields.there().meets(ASKING);
    let mut connection = fields.all(Field::Connection);
    if asks || !connection.all(|value| value.eq_ignore_ascii_case(b"keep-alive")) {
        return None;
    }
    fields.single(Field::ContentLength).ok()?.map_or(Some(0), decimal)
}

/// A number of one to nine digits.
fn decimal(text: &[u8]) -> Option<usize> {
    let digit = |digit: &u8| digit.is_ascii_digit().then(|| usize::from(digit - b'0'));
    let short = (1..=9).contains(&text.len());
    if short { text.iter().try_fold(0, |number, next| Some(number * 10 + digit(next)?)) } else { None }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use http::uri::PathAndQuery;

    use super::*;
    use crate::message::head::Head;
    use crate::message::request::Content;
    use crate::message::request_body::RequestBody;

    fn owned(plain: &Plain<'_>) -> Request<RequestBody> {
        let content = Content::Here(plain.content);
        crate::message::request::Request { head: Head::Plain(&plain.head()), content }.into_owned()
    }

    /// The request, and what is left of the text behind it.
    fn plain(text: &str) -> Option<(Request<RequestBody>, &str)> {
        let (plain, end) = read(text.as_bytes(), 16 * 1024)?;
        Some((owned(&plain), &text[end..]))
    }

    #[test]
    fn a_whole_plain_request_is_read() {
        let (request, rest) =
            plain("GET /a?b=c HTTP/1.1\r\nHost: x\r\nConnection: Keep-Alive\r\n\r\nGET").unwrap();
        assert_eq!(
            (request.method(), request.uri().path(), request.uri().query()),
            (&Method::GET, "/a", Some("b=c"))
        );
        assert_eq!(request.headers()["host"], "x");
        assert!(matches!(request.body(), RequestBody::Empty));
        assert_eq!(rest, "GET");
        let (request, rest) =
            plain("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi, you").unwrap();
        assert!(matches!(request.body(), RequestBody::Full(body) if body == "hi"));
        assert_eq!(rest, ", you");
        assert!(plain("POST /a HTTP/1.1\r\nHost: x\r\n\r\n").is_some());
    }

    #[test]
    fn everything_else_is_left_to_the_engine() {
        let heads = [
            "GET / HTTP/1.1\r\nHost: x\r\n",
            "GET / HTTP/1.0\r\nHost: x\r\n\r\n",
            "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n",
            "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /\" HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /#a HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n1",
            "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, upgrade\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n1",
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nhi",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +2\r\n\r\nhi",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2, 2\r\n\r\nhi",
        ];
        for head in heads {
            assert!(plain(head).is_none(), "{head:?}");
        }
        assert!(read(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 20).is_none());
    }

    #[test]
    fn whatever_is_read_can_be_said_in_the_types_of_http() {
        for byte in 0..=u8::MAX {
            let char = char::from(byte);
            let target = format!("/a{char}?b{char}c");
            if is_in_targets(&[byte]) {
                assert_eq!(PathAndQuery::try_from(&*target).unwrap().as_str(), target);
            }
            let head = |name: &[u8], value: &[u8]| {
                [b"GET / HTTP/1.1\r\nHost: x\r\nN", name, b": v", value, b"\r\n\r\n"].concat()
            };
            for bytes in [head(&[byte], b""), head(b"", &[byte, b'v'])] {
                let Some((plain, _)) = read(&bytes, 16 * 1024) else { continue };
                let fields = plain.fields.iter().map(|(name, value)| (name.to_ascii_lowercase(), value));
                let request = owned(&plain);
                let said = request
                    .headers()
                    .iter()
                    .map(|(name, value)| (name.as_str().as_bytes().to_vec(), value.as_bytes()));
                assert_eq!(
                    said.collect::<Vec<_>>(),
                    fields.collect::<Vec<_>>(),
                    "{:?}",
                    String::from_utf8_lossy(&bytes)
                );
            }
        }
    }
}
