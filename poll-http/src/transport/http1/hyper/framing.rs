//! Where the requests of a connection end (RFC 9112, section 6).
//!
//! hyper treats a bare LF in trailers neither as the end of a line nor as an error, and so may read past the end of a
//! request into the next one. It is given its input in parts that end where heads and contents do, and nothing of a
//! chunked content whose lines end in anything but CRLF. What is in heads, chunk sizes and fields is hyper's to judge.

use std::io;

/// The content after a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Nothing,
    /// So many bytes.
    Sized(u64),
    Chunked,
}

/// How far the input was passed on.
#[derive(Debug)]
pub(crate) struct Framing {
    at: At,
    line: Line,
    /// The head has a `Content-Length`.
    length: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// In a head or before it.
    Head,
    Sized(u64),
    Chunked(Chunk),
}

/// A place in chunked content (RFC 9112, section 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chunk {
    Size(u64),
    Extension(u64),
    SizeEnd(u64),
    Data(u64),
    DataCr,
    DataLf,
    /// The beginning of a line that is a trailer field or the end.
    Trailers,
    Trailer,
    TrailerEnd,
    End,
}

/// A place in a line of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// Nothing but CR has come.
    Empty,
    /// So much of the name `Content-Length`.
    Length(usize),
    Other,
}

const LENGTH: &[u8] = b"content-length:";

impl Framing {
    pub(crate) fn new() -> Self {
        Self { at: At::Head, line: Line::Empty, length: false }
    }

    /// A head was read. Says whether a `Content-Length` was in it.
    pub(crate) fn begin(&mut self, content: Content) -> bool {
        self.at = match content {
            Content::Nothing | Content::Sized(0) => At::Head,
            Content::Sized(length) => At::Sized(length),
            Content::Chunked => At::Chunked(Chunk::Size(0)),
        };
        std::mem::take(&mut self.length)
    }

    /// Whether all of the content has been passed on.
    pub(crate) fn is_whole(&self) -> bool {
        self.at == At::Head
    }

    /// How many of `bytes`, which are not empty, may be read before the next boundary has to be checked.
    ///
    /// # Errors
    /// Where a line of chunked content does not end in CRLF.
    pub(crate) fn admit(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.at {
            At::Head => Ok(self.head(bytes)),
            At::Sized(left) => {
                let count = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let left = left - count as u64;
                self.at = if left == 0 { At::Head } else { At::Sized(left) };
                Ok(count)
            }
            At::Chunked(chunk) => self.chunks(chunk, bytes),
        }
    }

    /// To the end of an empty line, which is where a head ends if one has begun.
    fn head(&mut self, bytes: &[u8]) -> usize {
        for (at, byte) in bytes.iter().enumerate() {
            self.line = match (self.line, byte) {
                (Line::Empty, b'\n') => return at + 1,
                (_, b'\n') => Line::Empty,
                (Line::Empty, b'\r') => Line::Empty,
                (line @ (Line::Empty | Line::Length(_)), byte) => {
                    let known = if let Line::Length(known) = line { known } else { 0 };
                    let same = LENGTH[known] == byte.to_ascii_lowercase();
                    self.length |= same && known + 1 == LENGTH.len();
                    if same && known + 1 < LENGTH.len() { Line::Length(known + 1) } else { Line::Other }
                }
                (Line::Other, _) => Line::Other,
            };
        }
        bytes.len()
    }

    fn chunks(&mut self, mut chunk: Chunk, bytes: &[u8]) -> io::Result<usize> {
        let mut at = 0;
        while at < bytes.len() {
            if let Chunk::Data(left) = chunk {
                let count = (bytes.len() - at).min(usize::try_from(left).unwrap_or(usize::MAX));
                at += count;
                let left = left - count as u64;
                chunk = if left == 0 { Chunk::DataCr } else { Chunk::Data(left) };
                continue;
            }
            let next = chunk.next(bytes[at]).ok_or_else(malformed)?;
            at += 1;
            let Some(next) = next else {
                self.at = At::Head;
                return Ok(at);
            };
            chunk = next;
        }
        self.at = At::Chunked(chunk);
        Ok(at)
    }
}

impl Chunk {
    /// The state after a byte of framing: `Some(None)` is the end, `None` an invalid byte.
    fn next(self, byte: u8) -> Option<Option<Self>> {
        let next = match (self, byte) {
            (Self::Size(size) | Self::Extension(size), b'\r') => Self::SizeEnd(size),
            (Self::Size(size), b';' | b' ' | b'\t') => Self::Extension(size),
            (Self::Size(size), digit) => {
                let digit = char::from(digit).to_digit(16)?;
                Self::Size(size.checked_mul(16)?.checked_add(u64::from(digit))?)
            }
            (Self::Extension(_) | Self::Trailers | Self::Trailer, b'\n') => return None,
            (Self::Extension(size), _) => Self::Extension(size),
            (Self::SizeEnd(0), b'\n') | (Self::TrailerEnd, b'\n') => Self::Trailers,
            (Self::SizeEnd(size), b'\n') => Self::Data(size),
            (Self::DataCr, b'\r') => Self::DataLf,
            (Self::DataLf, b'\n') => Self::Size(0),
            (Self::Trailers, b'\r') => Self::End,
            (Self::Trailer, b'\r') => Self::TrailerEnd,
            (Self::Trailers | Self::Trailer, _) => Self::Trailer,
            (Self::End, b'\n') => return Some(None),
            (
                Self::SizeEnd(_) | Self::Data(_) | Self::DataCr | Self::DataLf | Self::TrailerEnd | Self::End,
                _,
            ) => {
                return None;
            }
        };
        Some(Some(next))
    }
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a line of chunked content does not end in CRLF")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The requests that `bytes` are given out in, which come in two pieces. Behind the first head is `content`.
    fn parts(bytes: &[u8], content: Content, cut: usize) -> io::Result<Vec<Vec<u8>>> {
        let mut framing = Framing::new();
        let mut parts = vec![Vec::new()];
        let mut to_come = Some(content);
        let (first, second) = bytes.split_at(cut.min(bytes.len()));
        for mut bytes in [first, second] {
            while !bytes.is_empty() {
                let in_head = framing.is_whole();
                let count = framing.admit(bytes)?;
                assert!(count > 0);
                let part = parts.last_mut().unwrap();
                part.extend(&bytes[..count]);
                bytes = &bytes[count..];
                if in_head && part.ends_with(b"\r\n\r\n") {
                    framing.begin(to_come.take().unwrap_or(Content::Nothing));
                    parts.push(Vec::new());
                } else if !in_head && framing.is_whole() {
                    parts.push(Vec::new());
                }
            }
        }
        Ok(parts.into_iter().filter(|part| !part.is_empty()).collect())
    }

