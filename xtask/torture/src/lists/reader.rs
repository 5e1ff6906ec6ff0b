//! A reader of a list of channels: one question at a time, and for each channel what it was given.
//!
//! It keeps the token of the last answer or line, as any client would, and looks into neither.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::BytesMut;
use http::Request;
use http_body_util::BodyExt as _;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use crate::aim::Aim;
use crate::client::{Client, expect};
use crate::pattern::Pattern;
use crate::payload;
use crate::position::{Position, Seen};

/// The pause before a short poll, in tenths of a millisecond, and how long other questions are left open.
const PAUSE: std::ops::Range<u64> = 50..150;
const WAIT: std::ops::Range<u64> = 500..800;
/// Longer than any question takes.
const SILENCE: Duration = Duration::from_secs(30);
/// How long the last messages are waited for once they are known.
const QUIET: Duration = Duration::from_secs(15);
/// What only waits for the rest is left open so many times longer.
const SLOW: u32 = 20;
/// Faults after which a reader gives up.
const FAULTS: usize = 20;

/// The last token of each channel that has one, once nothing more is published.
pub(super) type Ends = Option<Arc<HashMap<String, String>>>;

pub(super) struct ListReader {
    pattern: Pattern,
    client: Client,
    /// The query without a position.
    channels: String,
    cursor: Option<String>,
    seen: HashMap<String, Vec<Seen>>,
    questions: u64,
    aim: Aim,
    /// How many times longer than in the race questions are left open.
    slow: u32,
    shooter: watch::Sender<Instant>,
    /// The only channel, which answers do not name.
    alone: Option<String>,
}

/// What a reader was given.
pub(super) struct Read {
    pub(super) seen: HashMap<String, Vec<Seen>>,
    pub(super) questions: u64,
    pub(super) faults: Vec<String>,
}

impl ListReader {
    pub(super) fn new(
        address: SocketAddr,
        pattern: Pattern,
        channels: Vec<String>,
        shooter: watch::Sender<Instant>,
        seed: u64,
    ) -> Self {
        let query: Vec<_> = channels.iter().map(|channel| format!("channel={channel}")).collect();
        let alone = <[String; 1]>::try_from(channels).ok().map(|[channel]| channel);
        Self {
            pattern,
            client: Client::new(address),
            channels: query.join("&"),
            cursor: None,
            seen: HashMap::new(),
            questions: 0,
            aim: Aim::new(seed),
            slow: 1,
            shooter,
            alone,
        }
    }

    /// Reads until the last message of every channel was seen, or nothing comes any more.
    pub(super) async fn follow(mut self, ends: watch::Receiver<Ends>) -> Read {
        let (mut news, mut faults) = (Instant::now(), Vec::new());
        loop {
            let before = self.given();
            let fault = match timeout(SILENCE, self.ask()).await {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(format!("{error:#}")),
                Err(_) => Some(format!("no end of a question within {SILENCE:?}")),
            };
            if let Some(fault) = fault {
                faults.push(format!(
                    "{:?} of {}, question {}: {fault}",
                    self.pattern, self.channels, self.questions
                ));
                self.client.hang_up();
            }
            if self.given() > before {
                news = Instant::now();
            }
            let ends = ends.borrow().clone();
            if ends.is_some() && self.slow == 1 {
                // No edge matters any more, and a busy machine needs its time to give the rest.
                self.slow = SLOW;
                news = Instant::now();
            }
            let is_over = ends.is_some_and(|ends| {
                let last = |channel: &String| self.seen.get(channel).and_then(|seen| seen.last());
                let has = |(channel, token): (&_, &_)| last(channel).is_some_and(|seen| seen.token == *token);
                ends.iter().all(has) || news.elapsed() > QUIET
            });
            if is_over && news.elapsed() > QUIET {
                faults.push(self.stuck().await);
            }
            if is_over || faults.len() >= FAULTS {
                return Read { seen: self.seen, questions: self.questions, faults };
            }
        }
    }

    /// What a poll gives where the reader was given nothing.
    async fn stuck(&mut self) -> String {
        let target = self.target("/api/poll");
        let poll = self.client.get(&target).await;
        let given = poll.map_or_else(
            |error| format!("{error:#}"),
            |poll| String::from_utf8_lossy(&poll.body).into_owned(),
        );
        let given: String = given.chars().take(500).collect();
        format!("{:?}: nothing for {QUIET:?} where {target} gives {given}", self.pattern)
    }

    fn given(&self) -> usize {
        self.seen.values().map(Vec::len).sum()
    }

