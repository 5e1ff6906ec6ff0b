//! Server-sent events (WHATWG HTML, section 9.2.6) read from a body that arrives in any pieces.
//!
//! Why our own: the format is small, and what matters here is exactly what most parsers get wrong: a line end that
//! is split between two pieces, a byte order mark that is, UTF-8 that is, and a bound on what one event may hold.
//!
//! What it leaves alone: reconnecting, and what an event means.

use std::fmt;

use bytes::{Buf, BytesMut};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Takes pieces of a body and gives back what they say.
///
/// ```
/// use poll_client::sse::{Item, Parser};
///
/// let mut parser = Parser::new(1024);
/// parser.feed(b"id: 7\ndata: one\ndata: two\n\r");
/// let Some(Item::Event(event)) = parser.next_item()? else { panic!("an event is whole") };
/// assert_eq!((event.data.as_str(), event.kind.as_str(), event.id.as_str()), ("one\ntwo", "message", "7"));
/// assert_eq!(parser.next_item()?, None);
/// # Ok::<(), poll_client::sse::EventTooLong>(())
/// ```
#[derive(Debug)]
pub struct Parser {
    buffer: BytesMut,
    /// Bytes at the buffer's start that are known to hold no line end.
    scanned: usize,
    limit: usize,
    start: Start,
    /// The last line ended with a carriage return, so a line feed next belongs to it.
    after_return: bool,
    data: String,
    kind: String,
    /// Outlives the event: an event without an `id` field has the last one's.
    id: String,
    failed: bool,
}

/// Whether the byte order mark may still come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    Expected,
    Passed,
}

/// What a stream says, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A dispatched event.
    Event(Event),
    /// A comment line; servers send them as heartbeats.
    Comment,
    /// How many milliseconds to wait before connecting again.
    Retry(u64),
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The `event` field, `message` if there was none.
    pub kind: String,
    /// The last event id the stream named so far, empty if none.
    pub id: String,
    /// The `data` fields, joined by line feeds.
    pub data: String,
}

/// A line or an event is larger than the reader takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventTooLong {
    /// The bound in bytes, for one line and for one event's data.
    pub limit: usize,
}

impl Parser {
    /// A parser of lines and event data of at most `limit` bytes each.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            scanned: 0,
            limit,
            start: Start::Expected,
            after_return: false,
            data: String::new(),
            kind: String::new(),
            id: String::new(),
            failed: false,
        }
    }

    /// Takes the next piece of the body. Memory is bounded by the limit and one piece when [`Self::next_item`] is
    /// asked until it has no more before the next piece is fed.
    pub fn feed(&mut self, piece: &[u8]) {
        self.buffer.extend_from_slice(piece);
    }

    /// The next item, or `None` until more is fed. An event whose blank line never comes is never given: the
    /// stream broke inside it.
    ///
    /// # Errors
    /// When a line or an event's data is over the limit; every later call says the same.
    pub fn next_item(&mut self) -> Result<Option<Item>, EventTooLong> {
        let too_long = EventTooLong { limit: self.limit };
        if self.failed {
            return Err(too_long);
        }
        if self.start == Start::Expected && !self.pass_byte_order_mark() {
            return Ok(None);
        }
        loop {
            if self.after_return && !self.buffer.is_empty() {
                self.after_return = false;
                if self.buffer[0] == b'\n' {
                    self.buffer.advance(1);
                }
            }
            let end = self.buffer[self.scanned..].iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let length = end.map_or(self.buffer.len(), |at| self.scanned + at);
            if length > self.limit {
                self.failed = true;
                return Err(too_long);
            }
            self.scanned = length;
            if end.is_none() {
                return Ok(None);
            }
            let line = self.buffer.split_to(length);
            self.after_return = self.buffer.get_u8() == b'\r';
            self.scanned = 0;
            let item = self.line(&String::from_utf8_lossy(&line));
            if self.data.len() > self.limit {
                self.failed = true;
                return Err(too_long);
            }
            if item.is_some() {
                return Ok(item);
            }
        }
    }

    /// False while what came could still become the mark.
    fn pass_byte_order_mark(&mut self) -> bool {
        let seen = self.buffer.len().min(BYTE_ORDER_MARK.len());
        if self.buffer[..seen] == BYTE_ORDER_MARK[..seen] {
            if seen < BYTE_ORDER_MARK.len() {
                return false;
            }
            self.buffer.advance(seen);
        }
        self.start = Start::Passed;
        true
    }

    fn line(&mut self, line: &str) -> Option<Item> {
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" => return Some(Item::Comment),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "event" => value.clone_into(&mut self.kind),
            "id" if !value.contains('\0') => value.clone_into(&mut self.id),
            "retry" if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => {
                return Some(Item::Retry(value.parse().unwrap_or(u64::MAX)));
            }
            _ => {}
        }
        None
    }

    fn dispatch(&mut self) -> Option<Item> {
        let kind = std::mem::take(&mut self.kind);
        if self.data.is_empty() {
            return None;
        }
        let mut data = std::mem::take(&mut self.data);
        data.pop();
        let kind = if kind.is_empty() { "message".to_owned() } else { kind };
        Some(Item::Event(Event { kind, id: self.id.clone(), data }))
    }
}

impl fmt::Display for EventTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a server-sent event is larger than {} bytes", self.limit)
    }
}

impl std::error::Error for EventTooLong {}
