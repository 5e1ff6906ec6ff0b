//! Reading a request that needs no engine: a plain GET or POST that has arrived whole.
//!
//! Whatever asks for more is left to hyper: other methods and versions, chunks, `Expect`, `Upgrade`, pipelining, heads
//! that are broken, too large or not all there. So what is here decides nothing that can be got wrong: either a request
//! is as simple as it can be, or it is not touched.

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use httparse::Status;

use crate::body::RequestBody;

/// Fields of a plain request. Browsers send about fifteen, proxies add a few.
const MOST_FIELDS: usize = 32;

/// The request that `bytes` are, if they are one plain request and nothing else.
pub(crate) fn read(bytes: &Bytes, max_head_bytes: usize) -> Option<Request<RequestBody>> {
    let mut fields = [const { MaybeUninit::uninit() }; MOST_FIELDS];
    let mut head = httparse::Request::new(&mut []);
    let Ok(Status::Complete(length)) = head.parse_with_uninit_headers(bytes, &mut fields) else {
        return None;
    };
    let method = match head.method? {
        "GET" => Method::GET,
        "POST" => Method::POST,
        _ => return None,
    };
    let path = head.path.filter(|path| path.starts_with('/'))?;
    if head.version != Some(1) || length > max_head_bytes {
        return None;
    }
    let path = PathAndQuery::from_maybe_shared(bytes.slice_ref(path.as_bytes())).ok()?;
    let mut headers = HeaderMap::with_capacity(head.headers.len());
    for field in head.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
        if !is_plain(&name, field.value) {
            return None;
        }
        headers.append(name, HeaderValue::from_maybe_shared(bytes.slice_ref(field.value)).ok()?);
    }
    let body = bytes.slice(length..);
    if content_length(&headers)? != body.len() || (method == Method::GET && !body.is_empty()) {
        return None;
    }
    let mut request =
        Request::new(if body.is_empty() { RequestBody::Empty } else { RequestBody::Full(body) });
    *request.method_mut() = method;
    *request.uri_mut() = Uri::from(path);
    *request.headers_mut() = headers;
    Some(request)
}

/// Whether a field asks nothing of the connection but to be kept.
fn is_plain(name: &HeaderName, value: &[u8]) -> bool {
    if *name == CONNECTION {
        return value.eq_ignore_ascii_case(b"keep-alive");
    }
    ![TRANSFER_ENCODING, UPGRADE, EXPECT, TE, TRAILER].contains(name)
}

/// The length of the content; `None` where it is not said in the one plain way (RFC 9112, section 6.2).
fn content_length(headers: &HeaderMap) -> Option<usize> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let Some(length) = lengths.next() else { return Some(0) };
    let digits = length.as_bytes();
    if lengths.next().is_some() || !(1..=9).contains(&digits.len()) {
        return None;
    }
    digits
        .iter()
        .try_fold(0, |length, digit| digit.is_ascii_digit().then(|| length * 10 + usize::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> Option<Request<RequestBody>> {
        read(&Bytes::copy_from_slice(text.as_bytes()), 16 * 1024)
    }

    #[test]
    fn a_whole_plain_request_is_read() {
        let request = plain("GET /a?b=c HTTP/1.1\r\nHost: x\r\nConnection: Keep-Alive\r\n\r\n").unwrap();
        assert_eq!(
            (request.method(), request.uri().path(), request.uri().query()),
            (&Method::GET, "/a", Some("b=c"))
        );
        assert_eq!(request.headers()["host"], "x");
        assert!(matches!(request.body(), RequestBody::Empty));
        let request = plain("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi").unwrap();
        assert!(matches!(request.body(), RequestBody::Full(body) if body == "hi"));
        assert!(plain("POST /a HTTP/1.1\r\nHost: x\r\n\r\n").is_some());
    }

    #[test]
    fn everything_else_is_left_to_the_engine() {
        let heads = [
            "GET / HTTP/1.1\r\nHost: x\r\n",
            "GET / HTTP/1.0\r\nHost: x\r\n\r\n",
            "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n",
            "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n1",
            "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, upgrade\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n1",
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nhi",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nhi",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +2\r\n\r\nhi",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2, 2\r\n\r\nhi",
        ];
        for head in heads {
            assert!(plain(head).is_none(), "{head:?}");
        }
        assert!(read(&Bytes::from_static(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"), 20).is_none());
    }
}
