//! HTTP/2 push: one request stays open, and each message is a pushed answer.
//!
//! The lines of the main answer give the order; the cursor in a promise's path matches it to its line. A push that was
//! announced but did not arrive (refused, reset, late) is fetched, so it costs a request and not a message. Messages may
//! also come inline. The connection is in `http2.rs`.

use std::collections::{HashMap, VecDeque};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use poll_core::{ChannelName, Cursor};
use tokio::time::{Instant, timeout_at};

use crate::channels::Channels;
use crate::client::Client;
use crate::error::Error;
use crate::exchange::Call;
use crate::http2::{self, Main, Promised};
use crate::message::{Event, StartAt};
use crate::ndjson::Lines;
use crate::publish::message_path;
use crate::reader::{Lookup, Reader};
use crate::reading::Pattern;
use crate::source::{Health, Out};
use crate::subscription::Subscription;
use crate::wire::{Line, Record, read};

/// How long the push of an announced message may take before the message is fetched.
const PUSH_WITHIN: Duration = Duration::from_secs(5);

/// How many pushed bodies may wait for their lines. A poll server announces them sooner.
const UNANNOUNCED: usize = 4096;

/// How many lines may wait for a push before the main answer is no longer read.
const LINES_AHEAD: usize = 1024;

/// Subscribes by HTTP/2 push.
///
/// The server must speak HTTP/2 with prior knowledge (RFC 9113, section 3.3), and so must any proxy in between.
///
/// ```no_run
/// # async fn example(client: poll_client::Client, channel: poll_client::ChannelName) -> Result<(), poll_client::Error> {
/// use futures_util::TryStreamExt;
/// use poll_client::Push;
///
/// let mut events = Push::new(&client, &channel).subscribe();
/// while let Some(event) = events.try_next().await? {
///     println!("{event:?}");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Push {
    client: Client,
    channels: Channels,
    start: StartAt,
}

impl Push {
    /// Pushes of the channels from now on.
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
        Subscription::to(&self.client, &self.channels, &self.start, Pushes { open: None })
    }
}

struct Pushes {
    open: Option<Open>,
}

struct Open {
    main: Main,
    lines: Lines,
    /// Lines not processed yet, in order.
    waiting: VecDeque<Waiting>,
    pushed: HashMap<Cursor, Pushed>,
    arriving: FuturesUnordered<BoxFuture<'static, (Cursor, Result<Bytes, Error>)>>,
    last_line: Instant,
    main_answer: MainAnswer,
    /// Read from the main answer and not processed yet; `None` is its end.
    unread: Option<Option<Bytes>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MainAnswer {
    Open,
    /// Ended; announced pushes may still be arriving.
    Over,
}

enum Waiting {
    Line(Bytes),
    Announced { channel: ChannelName, cursor: Cursor, since: Instant },
}

enum Pushed {
    OnItsWay,
    Arrived(Bytes),
    Failed,
}

/// What arrived on the connection.
enum Brought {
    Promise(Promised),
    Push(Cursor, Result<Bytes, Error>),
    Data(Option<Bytes>),
}

impl Open {
    async fn start(reader: &mut Reader, out: &mut Out<Event>) -> Result<Self, Error> {
        reader.find_start(Lookup::Streams, out).await?;
        let inner = &reader.client.inner;
        let main = http2::get(inner, &reader.target("/api/push"), &reader.stats).await?;
        Ok(Self {
            main,
            lines: Lines::new(inner.settings.max_answer_bytes),
            waiting: VecDeque::new(),
            pushed: HashMap::new(),
            arriving: FuturesUnordered::new(),
            last_line: Instant::now(),
            main_answer: MainAnswer::Open,
            unread: None,
        })
    }

    fn take(&mut self, reader: &mut Reader, brought: Brought) -> Result<(), Error> {
        match brought {
            Brought::Promise(promise) => {
                // Dropping any other promise refuses it.
                let Some(cursor) = cursor_of(&promise.path) else { return Ok(()) };
                if self.pushed.len() >= UNANNOUNCED {
                    return Err(Error::Protocol("pushes that no line announces".to_owned()));
                }
                self.pushed.insert(cursor, Pushed::OnItsWay);
                let limit = reader.client.inner.settings.max_answer_bytes;
                let body = promise.body(limit, reader.stats.clone());
                self.arriving.push(body.map(move |body| (cursor, body)).boxed());
            }
            Brought::Push(cursor, body) => {
                if let Some(pushed) = self.pushed.get_mut(&cursor) {
                    *pushed = body.map_or(Pushed::Failed, Pushed::Arrived);
                }
            }
            Brought::Data(None) => self.main_answer = MainAnswer::Over,
            Brought::Data(Some(data)) => {
                self.last_line = Instant::now();
                reader.stats.body_bytes.add(data.len() as u64);
                self.lines.feed(&data);
                while let Some(line) = self.lines.next_line()? {
                    self.waiting.push_back(waiting(line, reader)?);
                }
            }
        }
        Ok(())
    }

    /// The next arrival. Data is read before promises are polled and returned after them, so that a line's promise, which
    /// the server sends first, is known before the line. Promises are never awaited alone, because the end of the main
    /// answer would not wake the task.
    fn poll_brought(&mut self, cx: &mut Context<'_>) -> Poll<Result<Brought, Error>> {
        let takes_more = self.main_answer == MainAnswer::Open && self.waiting.len() < LINES_AHEAD;
        if takes_more
            && self.unread.is_none()
            && let Poll::Ready(data) = self.main.poll_data(cx)
        {
            self.unread = Some(data?);
        }
        if let Poll::Ready(promise) = self.main.poll_promise(cx) {
            return Poll::Ready(promise.map(Brought::Promise));
        }
        if let Poll::Ready(Some((cursor, body))) = self.arriving.poll_next_unpin(cx) {
            return Poll::Ready(Ok(Brought::Push(cursor, body)));
        }
        self.unread.take().map_or(Poll::Pending, |data| Poll::Ready(Ok(Brought::Data(data))))
    }

