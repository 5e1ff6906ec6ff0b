//! The least that is an HTTP/1.1 client: it finds where an answer ends, and looks at nothing else.

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

    /// One whole answer, head and body, which must be of this status.
    pub(crate) async fn answer(&mut self, status: &str) -> &[u8] {
        self.part(answer_length).await;
        let answer = self.give(answer_length);
        assert!(answer[9..].starts_with(status.as_bytes()), "{}", String::from_utf8_lossy(answer));
        answer
    }

    /// The head of an answer whose body follows.
    pub(crate) async fn head(&mut self) {
        self.part(head_length).await;
        self.give(head_length);
    }

    /// One chunk, with its frame.
    pub(crate) async fn chunk(&mut self) {
        self.part(chunk_length).await;
        self.give(chunk_length);
    }

    /// Reads until the first part of this kind is whole.
    async fn part(&mut self, length: fn(&[u8]) -> Option<usize>) {
        while length(&self.buffer[self.unread.clone()]).is_none_or(|length| length > self.unread.len()) {
            if self.unread.is_empty() {
                self.unread = 0..0;
            }
            let read = self.io.read(&mut self.buffer[self.unread.end..]).await.expect("an open connection");
            assert!(read > 0, "the server closed the connection");
            self.unread.end += read;
        }
    }

    fn give(&mut self, length: fn(&[u8]) -> Option<usize>) -> &[u8] {
        let start = self.unread.start;
        let length = length(&self.buffer[self.unread.clone()]).unwrap_or_default();
        self.unread.start += length;
        &self.buffer[start..start + length]
    }
}

fn head_length(bytes: &[u8]) -> Option<usize> {
    Some(bytes.windows(4).position(|end| end == b"\r\n\r\n")? + 4)
}

fn answer_length(bytes: &[u8]) -> Option<usize> {
    let head = head_length(bytes)?;
    let field =
        bytes[..head].split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"content-length: "));
    Some(head + field.map_or(0, |value| number(value, 10)))
}

fn chunk_length(bytes: &[u8]) -> Option<usize> {
    let digits = bytes.windows(2).position(|end| end == b"\r\n")?;
    Some(digits + 2 + number(bytes, 16) + 2)
}

/// The number that the bytes begin with.
fn number(bytes: &[u8], radix: u32) -> usize {
    let digits = bytes.iter().map_while(|&byte| char::from(byte).to_digit(radix));
    digits.fold(0, |number, digit| number * radix as usize + digit as usize)
}
