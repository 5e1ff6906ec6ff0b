//! The least that is an HTTP/1.1 client: it finds where an answer ends, and looks at nothing else.

use memchr::{memchr, memchr_iter};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

/// More than any answer that is asked for here.
const ROOM: usize = 1 << 16;

/// The client's end of a connection.
pub(crate) struct Wire {
    io: DuplexStream,
    buffer: Box<[u8]>,
    /// What was read and not yet given, as a part of `buffer`.
    unread: std::ops::Range<usize>,
}

impl Wire {
    pub(crate) fn new(io: DuplexStream) -> Self {
        Self { io, buffer: vec![0; ROOM].into(), unread: 0..0 }
    }

    pub(crate) async fn send(&mut self, request: &str) {
        self.io.write_all(request.as_bytes()).await.expect("an open connection");
    }

    /// One whole answer, which must be of this status.
    pub(crate) async fn answer(&mut self, status: &str) -> &[u8] {
        let answer = self.next(answer_length).await;
        assert!(answer[9..].starts_with(status.as_bytes()), "{}", String::from_utf8_lossy(answer));
        answer
    }

    /// The head of an answer whose body follows.
    pub(crate) async fn head(&mut self) {
        self.next(|bytes| head(bytes).map(|head| head.length)).await;
    }

    /// One chunk, with its frame.
    pub(crate) async fn chunk(&mut self) -> &[u8] {
        self.next(chunk_length).await
    }

    /// Reads until a part of this kind is whole, and gives it.
    async fn next(&mut self, length: fn(&[u8]) -> Option<usize>) -> &[u8] {
        let length = loop {
            match length(&self.buffer[self.unread.clone()]) {
                Some(length) if length <= self.unread.len() => break length,
                _ => self.read().await,
            }
        };
        let start = self.unread.start;
        self.unread.start += length;
        &self.buffer[start..start + length]
    }

    async fn read(&mut self) {
        if self.unread.is_empty() {
            self.unread = 0..0;
        }
        let read = self.io.read(&mut self.buffer[self.unread.end..]).await.expect("an open connection");
        assert!(read > 0, "the server closed the connection");
        self.unread.end += read;
    }
}

struct Head {
    length: usize,
    /// What `Content-Length` says; an answer without has no body.
    content: usize,
}

fn head(bytes: &[u8]) -> Option<Head> {
    let (mut line, mut content) = (0, 0);
    for end in memchr_iter(b'\n', bytes) {
        match &bytes[line..end] {
            b"\r" => return Some(Head { length: end + 1, content }),
            field => {
                content = field.strip_prefix(b"content-length: ").map_or(content, |value| number(value, 10));
            }
        }
        line = end + 1;
    }
    None
}

fn answer_length(bytes: &[u8]) -> Option<usize> {
    head(bytes).map(|head| head.length + head.content)
}

fn chunk_length(bytes: &[u8]) -> Option<usize> {
    let digits = memchr(b'\n', bytes)? + 1;
    Some(digits + number(bytes, 16) + 2)
}

/// The number that the bytes begin with.
fn number(bytes: &[u8], radix: u32) -> usize {
    let digits = bytes.iter().map_while(|&byte| char::from(byte).to_digit(radix));
    digits.fold(0, |number, digit| number * radix as usize + digit as usize)
}
