//! Streams, of JSON lines or of server-sent events, that the reader leaves after tens of milliseconds. The edge is the
//! moment at which it leaves.
//!
//! Events are resumed as EventSource does it: the last event's id goes into `Last-Event-ID`.

use anyhow::{Context as _, Result, bail, ensure};
use bytes::BytesMut;
use http::Request;
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout_at};

use crate::client::{Client, expect};
use crate::payload::{self, Line};
use crate::position::Position;

/// How long the reader stays, in tenths of a millisecond.
const STAY: std::ops::Range<u64> = 500..800;

/// How a stream is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Lines,
    Events,
}

pub(super) async fn ask(client: &mut Client, format: Format, position: &mut Position) -> Result<()> {
    client.hang_up();
    let leave = Instant::now() + position.wait(STAY);
    position.announce(leave);
    // Leaving in the middle of a line is what a broken network does; that line was not seen.
    if let Ok(broken) = timeout_at(leave, read(client, format, position)).await {
        return broken;
    }
    position.aim.ended(leave, Instant::now());
    Ok(())
}

async fn read(client: &mut Client, format: Format, position: &mut Position) -> Result<()> {
    let request = match (format, &position.cursor) {
        (Format::Lines, _) => Request::get(format!("/api/stream?{}", position.query())),
        // EventSource keeps asking the address it was made with, and says in a field where it is.
        (Format::Events, cursor) => {
            let request = Request::get(format!("/api/stream?channel={}&last_id=0", position.channel));
            let request = request.header("accept", "text/event-stream");
            cursor.iter().fold(request, |request, cursor| request.header("last-event-id", cursor))
        }
    };
    let response = client.send(request, "").await?;
    expect(response.status(), response.headers(), 200)?;
    let (mut body, mut unread) = (response.into_body(), BytesMut::new());
    let end: &[u8] = if format == Format::Lines { b"\n" } else { b"\n\n" };
    loop {
        let frame = body.frame().await.context("the stream ended though its channel has not")??;
        unread.extend_from_slice(&frame.into_data().ok().context("a stream has trailers")?);
        let before = position.seen.len();
        while let Some(at) = memchr::memmem::find(&unread, end) {
            let piece = unread.split_to(at + end.len());
            let text = std::str::from_utf8(&piece).context("a stream is not text")?;
            match format {
                Format::Lines => take(payload::line(text)?, position)?,
                Format::Events => Event::parse(text).take(position)?,
            }
            // hyper gives a chunk in one piece or in several, but no piece of two chunks.
            ensure!(format == Format::Events || unread.is_empty(), "a chunk is not one line: {text:?}");
        }
        ensure!(position.seen.len() <= before + 1, "two messages in a chunk");
    }
}

fn take(line: Line, position: &mut Position) -> Result<()> {
    match line {
        Line::Position { cursor } => position.cursor = Some(cursor),
        Line::Message(message) => {
            position.saw(Some(message.seq), message.token);
            position.cursor = message.cursor;
        }
        Line::Announced { .. } => bail!("a stream does not push"),
    }
    Ok(())
}

/// One event's fields (WHATWG HTML, section 9.2.6).
struct Event<'a> {
    /// `message` if the field is absent.
    name: &'a str,
    id: Option<&'a str>,
    data: Option<&'a str>,
}

impl<'a> Event<'a> {
    fn parse(block: &'a str) -> Self {
        let mut event = Event { name: "message", id: None, data: None };
        for line in block.lines() {
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => event.name = value,
                "id" => event.id = Some(value),
                "data" => event.data = Some(value),
                _ => {}
            }
        }
        event
    }

    fn take(self, position: &mut Position) -> Result<()> {
        let Some(data) = self.data else { return Ok(()) };
        let line = payload::line(data)?;
        if let Line::Message(message) = &line {
            ensure!(self.id == message.cursor.as_deref(), "the event's id is not its cursor: {data}");
        }
        let is_message = matches!(line, Line::Message(_));
        ensure!(is_message == (self.name == "message"), "`onmessage` is for messages alone: {data}");
        let before = position.cursor.clone();
        take(line, position)?;
        position.cursor = self.id.map(str::to_owned).or(before);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_read_as_a_browser_reads_it() {
        let event = Event::parse("retry: 3000\nid: c\ndata: {}");
        assert_eq!((event.name, event.id, event.data), ("message", Some("c"), Some("{}")));
        let named = Event::parse("event:reset\ndata:x");
        assert_eq!((named.name, named.id, named.data), ("reset", None, Some("x")));
        assert_eq!(Event::parse(": heartbeat").data, None);
    }
}
