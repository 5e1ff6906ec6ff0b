//! A parser of server-sent events (WHATWG HTML, sections 9.2.5 and 9.2.6) in a body that arrives in pieces.
//!
//! Our own, because the format is small and most parsers get wrong what matters here: line ends, byte order marks and
//! UTF-8 split between two pieces, and a limit on the size of an event. Reconnecting is the caller's.

use std::fmt;

use bytes::{Buf, BytesMut};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Takes the pieces of a body and returns its items.
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
    /// How many bytes of the buffer are known to have no line end.
    scanned: usize,
    limit: usize,
    start: Start,
    /// The last line ended with a carriage return, so a line feed that follows belongs to it.
    after_return: bool,
    data: String,
    kind: String,
    /// Persists: an event without an `id` field has the previous one's.
    id: String,
    failed: bool,
}

/// Whether a byte order mark may still follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    Expected,
    Passed,
}

/// An item of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A dispatched event.
    Event(Event),
    /// A comment line, which servers send as a heartbeat.
    Comment,
    /// The reconnection time in milliseconds.
    Retry(u64),
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The `event` field, or `message`.
    pub kind: String,
    /// The last event ID so far; may be empty.
    pub id: String,
    /// The `data` fields, joined by line feeds.
    pub data: String,
}

/// A line or an event is too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventTooLong {
    /// The limit in bytes, for a line and for an event's data.
    pub limit: usize,
}

impl Parser {
    /// Accepts lines and event data of at most `limit` bytes each.
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

    /// Adds the next piece of the body. At most the limit and one piece are buffered if [`Self::next_item`] is called
    /// until it returns `None` before each piece.
    pub fn feed(&mut self, piece: &[u8]) {
        self.buffer.extend_from_slice(piece);
    }

    /// The next item, or `None` until more is fed. An event is returned only after its blank line.
    ///
    /// # Errors
    /// If a line or an event's data exceeds the limit, and on every later call.
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

    /// False while the input so far may be the beginning of a mark.
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