    /// When to stop waiting.
    fn deadline(&self, silence: Duration) -> Instant {
        match self.waiting.front() {
            Some(Waiting::Announced { since, .. }) => *since + PUSH_WITHIN,
            _ => self.last_line + silence,
        }
    }

    fn late(&mut self, silence: Duration) -> Result<(), Error> {
        let Some(Waiting::Announced { cursor, .. }) = self.waiting.front() else {
            return Err(Error::Timeout { waiting_for: "byte of the answer", after: silence });
        };
        self.pushed.insert(*cursor, Pushed::Failed);
        Ok(())
    }
}

/// Queues messages in the order of the lines, up to one whose push is still arriving.
async fn give(open: &mut Open, reader: &mut Reader, out: &mut Out<Event>) -> Result<(), Error> {
    while let Some(front) = open.waiting.front() {
        match front {
            Waiting::Line(line) => {
                reader.line(&Line::read(line)?, out)?;
            }
            Waiting::Announced { channel, cursor, .. } => {
                let cursor = *cursor;
                match open.pushed.remove(&cursor) {
                    Some(Pushed::OnItsWay) => {
                        open.pushed.insert(cursor, Pushed::OnItsWay);
                        return Ok(());
                    }
                    Some(Pushed::Arrived(body)) => message(channel, cursor, &body, reader, out)?,
                    // Return what came before it first, so that it need not wait for the fetch.
                    Some(Pushed::Failed) | None if out.has_news() => {
                        open.pushed.insert(cursor, Pushed::Failed);
                        return Ok(());
                    }
                    Some(Pushed::Failed) | None => fetch(channel, cursor, reader, out).await?,
                }
            }
        }
        open.waiting.pop_front();
    }
    Ok(())
}

fn message(
    channel: &ChannelName,
    cursor: Cursor,
    body: &[u8],
    reader: &mut Reader,
    out: &mut Out<Event>,
) -> Result<(), Error> {
    let message = read::<Record<'_>>(body)?.message(channel, cursor.epoch)?;
    if message.cursor != cursor {
        return Err(Error::Protocol(format!("another message was pushed as {cursor}")));
    }
    out.backoff.reset();
    reader.stats.pushed.add(1);
    let stats = reader.stats.clone();
    reader.lane_of(channel)?.tracker.message(message, &mut out.queue, &stats);
    Ok(())
}

/// Fetches a message whose push did not arrive.
async fn fetch(
    channel: &ChannelName,
    cursor: Cursor,
    reader: &mut Reader,
    out: &mut Out<Event>,
) -> Result<(), Error> {
    let (client, stats) = (reader.client.clone(), reader.stats.clone());
    let settings = client.inner.settings;
    let call = Call::get(message_path(channel, cursor), settings.answer_within);
    match client.inner.ask(&call, &stats, &[200]).await {
        Ok(answer) => {
            let body = answer.whole(settings.max_answer_bytes, settings.answer_within).await?;
            let message = read::<Record<'_>>(&body)?.message(channel, cursor.epoch)?;
            reader.lane_of(channel)?.tracker.message(message, &mut out.queue, &stats);
        }
        Err(error) if matches!(error.status(), Some(404 | 410)) => {
            reader.lane_of(channel)?.tracker.missed(Some(1), false, Some(cursor), &mut out.queue, &stats);
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

/// A line that announces a message waits for its push.
fn waiting(line: Bytes, reader: &mut Reader) -> Result<Waiting, Error> {
    let read = Line::read(&line)?;
    let control = matches!(&*read.kind, "connected" | "heartbeat" | "reset" | "closed");
    if control || read.id.is_none() || read.message.is_some() || read.cursor.is_none() {
        return Ok(Waiting::Line(line));
    }
    let (channel, cursor) = reader.announced(&read)?;
    Ok(Waiting::Announced { channel, cursor, since: Instant::now() })
}

/// The last segment of `/api/messages/{channel}/{cursor}`.
fn cursor_of(path: &str) -> Option<Cursor> {
    path.contains("/api/messages/").then(|| path.rsplit('/').next()?.parse().ok()).flatten()
}

impl Pattern for Pushes {
    async fn step(&mut self, reader: &mut Reader, out: &mut Out<Event>) -> Result<(), Error> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => Open::start(reader, out).await?,
        };
        give(&mut open, reader, out).await?;
        while !out.has_news() {
            if open.main_answer == MainAnswer::Over && open.waiting.is_empty() {
                return Err(Error::Cut);
            }
            let silence = reader.silence();
            let deadline = open.deadline(silence);
            match timeout_at(deadline, std::future::poll_fn(|cx| open.poll_brought(cx))).await {
                Ok(brought) => open.take(reader, brought?)?,
                Err(_) => open.late(silence)?,
            }
            give(&mut open, reader, out).await?;
            // The first line after a failure is news as well.
            if out.health == Health::Failing {
                break;
            }
        }
        self.open = Some(open);
        Ok(())
    }

    fn hang_up(&mut self) {
        self.open = None;
    }
}
