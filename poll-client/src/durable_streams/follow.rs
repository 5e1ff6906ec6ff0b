//! Following a stream: what is there, then what comes, until it is closed.
//!
//! First it is caught up with by plain reads, which caches may answer; then by long poll or server-sent events. After a
//! failure reading goes on at the end of the last chunk.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, Bytes, BytesMut};
use http::Method;
use http::header::{ACCEPT, HeaderValue};
use serde::Deserialize;
use tokio::time::Instant;

use super::answer::{Answered, CURSOR, Kind, Reach, SSE_DATA_ENCODING, text};
use super::offset::{Offset, OffsetError};
use super::read::Chunk;
use super::stream::DurableStream;
use crate::error::Error;
use crate::exchange::{Answer, Call, encode};
use crate::pattern::READ_SLACK;
use crate::source::{Out, Source};
use crate::sse::{Event, Item, Parser};
use crate::subscription::Subscription;
use crate::wire;

/// No server waits longer in a long poll.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Live reads that end without content sooner than this are a fault on the way, not the end of a wait.
const EARLY: Duration = Duration::from_millis(250);

/// How what comes is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Live {
    /// A request for each chunk.
    LongPoll,
    /// One response with many chunks, until the server ends it, usually after a minute.
    ServerSentEvents,
    /// Server-sent events for text and JSON, long polls for bytes, which events carry in a third more.
    ByContentType,
}

impl DurableStream {
    /// Follows it from this offset until it is closed. The last chunk says so.
    ///
    /// A chunk without content says that the end is reached; the first such one is returned, and none that says nothing
    /// new.
    #[must_use]
    pub fn follow(&self, from: &Offset, live: Live) -> Subscription<Chunk> {
        // From now on there is nothing to catch up with. Events need the stream's type, which a plain read tells.
        let phase = match live {
            Live::LongPoll if *from == Offset::NOW => Phase::Live,
            _ => Phase::CatchingUp,
        };
        let source = Following {
            stream: self.clone(),
            next: from.clone(),
            live,
            kind: Kind::Bytes,
            phase,
            cursor: None,
            told: None,
        };
        Subscription::new(&self.client, std::sync::Arc::default(), source)
    }
}

struct Following {
    stream: DurableStream,
    next: Offset,
    live: Live,
    /// Known once it is caught up with.
    kind: Kind,
    phase: Phase,
    /// For the caches on the way.
    cursor: Option<String>,
    /// What the last chunk said of what follows.
    told: Option<Reach>,
}

enum Phase {
    CatchingUp,
    Live,
    Open(Box<Open>),
}

/// A response of server-sent events.
struct Open {
    answer: Answer,
    parser: Parser,
    encoding: Encoding,
    /// The content since the last control event; servers may send several data events before one.
    data: BytesMut,
    since: Instant,
    yielded: Yielded,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Plain,
    Base64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Yielded {
    Nothing,
    Content,
}

/// A control event.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Control {
    stream_next_offset: String,
    #[serde(default)]
    stream_cursor: Option<String>,
    #[serde(default)]
    up_to_date: bool,
    #[serde(default)]
    stream_closed: bool,
    /// Of a poll server.
    #[serde(default)]
    missed: u64,
}

impl Following {
    async fn catch_up(&mut self, out: &mut Out<Chunk>) -> Result<(), Error> {
        let mut call = self.stream.call(Method::GET);
        call.target = self.stream.target(&self.next, "");
        let answered = self.ask(&call, out).await?;
        self.kind = answered.kind();
        let chunk = Chunk::of(answered)?;
        if chunk.reach == Reach::UpToDate {
            self.phase = Phase::Live;
        }
        self.take(chunk, out);
        Ok(())
    }

    async fn long_poll(&mut self, out: &mut Out<Chunk>) -> Result<(), Error> {
        let mut call = self.live_call("long-poll");
        call.head_within = LONGEST_WAIT + READ_SLACK;
        let asked = Instant::now();
        let answered = self.ask(&call, out).await?;
        self.cursor = text(&answered.headers, CURSOR).map(str::to_owned);
        let chunk = Chunk::of(answered)?;
        let nothing = chunk.next == self.next && chunk.reach != Reach::Closed;
        if nothing && asked.elapsed() < EARLY {
            // A server that drains, or a cache in a loop.
            return Err(Error::Draining);
        }
        self.take(chunk, out);
        Ok(())
    }

    async fn ask(&self, call: &Call, out: &Out<Chunk>) -> Result<Answered, Error> {
        let client = &self.stream.client;
        Answered::read(client.inner.send(call, &out.stats).await?, client).await?.successful()
    }

    fn live_call(&self, live: &str) -> Call {
        let cursor = self.cursor.as_deref().map(|cursor| format!("&cursor={}", encode(cursor)));
        let mut call = self.stream.call(Method::GET);
        call.target = self.stream.target(&self.next, &format!("&live={live}{}", cursor.unwrap_or_default()));
        call
    }

