//! Splits a body of JSON lines (`application/x-ndjson`) into lines, which are not parsed.
//!
//! A chunk is not a line: proxies join and split chunks anywhere, even inside a UTF-8 sequence. Lines have a maximum
//! length, so that a faulty server cannot exhaust memory.

use std::fmt;

use bytes::{Buf, Bytes, BytesMut};

/// Takes the pieces of a body and returns its lines.
///
/// Lines end with a line feed; a carriage return before it is dropped, and empty lines are skipped. What follows the
/// last line feed is not a line: in a stream that broke it is half a message.
///
/// ```
/// use poll_client::ndjson::Lines;
///
/// let mut lines = Lines::new(1024);
/// lines.feed(b"{\"id\":1}\n{\"i");
/// assert_eq!(lines.next_line()?.as_deref(), Some(&b"{\"id\":1}"[..]));
/// assert_eq!(lines.next_line()?, None);
/// lines.feed(b"d\":2}\n");
/// assert_eq!(lines.next_line()?.as_deref(), Some(&b"{\"id\":2}"[..]));
/// # Ok::<(), poll_client::ndjson::LineTooLong>(())
/// ```
#[derive(Debug)]
pub struct Lines {
    buffer: BytesMut,
    /// How many bytes of the buffer are known to have no line feed.
    scanned: usize,
    limit: usize,
}

/// A line is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineTooLong {
    /// The limit in bytes, without the line feed.
    pub limit: usize,
}

impl Lines {
    /// Accepts lines of at most `limit` bytes, without the line feed.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { buffer: BytesMut::new(), scanned: 0, limit }
    }

    /// Adds the next piece of the body. At most the limit and one piece are buffered if [`Self::next_line`] is called
    /// until it returns `None` before each piece.
    pub fn feed(&mut self, piece: &[u8]) {
        self.buffer.extend_from_slice(piece);
    }

    /// The next complete line without its end, or `None` until more is fed.
    ///
    /// # Errors
    /// If the line exceeds the limit, complete or not, and on every later call.
    pub fn next_line(&mut self) -> Result<Option<Bytes>, LineTooLong> {
        loop {
            let end = self.buffer[self.scanned..].iter().position(|&byte| byte == b'\n');
            let length = end.map_or(self.buffer.len(), |at| self.scanned + at);
            if length > self.limit {
                return Err(LineTooLong { limit: self.limit });
            }
            self.scanned = length;
            if end.is_none() {
                return Ok(None);
            }
            let mut line = self.buffer.split_to(length);
            self.buffer.advance(1);
            self.scanned = 0;
            if line.last() == Some(&b'\r') {
                line.truncate(line.len() - 1);
            }
            if !line.is_empty() {
                return Ok(Some(line.freeze()));
            }
        }
    }
}

impl fmt::Display for LineTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a line is longer than {} bytes", self.limit)
    }
}

impl std::error::Error for LineTooLong {}