    async fn ask(&mut self) -> Result<()> {
        match (self.pattern, self.cursor.is_some()) {
            // A poll starts with the oldest, a stream with the next; and a list has no other first token.
            (_, false) | (Pattern::Short, true) => self.short().await,
            (Pattern::Long, true) => self.long().await,
            (Pattern::Stream | Pattern::Sse, true) => self.stream().await,
            (other, true) => bail!("{other:?} is not raced here"),
        }
    }

    /// How long the next question is left open.
    fn wait(&mut self) -> Duration {
        self.aim.wait(WAIT) * self.slow
    }

    fn target(&self, path: &str) -> String {
        let cursor = self.cursor.iter().map(|cursor| format!("&cursor={cursor}"));
        format!("{path}?{}{}", self.channels, cursor.collect::<String>())
    }

    fn announce(&mut self, deadline: Instant) {
        let edge = self.aim.edge(deadline);
        self.questions += 1;
        // The dealer is gone once everything is published.
        let _ = self.shooter.send(edge);
    }

    async fn short(&mut self) -> Result<()> {
        let at = Instant::now() + self.aim.wait(PAUSE);
        self.announce(at);
        sleep_until(at).await;
        self.aim.ended(at, Instant::now());
        let answer = self.client.get(&self.target("/api/poll")).await?.json(200)?;
        self.take_answer(&answer).map(drop)
    }

    async fn long(&mut self) -> Result<()> {
        let wait = self.wait();
        let deadline = Instant::now() + wait;
        self.announce(deadline);
        let target = format!("{}&timeout={}", self.target("/api/longpoll"), Position::timeout(wait));
        let answer = self.client.get(&target).await?.json(200)?;
        let given = self.take_answer(&answer)?;
        self.aim.learn(deadline, given);
        Ok(())
    }

    async fn stream(&mut self) -> Result<()> {
        self.client.hang_up();
        let leave = Instant::now() + self.wait();
        self.announce(leave);
        // Leaving in the middle of a line is what a broken network does; that line was not seen.
        if let Ok(broken) = timeout_at(leave, self.read()).await {
            return broken;
        }
        self.aim.ended(leave, Instant::now());
        Ok(())
    }

    async fn read(&mut self) -> Result<()> {
        let (accept, end): (_, &[u8]) = match self.pattern {
            Pattern::Sse => ("text/event-stream", b"\n\n"),
            _ => ("application/x-ndjson", b"\n"),
        };
        let request = Request::get(self.target("/api/stream")).header("accept", accept);
        let response = self.client.send(request, "").await?;
        expect(response.status(), 200)?;
        let (mut body, mut unread) = (response.into_body(), BytesMut::new());
        loop {
            let frame = body.frame().await.context("the stream ended though its channels have not")??;
            unread.extend_from_slice(&frame.into_data().ok().context("a stream has trailers")?);
            let before = self.given();
            while let Some(at) = memchr::memmem::find(&unread, end) {
                let piece = unread.split_to(at + end.len());
                let text = std::str::from_utf8(&piece).context("a stream is not text")?;
                let data = match self.pattern {
                    Pattern::Sse => text.lines().find_map(|line| line.strip_prefix("data: ")),
                    _ => Some(text),
                };
                data.map_or(Ok(()), |line| self.take_line(line))?;
            }
            ensure!(self.given() <= before + 1, "two messages in a chunk");
        }
    }

    /// How many messages an answer gave.
    fn take_answer(&mut self, answer: &Value) -> Result<usize> {
        let polled = payload::poll(answer)?;
        ensure!(
            polled.notice.is_none() && answer.get("refused").is_none(),
            "no reader should be told `{answer}`"
        );
        let list = answer["messages"].as_array().into_iter().flatten();
        let given = polled.messages.len();
        for (message, value) in polled.messages.into_iter().zip(list) {
            self.saw(value, message)?;
        }
        self.cursor = Some(polled.cursor);
        Ok(given)
    }

    fn take_line(&mut self, line: &str) -> Result<()> {
        match payload::line(line)? {
            payload::Line::Position { cursor } => self.cursor = Some(cursor),
            payload::Line::Message(mut message) => {
                let cursor = message.cursor.take();
                self.saw(&serde_json::from_str(line)?, message)?;
                self.cursor = cursor;
            }
            told => bail!("no reader should be told {told:?}"),
        }
        Ok(())
    }

    fn saw(&mut self, value: &Value, message: payload::Message) -> Result<()> {
        let channel = match (&self.alone, value["channel"].as_str()) {
            (Some(alone), None) => alone.clone(),
            (None, Some(channel)) => channel.to_owned(),
            _ => bail!("`{value}` does not say whose it is, or needlessly"),
        };
        let seen = Seen { seq: Some(message.seq), epoch: None, token: message.token };
        self.seen.entry(channel).or_default().push(seen);
        Ok(())
    }
}
