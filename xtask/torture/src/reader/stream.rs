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
use crate::payload::{self, Line, Message};
use crate::position::{Position, Way};

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
    expect(response.status(), 200)?;
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
                Format::Events => take_event(text, position)?,
            }
            // hyper gives a chunk in one piece or in several, but no piece of two chunks.
            let is_exact = position.way == Way::Relayed || format == Format::Events || unread.is_empty();
            ensure!(is_exact, "a chunk is not one line: {text:?}");
        }
        let is_single = position.way == Way::Relayed || position.seen.len() <= before + 1;
        ensure!(is_single, "two messages in a chunk");
    }
}

fn take(line: Line, position: &mut Position) -> Result<()> {
    match line {
        Line::Position { cursor } => position.cursor = Some(cursor),
        Line::Message(Message { seq, token, cursor }) => {
            position.saw(seq, token, cursor.as_deref().unwrap_or_default())?;
            position.cursor = cursor;
        }
        Line::Told { notice, cursor } => {
            position.told(notice)?;
            position.cursor = Some(cursor);
        }
        Line::Announced { .. } => bail!("a stream does not push"),
    }
    Ok(())
}

/// Takes an event as a browser does (WHATWG HTML, section 9.2.6), in the form in which the server writes it.
fn take_event(event: &str, position: &mut Position) -> Result<()> {
    let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let (id, Some(data)) = (field("id"), field("data")) else { return Ok(()) };
    let line = payload::line(data)?;
    let is_message = matches!(line, Line::Message(_));
    ensure!(is_message == field("event").is_none(), "`onmessage` is for messages alone: {event}");
    if let Line::Message(message) = &line {
        ensure!(id == message.cursor.as_deref(), "the event's id is not its cursor: {event}");
    }
    let before = position.cursor.clone();
    take(line, position)?;
    position.cursor = id.map(str::to_owned).or(before);
    Ok(())
}
