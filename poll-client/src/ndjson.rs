//! JSON lines (`application/x-ndjson`) cut out of a body that arrives in any pieces.
//!
//! Why: a chunk is not a line. Proxies join and split chunks as they like, also inside a UTF-8 sequence, so only a
//! line feed says where a message ends. A line is bounded, so that a server gone mad cannot fill the memory.
//!
//! What it leaves alone: JSON. A line is bytes; whoever reads it says what it means.

use std::fmt;

use bytes::{Buf, Bytes, BytesMut};

/// Takes pieces of a body and gives back its lines.
///
/// Lines end with a line feed; a carriage return before it is dropped, and empty lines are skipped. What follows
/// the last line feed is no line yet: in a stream that broke it is half a message.
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
    /// Bytes at the buffer's start that are known to hold no line feed.
    scanned: usize,
    limit: usize,
}

/// A line is longer than the reader takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineTooLong {
    /// The bound in bytes, the line feed apart.
    pub limit: usize,
}

impl Lines {
    /// A reader of lines of at most `limit` bytes, the line feed apart.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { buffer: BytesMut::new(), scanned: 0, limit }
    }

    /// Takes the next piece of the body. Memory is bounded by the limit and one piece when [`Self::next_line`] is
    /// asked until it has no more before the next piece is fed.
    pub fn feed(&mut self, piece: &[u8]) {
        self.buffer.extend_from_slice(piece);
    }

    /// The next whole line without its end, or `None` until more is fed.
    ///
    /// # Errors
    /// When the line is over the limit, whether or not its end has come; every later call says the same.
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
