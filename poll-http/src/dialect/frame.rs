//! What one chunk of a stream holds: a JSON line, or a server-sent event (WHATWG HTML §9.2).
//!
//! Framing only: a line is one JSON object that a dialect wrote. Each function gives one whole frame, because
//! a frame is a chunk and a chunk is a message.

use poll_core::Cursor;

/// How a stream is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Framing {
    /// `application/x-ndjson`.
    Lines,
    /// `text/event-stream`.
    Events,
}

/// How soon an EventSource reconnects by itself, in milliseconds.
const RETRY: &str = "retry: 2000\n";

/// The comment that keeps a silent event stream alive. No blank line behind it: some parsers make an empty message of a
/// comment that one follows.
pub(crate) const COMMENT: &[u8] = b": heartbeat\n";

impl Framing {
    /// Writes what stands before a message's JSON.
    pub(crate) fn open_message(self, out: &mut Vec<u8>, cursor: Cursor) {
        if self == Self::Events {
            // No `event` field: a message is what `onmessage` is for.
            out.extend_from_slice(b"id: ");
            out.extend_from_slice(&cursor.to_text());
            out.extend_from_slice(b"\ndata: ");
        }
    }

    /// Writes what stands behind a frame's JSON.
    pub(crate) fn close(self, out: &mut Vec<u8>) {
        out.extend_from_slice(if self == Self::Events { b"\n\n" } else { b"\n" });
    }

    /// A frame that is no message. In an event stream its type is the event's name; where it says how far the
    /// reader has come, its id is the position, so that a reader who leaves now comes back here.
    pub(crate) fn notice(self, kind: &str, cursor: Option<Cursor>, json: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(json.len() + 96);
        if self == Self::Events {
            if kind == "connected" {
                out.extend_from_slice(RETRY.as_bytes());
            }
            out.extend_from_slice(format!("event: {kind}\n").as_bytes());
            if let Some(cursor) = cursor {
                out.extend_from_slice(format!("id: {cursor}\n").as_bytes());
            }
            out.extend_from_slice(b"data: ");
        }
        out.extend_from_slice(json);
        self.close(&mut out);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_a_line_or_an_event() {
        assert_eq!(Framing::Lines.notice("closed", None, b"{}"), b"{}\n");
        let connected = Framing::Events.notice("connected", Some(Cursor::ZERO), b"{}");
        let expected = format!("retry: 2000\nevent: connected\nid: {}\ndata: {{}}\n\n", Cursor::ZERO);
        assert_eq!(connected, expected.as_bytes());
        let mut message = Vec::new();
        Framing::Events.open_message(&mut message, Cursor::ZERO);
        assert_eq!(message, format!("id: {}\ndata: ", Cursor::ZERO).as_bytes());
    }
}
