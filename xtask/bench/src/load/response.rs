//! A reader for HTTP/1.1 responses: where one ends, and what the next request depends on.
//!
//! Keeps no state: incomplete bytes are parsed again once more have arrived. Responses are small and mostly arrive
//! whole. Framing by RFC 9112, section 6.

use std::borrow::Cow;

use anyhow::{Context as _, Result, bail};
use httparse::{EMPTY_HEADER, Status};

use crate::endpoints::Told;

/// More headers than any server under test sends.
const HEADERS: usize = 32;

/// A whole response.
#[derive(Debug)]
pub(super) struct Response<'a> {
    pub(super) head: Head<'a>,
    pub(super) body: Cow<'a, [u8]>,
    /// Length of head and body in bytes.
    pub(super) length: usize,
}

#[derive(Debug)]
pub(super) struct Head<'a> {
    pub(super) status: u16,
    /// Up to and including the empty line.
    pub(super) length: usize,
    framing: Framing,
    pub(super) told: Told<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Framing {
    Length(usize),
    Chunks,
    UntilClose,
}

impl<'a> Response<'a> {
    /// The response at the beginning of `bytes`; `None` if it is incomplete.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Option<Self>> {
        let Some(head) = Head::parse(bytes)? else { return Ok(None) };
        let rest = &bytes[head.length..];
        let (body, taken) = match head.framing {
            Framing::Length(length) if rest.len() >= length => (Cow::Borrowed(&rest[..length]), length),
            Framing::Length(_) => return Ok(None),
            Framing::Chunks => match joined(rest)? {
                Some((body, taken)) => (Cow::Owned(body), taken),
                None => return Ok(None),
            },
            Framing::UntilClose => bail!("status {} with neither a length nor chunks", head.status),
        };
        let length = head.length + taken;
        Ok(Some(Self { head, body, length }))
    }
}

impl<'a> Head<'a> {
    /// The head at the beginning of `bytes`; `None` if it is incomplete.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Option<Self>> {
        let mut headers = [EMPTY_HEADER; HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let parsed = response.parse(bytes).with_context(|| {
            format!("`{}` is no response", String::from_utf8_lossy(&bytes[..bytes.len().min(40)]))
        })?;
        let Status::Complete(length) = parsed else { return Ok(None) };
        let status = response.code.context("a response has a status")?;
        let mut head = Self { status, length, framing: Framing::UntilClose, told: Told::default() };
        for header in response.headers.iter() {
            // Most names differ in length, which is the cheaper comparison.
            match header.name.len() {
                4 if header.name.eq_ignore_ascii_case("etag") => head.told.etag = Some(header.value),
                13 if header.name.eq_ignore_ascii_case("last-modified") => {
                    head.told.last_modified = Some(header.value);
                }
                14 if header.name.eq_ignore_ascii_case("content-length") => {
                    let length = std::str::from_utf8(header.value)?.parse();
                    head.framing = Framing::Length(length.context("a content length is a number")?);
                }
                17 if header.name.eq_ignore_ascii_case("transfer-encoding") => head.framing = Framing::Chunks,
                18 if header.name.eq_ignore_ascii_case("stream-next-offset") => {
                    head.told.next_offset = Some(header.value);
                }
                _ => {}
            }
        }
        if matches!(status, 100..=199 | 204 | 304) {
            head.framing = Framing::Length(0);
        }
        Ok(Some(head))
    }
}

/// The chunks joined, and their length with framing; `None` if the last one is missing.
fn joined(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let Ok(size) = httparse::parse_chunk_size(&bytes[at..]) else { bail!("invalid chunk size") };
        let Status::Complete((line, size)) = size else { return Ok(None) };
        let start = at + line;
        let end = start + usize::try_from(size)?;
        match bytes.get(end..end + 2) {
            None => return Ok(None),
            Some(b"\r\n") if size == 0 => return Ok(Some((body, end + 2))),
            Some(b"\r\n") => body.extend_from_slice(&bytes[start..end]),
            Some(_) => bail!("a chunk is longer than its size"),
        }
        at = end + 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nEtag: 0\r\n\r\nhello";
    const CHUNKS: &[u8] =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n";
    const EMPTY: &[u8] = b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n";

    #[test]
    fn a_response_is_whole_at_its_last_byte_and_not_before() {
        for (bytes, status, body) in [(LENGTH, 200, "hello"), (CHUNKS, 200, "hello"), (EMPTY, 304, "")] {
            for cut in 0..bytes.len() {
                assert!(Response::parse(&bytes[..cut]).unwrap().is_none(), "cut at {cut}");
            }
            let more = [bytes, b"HTTP/1.1"].concat();
            let response = Response::parse(&more).unwrap().unwrap();
            assert_eq!((response.head.status, response.length), (status, bytes.len()));
            assert_eq!(&*response.body, body.as_bytes());
        }
        assert_eq!(Response::parse(LENGTH).unwrap().unwrap().head.told.etag, Some(&b"0"[..]));
    }

    #[test]
    fn what_is_no_response_is_an_error() {
        for bytes in [
            &b"SSH-2.0\r\n\r\n"[..],
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
        ] {
            assert!(Response::parse(bytes).is_err());
        }
    }
}
