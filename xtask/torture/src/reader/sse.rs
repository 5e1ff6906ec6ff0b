//! Server-sent events, resumed as EventSource resumes: the last event's id goes into `Last-Event-ID`. The edge is the
//! moment the reader leaves.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail, ensure};
use tokio::time::{Instant, timeout_at};

use crate::http1::Connection;
use crate::line::{Line, parse};
use crate::place::Place;

/// How long the reader stays, in tenths of a millisecond.
const STAY: std::ops::Range<u64> = 500..800;

pub(crate) struct Sse {
    address: SocketAddr,
}

impl Sse {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address }
    }

    pub(crate) async fn ask(&mut self, place: &mut Place) -> Result<()> {
        let leave = Instant::now() + place.wait(STAY);
        place.announce(leave);
        let mut connection = Connection::open(self.address).await?;
        // EventSource keeps asking the address it was made with, and says where it stands in a header.
        let target = format!("/api/stream?channel={}&last_id=0", place.channel);
        let cursor = place.cursor.clone();
        let mut lines = vec![("Accept", "text/event-stream")];
        lines.extend(cursor.iter().map(|cursor| ("Last-Event-ID", cursor.as_str())));
        connection.ask("GET", &target, &lines, "").await?;
        if let Ok(broken) = timeout_at(leave, follow(&mut connection, place)).await {
            return broken;
        }
        place.aim.ended(leave, Instant::now());
        Ok(())
    }
}

async fn follow(connection: &mut Connection, place: &mut Place) -> Result<()> {
    connection.head().await?.expect(200)?;
    loop {
        let chunk = connection.chunk().await?.context("the stream ended though its channel has not")?;
        let text = std::str::from_utf8(&chunk).context("a chunk is not text")?;
        let comment = text.starts_with(':') && !text.trim_end_matches('\n').contains('\n');
        ensure!(text.ends_with("\n\n") != comment, "a chunk does not end with its event: {text:?}");
        let events: Vec<Event<'_>> = text.split_terminator("\n\n").map(Event::parse).collect();
        let messages = events.iter().filter(|event| event.name == "message").count();
        ensure!(messages <= 1, "two messages in a chunk: {text:?}");
        for event in events {
            event.take(place)?;
        }
    }
}

/// One event's fields (WHATWG HTML, section 9.2.6).
struct Event<'a> {
    /// `message` if the field is absent; empty if there is nothing to dispatch.
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
        if event.data.is_none() {
            event.name = "";
        }
        event
    }

    fn take(self, place: &mut Place) -> Result<()> {
        let Some(data) = self.data else { return Ok(()) };
        match parse(data)? {
            Line::Message(message) => {
                ensure!(self.name == "message", "`onmessage` would not fire for {data}");
                ensure!(self.id == message.cursor.as_deref(), "the event's id is not its cursor: {data}");
                place.saw(message.seq, message.token);
            }
            Line::Standing { .. } => ensure!(self.name != "message", "`onmessage` would fire for {data}"),
            Line::Announced { .. } => bail!("a stream does not push: {data}"),
        }
        if let Some(id) = self.id {
            place.cursor = Some(id.to_owned());
        }
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
        assert_eq!(Event::parse(": heartbeat").name, "");
    }
}
