//! The chunked stream: one open answer with a JSON line for each message.
//!
//! A stream silent for two and a half heartbeat intervals is reopened at the cursor.

use http::header::{ACCEPT, HeaderValue};

use crate::channels::Channels;
use crate::client::Client;
use crate::error::Error;
use crate::exchange::{Answer, Call};
use crate::message::{Event, StartAt};
use crate::ndjson::Lines;
use crate::reader::{Lookup, Reader};
use crate::reading::Pattern;
use crate::source::Out;
use crate::subscription::Subscription;
use crate::wire::Line;

/// Subscribes by a stream of JSON lines.
///
/// ```no_run
/// # async fn example(client: poll_client::Client, channel: poll_client::ChannelName) -> Result<(), poll_client::Error> {
/// use futures_util::TryStreamExt;
/// use poll_client::ChunkedStream;
///
/// let mut events = ChunkedStream::new(&client, &channel).subscribe();
/// while let Some(event) = events.try_next().await? {
///     println!("{event:?}");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct ChunkedStream {
    client: Client,
    channels: Channels,
    start: StartAt,
}

impl ChunkedStream {
    /// A stream of the channels from now on.
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
        Subscription::to(&self.client, &self.channels, &self.start, Streaming { open: None })
    }
}

struct Streaming {
    open: Option<Open>,
}

struct Open {
    answer: Answer,
    lines: Lines,
}

impl Streaming {
    async fn open(reader: &mut Reader, out: &mut Out<Event>) -> Result<Open, Error> {
        reader.find_start(Lookup::Streams, out).await?;
        let settings = &reader.client.inner.settings;
        let call = Call::get(reader.target("/api/stream"), settings.answer_within)
            .header(ACCEPT, HeaderValue::from_static("application/x-ndjson"));
        let answer = reader.client.inner.ask(&call, &reader.stats, &[200]).await?;
        Ok(Open { answer, lines: Lines::new(settings.max_answer_bytes) })
    }
}

impl Pattern for Streaming {
    async fn step(&mut self, reader: &mut Reader, out: &mut Out<Event>) -> Result<(), Error> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => Self::open(reader, out).await?,
        };
        let Some(piece) = open.answer.piece(reader.silence()).await? else { return Err(Error::Cut) };
        open.lines.feed(&piece);
        while let Some(line) = open.lines.next_line()? {
            reader.line(&Line::read(&line)?, out)?;
        }
        self.open = Some(open);
        Ok(())
    }

    fn hang_up(&mut self) {
        self.open = None;
    }
}
