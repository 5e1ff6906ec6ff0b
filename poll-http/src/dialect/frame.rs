//! The framing of streams: JSON lines, or server-sent events (WHATWG HTML, section 9.2).
//!
//! One message is one frame is one chunk. What a frame says is the dialect's.

use std::fmt::Display;

/// How a stream is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Framing {
    /// `application/x-ndjson`.
    Lines,
    /// `text/event-stream`.
    Events,
}

/// The EventSource's reconnection time in milliseconds.
const RETRY: &str = "retry: 2000\n";

/// The comment that keeps an idle event stream alive. Without a blank line, which makes some parsers dispatch an empty
/// message.
pub(crate) const COMMENT: &[u8] = b": heartbeat\n";

impl Framing {
    /// Begins a message's frame; `token` is where the reader resumes.
    pub(crate) fn open_message(self, out: &mut Vec<u8>, token: &[u8]) {
        if self == Self::Events {
            // Without an `event` field it goes to `onmessage`.
            out.extend_from_slice(b"id: ");
            out.extend_from_slice(token);
            out.extend_from_slice(b"\ndata: ");
        }
    }

    /// Ends a frame.
    pub(crate) fn close(self, out: &mut Vec<u8>) {
        out.extend_from_slice(if self == Self::Events { b"\n\n" } else { b"\n" });
    }

    /// A frame that is not a message: in an event stream, an event named `kind` whose id, if any, is where the reader
    /// resumes.
    pub(crate) fn notice(self, kind: &str, cursor: Option<&dyn Display>, json: &[u8]) -> Vec<u8> {
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
    use poll_core::Cursor;

    use super::*;

    #[test]
    fn a_frame_is_a_line_or_an_event() {
        assert_eq!(Framing::Lines.notice("closed", None, b"{}"), b"{}\n");
        let connected = Framing::Events.notice("connected", Some(&Cursor::ZERO), b"{}");
        let expected = format!("retry: 2000\nevent: connected\nid: {}\ndata: {{}}\n\n", Cursor::ZERO);
        assert_eq!(connected, expected.as_bytes());
        let mut message = Vec::new();
        Framing::Events.open_message(&mut message, &Cursor::ZERO.to_text());
        assert_eq!(message, format!("id: {}\ndata: ", Cursor::ZERO).as_bytes());
    }
}
