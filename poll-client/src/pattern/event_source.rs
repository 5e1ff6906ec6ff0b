//! Server-sent events (WHATWG HTML, section 9.2). Unlike a browser's `EventSource`, it reports missed messages and gives
//! up a silent connection.
//!
//! Resumes by `Last-Event-ID`. As in a browser, 204 ends it.

use std::borrow::Cow;
use std::time::Duration;

use http::header::{ACCEPT, HeaderName, HeaderValue};
use poll_core::ChannelName;

use crate::client::{Client, header_value};
use crate::error::Error;
use crate::exchange::{Answer, Call};
use crate::message::{Event, StartAt};
use crate::reader::{Reader, encode};
use crate::sse::{self, Item, Parser};
use crate::subscription::{Out, Source, Subscription};
use crate::wire::Line;

/// Subscribes by server-sent events.
///
/// ```no_run
/// # async fn example(client: poll_client::Client, channel: poll_client::ChannelName) -> Result<(), poll_client::Error> {
/// use futures_util::TryStreamExt;
/// use poll_client::EventSource;
///
/// let mut events = EventSource::new(&client, &channel).subscribe();
/// while let Some(event) = events.try_next().await? {
///     println!("{event:?}");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct EventSource {
    client: Client,
    channel: ChannelName,
    start: StartAt,
}

impl EventSource {
    /// Server-sent events of the channel from now on.
    #[must_use]
    pub fn new(client: &Client, channel: &ChannelName) -> Self {
        Self { client: client.clone(), channel: channel.clone(), start: StartAt::default() }
    }

    /// Where to start.
    #[must_use]
    pub fn start_at(mut self, start: StartAt) -> Self {
        self.start = start;
        self
    }

    /// Begins when the stream is first polled.
    #[must_use]
    pub fn subscribe(self) -> Subscription {
        let reader = Reader::new(&self.client, &self.channel, self.start);
        let stats = reader.stats.clone();
        Subscription::new(&self.client, stats, Events { reader, open: None })
    }
}

struct Events {
    reader: Reader,
    open: Option<Open>,
}

struct Open {
    answer: Answer,
    parser: Parser,
}

impl Events {
    /// `None` when the channel ended.
    async fn open(&self) -> Result<Option<Open>, Error> {
        let settings = &self.reader.client.inner.settings;
        let within = settings.answer_within;
        let call = match self.reader.tracker.position() {
            Some(cursor) => {
                let target = format!("/api/stream?channel={}", encode(self.reader.channel.as_str()));
                let value = header_value("cursor", &cursor.to_string())?;
                Call::get(target, within).header(HeaderName::from_static("last-event-id"), value)
            }
            None => Call::get(self.reader.target("/api/stream"), within),
        };
        let call = call.header(ACCEPT, HeaderValue::from_static("text/event-stream"));
        let answer = self.reader.client.inner.ask(&call, &self.reader.stats, &[200, 204]).await?;
        let parser = Parser::new(settings.max_answer_bytes);
        Ok((answer.status == 200).then_some(Open { answer, parser }))
    }

    fn event(&mut self, event: &sse::Event, out: &mut Out<Event>) -> Result<(), Error> {
        let mut line = Line::read(event.data.as_bytes())?;
        if line.kind.is_empty() {
            line.kind = Cow::Borrowed(&event.kind);
        }
        if line.cursor.is_none() {
            line.cursor = event.id.parse().ok();
        }
        self.reader.line(&line, out)
    }
}

impl Source for Events {
    type Item = Event;

    async fn step(&mut self, out: &mut Out<Event>) -> Result<(), Error> {
        let open = match self.open.take() {
            Some(open) => Some(open),
            None => self.open().await?,
        };
        let Some(mut open) = open else {
            out.close();
            return Ok(());
        };
        let Some(piece) = open.answer.piece(self.reader.silence()).await? else { return Err(Error::Cut) };
        open.parser.feed(&piece);
        while let Some(item) = open.parser.next_item()? {
            match item {
                Item::Event(event) => self.event(&event, out)?,
                Item::Comment => out.backoff.reset(),
                Item::Retry(millis) => out.backoff.raise_base(Duration::from_millis(millis)),
            }
        }
        self.open = Some(open);
        Ok(())
    }
}