    async fn open(&self, out: &Out<Chunk>) -> Result<Open, Error> {
        let client = &self.stream.client.inner;
        let call = self.live_call("sse").header(ACCEPT, HeaderValue::from_static("text/event-stream"));
        let answer = client.ask(&call, &out.stats, &[200]).await?;
        let encoding = match text(&answer.headers, SSE_DATA_ENCODING) {
            None => Encoding::Plain,
            Some("base64") => Encoding::Base64,
            Some(other) => return Err(Error::Protocol(format!("unknown encoding {other}"))),
        };
        Ok(Open {
            answer,
            parser: Parser::new(client.settings.max_answer_bytes),
            encoding,
            data: BytesMut::new(),
            since: Instant::now(),
            yielded: Yielded::Nothing,
        })
    }

    /// Reads a piece of the open response; without one it is opened again later.
    async fn read(&mut self, mut open: Box<Open>, out: &mut Out<Chunk>) -> Result<(), Error> {
        let Some(piece) = open.answer.piece(self.stream.client.inner.settings.silence()).await? else {
            let is_early = open.yielded == Yielded::Nothing && open.since.elapsed() < EARLY;
            return if is_early { Err(Error::Cut) } else { Ok(()) };
        };
        open.parser.feed(&piece);
        while let Some(item) = open.parser.next_item()? {
            match item {
                Item::Event(event) => self.event(&event, &mut open, out)?,
                Item::Comment => out.backoff.reset(),
                Item::Retry(millis) => out.backoff.raise_base(Duration::from_millis(millis)),
            }
        }
        self.phase = Phase::Open(open);
        Ok(())
    }

    fn event(&mut self, event: &Event, open: &mut Open, out: &mut Out<Chunk>) -> Result<(), Error> {
        match (event.kind.as_str(), open.encoding) {
            ("data", Encoding::Plain) if self.kind == Kind::Json => join(&mut open.data, &event.data)?,
            ("data", Encoding::Plain) => open.data.extend_from_slice(event.data.as_bytes()),
            ("data", Encoding::Base64) => {
                let text: String = event.data.split_ascii_whitespace().collect();
                let bytes = STANDARD.decode(text).map_err(|error| Error::Protocol(error.to_string()))?;
                open.data.extend_from_slice(&bytes);
            }
            ("control", _) => {
                let control: Control = wire::read(event.data.as_bytes())?;
                let data = std::mem::take(&mut open.data);
                if !data.is_empty() {
                    open.yielded = Yielded::Content;
                }
                self.control(control, data.freeze(), out)?;
            }
            // Of a newer server.
            _ => {}
        }
        Ok(())
    }

    fn control(&mut self, control: Control, data: Bytes, out: &mut Out<Chunk>) -> Result<(), Error> {
        let next = control.stream_next_offset.parse();
        let next = next.map_err(|error: OffsetError| Error::Protocol(error.to_string()))?;
        let reach = match (control.stream_closed, control.up_to_date) {
            (true, _) => Reach::Closed,
            (false, true) => Reach::UpToDate,
            (false, false) => Reach::Further,
        };
        self.cursor = control.stream_cursor;
        self.take(Chunk { data, next, reach, missed: control.missed }, out);
        Ok(())
    }

    /// Goes on after the chunk, and returns it if it says something new.
    fn take(&mut self, chunk: Chunk, out: &mut Out<Chunk>) {
        out.backoff.reset();
        self.next = chunk.next.clone();
        let is_news = !chunk.data.is_empty() || chunk.missed > 0 || self.told != Some(chunk.reach);
        out.stats.missed.add(chunk.missed);
        let is_end = chunk.reach == Reach::Closed;
        self.told = Some(chunk.reach);
        if is_news {
            out.queue.push_back(chunk);
        } else {
            out.stats.empty_answers.add(1);
        }
        if is_end {
            out.end();
        }
    }
}

/// Adds the values of a JSON array to those of another.
fn join(whole: &mut BytesMut, array: &str) -> Result<(), Error> {
    let inner = array.trim_ascii().strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let inner =
        inner.ok_or_else(|| Error::Protocol("an event of a JSON stream is not an array".to_owned()))?;
    match (inner.trim_ascii(), whole.last()) {
        ("", _) => return Ok(()),
        (_, None) => whole.put_u8(b'['),
        (_, Some(_)) => {
            whole.truncate(whole.len() - 1);
            whole.put_u8(b',');
        }
    }
    whole.extend_from_slice(inner.as_bytes());
    whole.put_u8(b']');
    Ok(())
}

impl Source for Following {
    type Item = Chunk;

    async fn step(&mut self, out: &mut Out<Chunk>) -> Result<(), Error> {
        let events = match self.live {
            Live::LongPoll => false,
            Live::ServerSentEvents => true,
            Live::ByContentType => self.kind != Kind::Bytes,
        };
        match std::mem::replace(&mut self.phase, Phase::Live) {
            Phase::CatchingUp => {
                self.phase = Phase::CatchingUp;
                self.catch_up(out).await
            }
            Phase::Live if events => {
                self.phase = Phase::Open(Box::new(self.open(out).await?));
                Ok(())
            }
            Phase::Live => self.long_poll(out).await,
            Phase::Open(open) => self.read(open, out).await,
        }
    }
}
