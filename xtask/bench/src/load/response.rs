//! Answers of HTTP/1.1: just enough to know where one ends, and to read what the next question depends on.
//!
//! Looks at the bytes anew each time more have come, and keeps nothing: answers are small and mostly come whole. Knows
//! the framing of RFC 9112, section 6: a length, chunks, or none for the statuses that have no body.

use std::borrow::Cow;

use anyhow::{Context as _, Result, ensure};
use memchr::memchr;

/// One whole answer.
#[derive(Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    head: &'a [u8],
    body: Cow<'a, [u8]>,
    /// Bytes it took.
    pub(crate) length: usize,
}

/// An answer's head, and what it says of the body.
pub(crate) struct Head {
    pub(crate) status: u16,
    /// Bytes of it, the empty line included.
    pub(crate) length: usize,
    framing: Framing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunks,
    /// Until the connection closes.
    Close,
}

impl<'a> Answer<'a> {
    /// The answer at the beginning of `bytes`, or none if it is not whole yet.
    pub(crate) fn whole(bytes: &'a [u8]) -> Result<Option<Self>> {
        let Some(head) = Head::whole(bytes)? else { return Ok(None) };
        let rest = &bytes[head.length..];
        let (body, taken) = match head.framing {
            Framing::Length(length) if rest.len() >= length => (Cow::Borrowed(&rest[..length]), length),
            Framing::Length(_) => return Ok(None),
            Framing::Chunks => match joined(rest)? {
                Some((body, taken)) => (Cow::Owned(body), taken),
                None => return Ok(None),
            },
            Framing::Close => {
                anyhow::bail!("an answer with status {} has neither a length nor chunks", head.status)
            }
        };
        let length = head.length + taken;
        Ok(Some(Self { status: head.status, head: &bytes[..head.length], body, length }))
    }

    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    /// The value of the first header of that name, which is given in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&[u8]> {
        headers(self.head)
            .find(|(found, _)| found.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value)
    }
}

impl Head {
    /// The head at the beginning of `bytes`, or none if it is not whole yet.
    pub(crate) fn whole(bytes: &[u8]) -> Result<Option<Self>> {
        let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else { return Ok(None) };
        let status = bytes
            .strip_prefix(b"HTTP/1.1 ")
            .and_then(|rest| std::str::from_utf8(rest.get(..3)?).ok()?.parse().ok())
            .with_context(|| {
                format!("`{}` is no status line", String::from_utf8_lossy(&bytes[..bytes.len().min(40)]))
            })?;
        let length = end + 4;
        let mut framing = Framing::Close;
        for (name, value) in headers(&bytes[..length]) {
            // By length first: most names are told apart by that.
            match name.len() {
                14 if name.eq_ignore_ascii_case(b"content-length") => {
                    framing = Framing::Length(number(value, 10).context("a content length is a number")?);
                }
                17 if name.eq_ignore_ascii_case(b"transfer-encoding") => framing = Framing::Chunks,
                _ => {}
            }
        }
        if matches!(status, 100..=199 | 204 | 304) {
            framing = Framing::Length(0);
        }
        Ok(Some(Self { status, length, framing }))
    }
}

/// Names and values of a head that ends with an empty line.
fn headers(head: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = head;
    std::iter::from_fn(move || {
        let end = memchr(b'\n', rest)?;
        let (line, after) = (&rest[..end], &rest[end + 1..]);
        rest = after;
        Some(line)
    })
    .filter_map(|line| {
        let colon = memchr(b':', line)?;
        Some((&line[..colon], line[colon + 1..].trim_ascii()))
    })
}

/// The chunks joined, and how many bytes they took with their framing; none if the last has not come.
fn joined(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let Some(line) = memchr(b'\n', &bytes[at..]) else { return Ok(None) };
        let size = bytes[at..at + line].trim_ascii();
        let size = number(size, 16).context("a chunk begins with its size")?;
        let (start, end) = (at + line + 1, at + line + 1 + size);
        let Some(tail) = bytes.get(end..end + 2) else { return Ok(None) };
        ensure!(tail == b"\r\n", "a chunk does not end where it said");
        if size == 0 {
            return Ok(Some((body, end + 2)));
        }
        body.extend_from_slice(&bytes[start..end]);
        at = end + 2;
    }
}

fn number(text: &[u8], radix: u32) -> Option<usize> {
    usize::from_str_radix(std::str::from_utf8(text).ok()?, radix).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nEtag: 0\r\n\r\nhello";
    const CHUNKS: &[u8] =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n";
    const EMPTY: &[u8] = b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n";

    #[test]
    fn an_answer_is_whole_at_its_last_byte_and_not_before() {
        for (bytes, status, body) in [(LENGTH, 200, "hello"), (CHUNKS, 200, "hello"), (EMPTY, 304, "")] {
            for cut in 0..bytes.len() {
                assert!(Answer::whole(&bytes[..cut]).unwrap().is_none(), "cut at {cut}");
            }
            let mut more = bytes.to_vec();
            more.extend_from_slice(b"HTTP/1.1");
            let answer = Answer::whole(&more).unwrap().unwrap();
            assert_eq!((answer.status, answer.length), (status, bytes.len()));
            assert_eq!(answer.body(), body.as_bytes());
        }
    }

    #[test]
    fn a_header_is_found_in_any_case() {
        let answer = Answer::whole(LENGTH).unwrap().unwrap();
        assert_eq!(answer.header("etag"), Some(&b"0"[..]));
        assert_eq!(answer.header("last-modified"), None);
    }

    #[test]
    fn what_is_no_answer_is_said() {
        assert!(Answer::whole(b"SSH-2.0\r\n\r\n").is_err());
        assert!(Answer::whole(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(
            Answer::whole(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n\r\n\r\n").is_err()
        );
    }
}
