//! The chunked stream: one open answer with a JSON line for each message.
//!
//! A stream silent for two and a half heartbeat intervals is reopened at the cursor.

use http::header::{ACCEPT, HeaderValue};
use poll_core::ChannelName;

use crate::client::Client;
use crate::error::Error;
use crate::exchange::{Answer, Call};
use crate::message::{Event, StartAt};
use crate::ndjson::Lines;
use crate::reader::Reader;
use crate::subscription::{Out, Source, Subscription};
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
    channel: ChannelName,
    start: StartAt,
}

impl ChunkedStream {
    /// A stream of the channel from now on.
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
        Subscription::new(&self.client, stats, Streaming { reader, open: None })
    }
}

struct Streaming {
    reader: Reader,
    open: Option<Open>,
}

struct Open {
    answer: Answer,
    lines: Lines,
}

impl Streaming {
    async fn open(&self) -> Result<Open, Error> {
        let settings = &self.reader.client.inner.settings;
        let call = Call::get(self.reader.target("/api/stream"), settings.answer_within)
            .header(ACCEPT, HeaderValue::from_static("application/x-ndjson"));
        let answer = self.reader.client.inner.ask(&call, &self.reader.stats, &[200]).await?;
        Ok(Open { answer, lines: Lines::new(settings.max_answer_bytes) })
    }
}

impl Source for Streaming {
    type Item = Event;

    async fn step(&mut self, out: &mut Out<Event>) -> Result<(), Error> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.open().await?,
        };
        let Some(piece) = open.answer.piece(self.reader.silence()).await? else { return Err(Error::Cut) };
        open.lines.feed(&piece);
        while let Some(line) = open.lines.next_line()? {
            self.reader.line(&Line::read(&line)?, out)?;
        }
        self.open = Some(open);
        Ok(())
    }
}
