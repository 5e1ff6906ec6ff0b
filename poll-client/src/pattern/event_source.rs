//! Server-sent events (WHATWG HTML, section 9.2). Unlike a browser's `EventSource`, it reports missed messages and gives
//! up a silent connection.
//!
//! Resumes by `Last-Event-ID`. As in a browser, 204 ends it.

use std::borrow::Cow;
use std::time::Duration;

use http::header::{ACCEPT, HeaderName, HeaderValue};

use crate::channels::Channels;
use crate::client::{Client, header_value};
use crate::error::Error;
use crate::exchange::{Answer, Call};
use crate::message::{Event, StartAt};
use crate::reader::{Lookup, Reader};
use crate::reading::Pattern;
use crate::source::Out;
use crate::sse::{self, Item, Parser};
use crate::subscription::Subscription;
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
    channels: Channels,
    start: StartAt,
}

impl EventSource {
    /// Server-sent events of the channels from now on.
    #[must_use]
    pub fn new(client: &Client, channels: impl Into<Channels>) -> Self {
        Self { client: client.clone(), channels: channels.into(), start: StartAt::default() }
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
        Subscription::to(&self.client, &self.channels, &self.start, Events { open: None })
    }
}

struct Events {
    open: Option<Open>,
}

struct Open {
    answer: Answer,
    parser: Parser,
}

impl Events {
    /// `None` when the channel ended.
    async fn open(reader: &mut Reader, out: &mut Out<Event>) -> Result<Option<Open>, Error> {
        reader.find_start(Lookup::Streams, out).await?;
        let settings = &reader.client.inner.settings;
        let within = settings.answer_within;
        let call = match reader.token().filter(|_| !reader.is_at_the_oldest()) {
            Some(token) => {
                let value = header_value("cursor", &token)?;
                let call = Call::get(reader.channels("/api/stream"), within);
                call.header(HeaderName::from_static("last-event-id"), value)
            }
            None => Call::get(reader.target("/api/stream"), within),
        };
        let call = call.header(ACCEPT, HeaderValue::from_static("text/event-stream"));
        let answer = reader.client.inner.ask(&call, &reader.stats, &[200, 204]).await?;
        let parser = Parser::new(settings.max_answer_bytes);
        Ok((answer.status == 200).then_some(Open { answer, parser }))
    }

    fn event(event: &sse::Event, reader: &mut Reader, out: &mut Out<Event>) -> Result<(), Error> {
        let mut line = Line::read(event.data.as_bytes())?;
        if line.kind.is_empty() {
            line.kind = Cow::Borrowed(&event.kind);
        }
        if line.cursor.is_none() {
            line.cursor = event.id.parse().ok();
        }
        reader.line(&line, out)
    }
}

impl Pattern for Events {
    async fn step(&mut self, reader: &mut Reader, out: &mut Out<Event>) -> Result<(), Error> {
        let open = match self.open.take() {
            Some(open) => Some(open),
            None => Self::open(reader, out).await?,
        };
        let Some(mut open) = open else {
            out.close();
            return Ok(());
        };
        let Some(piece) = open.answer.piece(reader.silence()).await? else { return Err(Error::Cut) };
        open.parser.feed(&piece);
        while let Some(item) = open.parser.next_item()? {
            match item {
                Item::Event(event) => Self::event(&event, reader, out)?,
                Item::Comment => out.backoff.reset(),
                Item::Retry(millis) => out.backoff.raise_base(Duration::from_millis(millis)),
            }
        }
        self.open = Some(open);
        Ok(())
    }

    fn hang_up(&mut self) {
        self.open = None;
    }
}
