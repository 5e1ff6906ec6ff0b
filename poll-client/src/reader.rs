//! What every pattern needs: a channel and a position, and how requests carry them and answers move them.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use poll_core::ChannelName;

use crate::client::Client;
use crate::error::Error;
use crate::exchange::Call;
use crate::message::{Event, StartAt};
use crate::ndjson::Lines;
use crate::stats::Stats;
use crate::subscription::Out;
use crate::tracker::Tracker;
use crate::wire::{Line, PollAnswer};

/// Everything but RFC 3986's unreserved characters.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

pub(crate) struct Reader {
    pub(crate) client: Client,
    pub(crate) channel: ChannelName,
    pub(crate) tracker: Tracker,
    pub(crate) stats: Arc<Stats>,
}

/// What a poll was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Polled {
    /// Messages came, or the channel ended.
    Something,
    Nothing,
}

impl Reader {
    pub(crate) fn new(client: &Client, channel: &ChannelName, start: StartAt) -> Self {
        let (client, channel) = (client.clone(), channel.clone());
        Self { client, channel, tracker: Tracker::new(start), stats: Arc::default() }
    }

    /// `path` with channel and position as its query.
    pub(crate) fn target(&self, path: &str) -> String {
        let mut target = format!("{path}?channel={}", encode(self.channel.as_str()));
        match (self.tracker.position(), self.tracker.start()) {
            (Some(cursor), _) => drop(write!(target, "&cursor={cursor}")),
            // Explicit, because polls and streams have different defaults.
            (None, StartAt::Oldest) => target.push_str("&last_id=0"),
            (None, StartAt::Now | StartAt::After(_)) => {}
        }
        target
    }

    /// Queues the events of a polled answer and moves the position.
    pub(crate) fn polled(&mut self, answer: PollAnswer<'_>, out: &mut Out<Event>) -> Result<Polled, Error> {
        out.backoff.reset();
        if answer.missed.is_some() || answer.reset {
            self.tracker.missed(answer.missed, answer.reset, None, &mut out.queue, &self.stats);
        }
        let empty = answer.messages.is_empty();
        for record in answer.messages {
            let message = record.message(answer.cursor.epoch)?;
            self.tracker.message(message, &mut out.queue, &self.stats);
        }
        self.tracker.stands_at(answer.cursor);
        if !empty {
            return Ok(Polled::Something);
        }
        self.stats.empty_answers.add(1);
        if answer.closed {
            out.close();
            return Ok(Polled::Something);
        }
        Ok(Polled::Nothing)
    }

    /// Queues the event of a stream's line and moves the position.
    pub(crate) fn line(&mut self, line: &Line<'_>, out: &mut Out<Event>) -> Result<(), Error> {
        if let Some(message) = line.message()? {
            out.backoff.reset();
            self.tracker.message(message, &mut out.queue, &self.stats);
            return Ok(());
        }
        match &*line.kind {
            // Not a success: a server may say this and break off every time.
            "connected" => self.tracker.connected(line.required_cursor()?),
            "heartbeat" => out.backoff.reset(),
            "reset" => {
                let cursor = line.required_cursor()?;
                let reset = line.reset || line.missed.is_none() || self.is_foreign(cursor);
                self.tracker.missed(line.missed, reset, Some(cursor), &mut out.queue, &self.stats);
            }
            "closed" if line.reason.as_deref() == Some("ended") => out.close(),
            "closed" => return Err(Error::Draining),
            _ => {}
        }
        Ok(())
    }

    /// Whether the cursor belongs to another epoch of the channel.
    fn is_foreign(&self, cursor: poll_core::Cursor) -> bool {
        self.tracker
            .position()
            .is_some_and(|at| at.epoch != cursor.epoch && at.epoch != poll_core::Epoch::ZERO)
    }

    /// Finds the current position for a poll that starts now, by opening a stream.
    pub(crate) async fn find_start(&mut self) -> Result<(), Error> {
        if self.tracker.position().is_some() || self.tracker.start() != StartAt::Now {
            return Ok(());
        }
        let settings = &self.client.inner.settings;
        let call = Call::get(self.target("/api/stream"), settings.answer_within);
        let mut answer = self.client.inner.ask(&call, &self.stats, &[200]).await?;
        let mut lines = Lines::new(settings.max_answer_bytes);
        loop {
            let Some(piece) = answer.piece(settings.answer_within).await? else { return Err(Error::Cut) };
            lines.feed(&piece);
            while let Some(line) = lines.next_line()? {
                let line = Line::read(&line)?;
                if line.kind == "connected" {
                    self.tracker.connected(line.required_cursor()?);
                    return Ok(());
                }
            }
        }
    }

    /// How long a stream may be silent.
    pub(crate) fn silence(&self) -> Duration {
        self.client.inner.settings.silence()
    }
}

/// Percent-encodes a path segment or a query value.
pub(crate) fn encode(text: &str) -> impl std::fmt::Display {
    utf8_percent_encode(text, ENCODED).to_string()
}
