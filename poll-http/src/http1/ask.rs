//! Reading a request that needs no engine: a plain GET or POST that has arrived whole.
//!
//! Whatever asks for more is left to hyper: other methods and versions, chunks, `Expect`, `Upgrade`, heads that are
//! broken, too large or not all there. So what is here decides nothing that can be got wrong: either a request is as
//! simple as it can be, or it is not touched.

use std::mem::MaybeUninit;

use http::Method;
use httparse::Status;
use memchr::memchr;

use crate::head::{Field, FieldSet, Places, PlainFields, PlainHead, PlainRequest};
use crate::query::Coding;

/// Fields of a plain request. Browsers send about fifteen, proxies add a few.
const MOST_FIELDS: usize = 32;

/// Room for the fields of a request, and for where those are that are asked for.
pub(crate) struct Room<'a> {
    fields: [MaybeUninit<httparse::Header<'a>>; MOST_FIELDS],
    places: Places,
}

/// Fields that ask for more than an answer.
const ASKING: FieldSet =
    FieldSet::of([Field::Te, Field::Expect, Field::Upgrade, Field::Trailer, Field::TransferEncoding]);

/// What stands in targets: pchar, `/` and `?` (RFC 3986, section 3.3).
const IN_TARGETS: u8 = 1;
/// And there for itself, in a query as well.
const PLAIN: u8 = 2;

/// Of each byte, which of these it is.
const TARGETS: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 128 {
        let letter = byte as u8;
        table[byte] = match letter {
            b'%' | b'+' => IN_TARGETS,
            b'-' | b'.' | b'_' | b'~' | b':' | b'@' | b'/' | b'?' => IN_TARGETS | PLAIN,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b',' | b';' | b'=' => IN_TARGETS | PLAIN,
            _ if letter.is_ascii_alphanumeric() => IN_TARGETS | PLAIN,
            _ => 0,
        };
        byte += 1;
    }
    table
};

/// No fields yet.
pub(crate) fn room<'a>() -> Room<'a> {
    Room { fields: [const { MaybeUninit::uninit() }; MOST_FIELDS], places: Places::default() }
}

/// The plain request that `bytes` begin with, if they do, and its length in bytes.
pub(crate) fn read<'a>(
    bytes: &'a [u8],
    room: &'a mut Room<'a>,
    max_head_bytes: usize,
) -> Option<(PlainRequest<'a>, usize)> {
    let mut head = httparse::Request::new(&mut []);
    let Ok(Status::Complete(length)) = head.parse_with_uninit_headers(bytes, &mut room.fields) else {
        return None;
    };
    let method = match head.method? {
        "GET" => Method::GET,
        "POST" => Method::POST,
        _ => return None,
    };
    let target = head.path?;
    let all = common(target.as_bytes());
    if all & IN_TARGETS == 0 || !target.starts_with('/') || head.version != Some(1) || length > max_head_bytes
    {
        return None;
    }
    room.places.note(head.headers);
    let fields = PlainFields { all: head.headers, places: &room.places };
    let content = bytes[length..].get(..content_length(fields)?)?;
    if method == Method::GET && !content.is_empty() {
        return None;
    }
    let (path, query) = match memchr(b'?', target.as_bytes()) {
        Some(at) => (&target[..at], Some(&target[at + 1..])),
        None => (target, None),
    };
    let coding = if all & PLAIN == 0 { Coding::Encoded } else { Coding::Plain };
    let end = length + content.len();
    Some((PlainRequest { head: PlainHead { method, path, query, coding, fields }, content }, end))
}

/// What all bytes of a target are. All of them are looked at, without a branch for each.
fn common(target: &[u8]) -> u8 {
    let both = |all: u8, byte: &u8| all & TARGETS[usize::from(*byte)];
    let (words, rest) = target.as_chunks::<8>();
    let all = words.iter().fold(IN_TARGETS | PLAIN, |all, word| word.iter().fold(all, both));
    rest.iter().fold(all, both)
}

/// The length of the content; `None` where it is not said in the one plain way (RFC 9112, section 6.2), or a field
/// asks anything of the connection but to be kept.
fn content_length(fields: PlainFields<'_>) -> Option<usize> {
    let asks = fields.places.there().meets(ASKING);
    if asks || !fields.all(Field::Connection).all(|value| value.eq_ignore_ascii_case(b"keep-alive")) {
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
    use crate::body::RequestBody;

    /// The request, and what is left of the text behind it.
    fn plain(text: &str) -> Option<(Request<RequestBody>, &str)> {
        let mut room = room();
        let (request, end) = read(text.as_bytes(), &mut room, 16 * 1024)?;
        Some((request.into_request(), &text[end..]))
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
        assert!(read(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", &mut room(), 20).is_none());
    }

    #[test]
    fn whatever_is_read_can_be_said_in_the_types_of_http() {
        for byte in 0..=u8::MAX {
            let char = char::from(byte);
            let target = format!("/a{char}?b{char}c");
            if TARGETS[usize::from(byte)] & IN_TARGETS != 0 {
                assert_eq!(PathAndQuery::try_from(&*target).unwrap().as_str(), target);
            }
            let head = |name: &[u8], value: &[u8]| {
                [b"GET / HTTP/1.1\r\nHost: x\r\nN", name, b": v", value, b"\r\n\r\n"].concat()
            };
            for bytes in [head(&[byte], b""), head(b"", &[byte, b'v'])] {
                let mut room = room();
                let Some((request, _)) = read(&bytes, &mut room, 16 * 1024) else { continue };
                let plain =
                    request.head.fields.all.iter().map(|field| (field.name.to_lowercase(), field.value));
                let plain: Vec<_> = plain.collect();
                let request = request.into_request();
                let said = request
                    .headers()
                    .iter()
                    .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes()));
                assert_eq!(said.collect::<Vec<_>>(), plain, "{:?}", String::from_utf8_lossy(&bytes));
            }
        }
    }
}