    const HEAD: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\n\r\n";
    const NEXT: &[u8] = b"GET / HTTP/1.1\r\n\r\n";

    #[test]
    fn parts_end_where_requests_do() {
        let contents: [(&[u8], _); 8] = [
            (b"", Content::Nothing),
            (b"", Content::Sized(0)),
            (b"a\n\nb\n", Content::Sized(5)),
            (b"0\r\n\r\n", Content::Chunked),
            (b"5\r\na\n\n\r\n\r\n0\r\n\r\n", Content::Chunked),
            (b"05 ;x=\"y\"\r\n0\r\n\r\n\r\n00;\r\n\r\n", Content::Chunked),
            (b"1\r\n\n\r\n0\r\nX: y\r\nZ:\r\n\r\n", Content::Chunked),
            (b"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", Content::Chunked),
        ];
        for (bytes, content) in contents {
            let all = [HEAD, bytes, NEXT, NEXT].concat();
            let expected: Vec<_> =
                [HEAD, bytes, NEXT, NEXT].into_iter().filter(|part| !part.is_empty()).collect();
            for cut in 0..all.len() {
                assert_eq!(parts(&all, content, cut).unwrap(), expected, "{content:?} {cut}");
            }
        }
    }

    #[test]
    fn empty_lines_end_parts_however_they_end_themselves() {
        for head in ["\r\nGET / HTTP/1.1\nHost: a\n\nX", "\n\n\r\r\nGET /\r\n\r\nX", "\nA\n\r\nB\n\n"] {
            let mut framing = Framing::new();
            let mut rest = head.as_bytes();
            while !rest.is_empty() {
                let count = framing.admit(rest).unwrap();
                let part = String::from_utf8_lossy(&rest[..count]).replace('\r', "");
                let inner = &part[..part.len() - usize::from(part.ends_with('\n'))];
                assert!(!inner.starts_with('\n') && !inner.contains("\n\n"), "{part:?} of {head:?}");
                rest = &rest[count..];
            }
        }
    }

    #[test]
    fn lines_of_chunked_content_end_in_crlf() {
        for content in [
            "0\r\nX: y\n\r\n",
            "0\r\nX: y\n\n",
            "0\r\n\n",
            "0\r\nX: y\r\n\n",
            "0\r\nX: y\rZ: w\r\n\r\n",
            "0\r\n\rX",
            "0\n\r\n",
            "0;a\n\r\n",
            "0\r\r\n\r\n",
            "1\r\na\n0\r\n\r\n",
            "1\r\nab\r\n0\r\n\r\n",
            "x\r\n\r\n",
            "fffffffffffffffff\r\n",
        ] {
            let all = [HEAD, content.as_bytes()].concat();
            for cut in 0..all.len() {
                assert!(parts(&all, Content::Chunked, cut).is_err(), "{content:?} {cut}");
            }
        }
    }

    #[test]
    fn a_content_length_in_the_head_is_seen() {
        let seen = |head: &str, cut: usize| {
            let mut framing = Framing::new();
            for mut part in [&head.as_bytes()[..cut], &head.as_bytes()[cut..]] {
                while !part.is_empty() {
                    part = &part[framing.admit(part).unwrap()..];
                }
            }
            framing.begin(Content::Nothing)
        };
        for (head, expected) in [
            ("POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\n", true),
            ("POST / HTTP/1.1\r\nX: y\ncontent-LENGTH:1\n\n", true),
            ("POST / HTTP/1.1\r\nX-Content-Length: 1\r\n\r\n", false),
            ("POST / HTTP/1.1\r\nContent-Lengths: 1\r\n\r\n", false),
            ("POST / HTTP/1.1\r\nX: Content-Length: 1\r\n\r\n", false),
            ("POST / HTTP/1.1\r\nContent-Content-Length: 1\r\n\r\n", false),
        ] {
            for cut in 0..head.len() {
                assert_eq!(seen(head, cut), expected, "{head:?} {cut}");
            }
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_given_out_in_order_or_refused(
            bytes in "([0-3a;: \r\n]|\r\n|0\r\n\r\n){0,60}", cut in 0..60usize, sized in prop::option::of(0..20u64),
        ) {
            let content = sized.map_or(Content::Chunked, Content::Sized);
            let all = [HEAD, bytes.as_bytes()].concat();
            if let Ok(parts) = parts(&all, content, HEAD.len() + cut) {
                prop_assert_eq!(parts.concat(), all);
            }
        }
    }
}
