//! Reads a channel continuously, for every response that stays open.
//!
//! A channel reader is a position, not a queue: it reads the shared log when it is polled, and it is polled only while its
//! connection accepts bytes. So a slow reader costs its own position and nothing else; if the log moves on without it, its
//! stream reports how much it missed.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use poll_core::{
    Batch, ChannelName, Continuity, Cursor, Epoch, JournalError, Kind, OverBudget, Pinned, Rendering,
    Timestamp, View, Wait,
};
use tokio::time::Instant;

use crate::access::client::Client;
use crate::dialect::frame::Framing;
use crate::dialect::native;
use crate::dialect::stream_event::{Finality, StreamEvent};
use crate::message::body::Promise;
use crate::message::refusal::Refusal;
use crate::stream::reader::Reader;
use crate::stream::schedule::{ArchiveRead, Schedule};
use crate::stream::style::Style;
use crate::stream::subject::READ_LIMIT;
use crate::worker::Worker;
use crate::worker::settings::Receipts;

/// A reader of one channel that stays.
pub(crate) struct ChannelReader {
    channel: ChannelName,
    client: Client,
    at: Pinned,
    /// A read that has to wait for the archive.
    reading: Option<Box<ArchiveRead<View>>>,
    wait: Wait,
    /// The state of the wait.
    waiting: Waiting,
    schedule: Schedule,
    progress: Progress,
}

type Event = StreamEvent<Batch, Cursor>;

/// What a reader knows of messages after its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    /// Nothing: it has to read.
    No,
    /// The last read reached the end of the log, at this cursor. The wait itself finds whether more was published since.
    CaughtUp(Cursor),
    /// With nothing left to read up to here.
    Yes(Cursor),
    /// The broadcast waits, and writes new messages.
    InBroadcast,
}

/// How far a reader has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// It catches up: messages it reads are not new.
    Behind,
    /// It has waited: messages it reads are new.
    Live,
    Ended,
}

impl ChannelReader {
    pub(crate) fn new(worker: &Worker, channel: ChannelName, at: Pinned, client: Client) -> Self {
        Self {
            wait: worker.wait_on(&channel, &at),
            waiting: Waiting::No,
            channel,
            at,
            reading: None,
            schedule: Schedule::new(worker, &client),
            client,
            progress: Progress::Behind,
        }
    }

    fn worker(&self) -> &Worker {
        &self.schedule.worker
    }

    /// The next event; `None` after the last one.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        if self.progress == Progress::Ended {
            return Poll::Ready(None);
        }
        // Also one that never catches up.
        if self.schedule.is_expired() {
            return Poll::Ready(self.due(self.at.cursor().unwrap_or(Cursor::ZERO)));
        }
        loop {
            // A reader that waits has nothing to read until it is woken.
            if let Waiting::Yes(_) = self.waiting {
                if Pin::new(&mut self.wait).poll(cx).is_ready() {
                    self.waiting = Waiting::No;
                    self.progress = Progress::Live;
                } else if self.schedule.is_woken_by_drain()
                    && self.schedule.has_told_intake()
                    && self.schedule.poll_timer(cx).is_pending()
                {
                    return Poll::Pending;
                }
            }
            let next = match self.waiting {
                Waiting::CaughtUp(next) => next,
                _ => match ready!(self.poll_look(cx)) {
                    Ok(next) => next,
                    Err(event) => return Poll::Ready(event),
                },
            };
            if let Some(event) = self.due(next) {
                return Poll::Ready(Some(event));
            }
            if !matches!(self.waiting, Waiting::Yes(_)) {
                self.wait.again(&self.at);
                self.waiting = Waiting::Yes(next);
            }
        }
    }

    /// Reads: up to a cursor without news, or an event. While the archive is read, that is a heartbeat.
    fn poll_look(&mut self, cx: &mut Context<'_>) -> Poll<Result<Cursor, Option<Event>>> {
        loop {
            match self.poll_view(cx) {
                Poll::Ready(Ok((view, now))) => {
                    let event = self.event(&view, now);
                    return Poll::Ready(event.map_or(Ok(view.next), |event| Err(Some(event))));
                }
                Poll::Ready(Err(error)) => {
                    // A reader that reconnects gets the reason as a response.
                    tracing::debug!(channel = ?self.channel, %error, "stream aborted");
                    self.progress = Progress::Ended;
                    return Poll::Ready(Err(Some(StreamEvent::Broken)));
                }
                Poll::Pending => {}
            }
            if let Some(event) = self.due(self.at.cursor().unwrap_or(Cursor::ZERO)) {
                return Poll::Ready(Err(Some(event)));
            }
            let Some(reading) = &mut self.reading else { return Poll::Pending };
            ready!(reading.poll_disturbed(&mut self.schedule, cx));
        }
    }

    fn poll_view(&mut self, cx: &mut Context<'_>) -> Poll<Result<(View, Timestamp), JournalError>> {
        if self.reading.is_none() {
            let worker = self.worker();
            let (store, now) = (worker.store(), worker.now());
            if let Some(view) = store.read_resident(now, &self.channel, &self.at, READ_LIMIT) {
                return Poll::Ready(Ok((view, now)));
            }
            let (store, channel, at) = (store.clone(), self.channel.clone(), self.at);
            let view = async move { store.read(now, &channel, &at, READ_LIMIT).await };
            self.reading = Some(ArchiveRead::new(worker, view));
        }
        let Some(reading) = &mut self.reading else { return Poll::Pending };
        let view = ready!(reading.poll_view(cx));
        self.reading = None;
        Poll::Ready(view.map(|view| (view, self.worker().now())))
    }

    /// The event that a view results in, if any; moves the position past it.
    fn event(&mut self, view: &View, now: Timestamp) -> Option<Event> {
        let read_state = &view.read_state;
        let missed = read_state.missed();
        if read_state.continuity == Continuity::Reset || missed.is_some_and(|missed| missed > 0) {
            let cursor = read_state.cursor();
            self.worker().missed(missed);
            self.advance(Pinned::after(cursor));
            return Some(StreamEvent::Reset { channel: None, missed, cursor });
        }
        if view.batch.as_ref().is_some_and(|batch| batch.is_over_budget()) {
            self.worker().metrics().refused(Refusal::from(OverBudget(Kind::Answers)).reason());
            self.progress = Progress::Ended;
            return Some(StreamEvent::Broken);
        }
        if let Some(batch) = &view.batch {
            self.worker().delivered(&self.channel, read_state, batch.messages(), &self.client);
            if self.progress == Progress::Live {
                self.worker().handed_over(now.since(batch.newest().at), 1);
            }
            self.advance(Pinned::after(batch.end()));
            let newest = batch.end().seq == read_state.newest;
            if newest && !read_state.ended {
                self.waiting = Waiting::CaughtUp(batch.end());
            }
            let finality = match (newest, read_state.ended) {
                (true, true) => Finality::Last,
                (true, false) => Finality::Newest,
                (false, _) => Finality::MoreMayFollow,
            };
            return Some(StreamEvent::Batch(batch.clone(), finality));
        }
        self.progress = if view.is_closed() { Progress::Ended } else { self.progress };
        view.is_closed().then_some(StreamEvent::Ended(view.next))
    }

    fn advance(&mut self, at: Pinned) {
        self.at = at;
        self.waiting = Waiting::No;
        self.schedule.sent(Instant::now());
    }

    /// The event that is due by time; sets the timer if there is none.
    fn due(&mut self, next: Cursor) -> Option<Event> {
        let event = self.schedule.due(|| next)?;
        if event.is_last() {
            self.progress = Progress::Ended;
        }
        Some(event)
    }
}

impl Reader for ChannelReader {
    type Subject = ChannelName;
    type Cursor = Cursor;

    fn subject(&self) -> &ChannelName {
        &self.channel
    }

    fn schedule(&mut self) -> &mut Schedule {
        &mut self.schedule
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.poll_next(cx)
    }

    fn rendering<'a>(&'a self, batch: &'a Batch, style: Style, finality: Finality) -> Option<&'a Rendering> {
        style.rendering(batch, finality)
    }

    fn promise(&self, batch: &Batch, index: usize, cache: String, framing: Framing) -> Option<Promise> {
        native::promise(&self.channel, batch, index, cache, framing)
    }

    fn caught_up_at(&self) -> Option<Cursor> {
        let Waiting::Yes(at) = self.waiting else { return None };
        let born = at.epoch != Epoch::ZERO;
        let anybody = self.client.name.is_none() || self.worker().settings().receipts == Receipts::Off;
        let silent = !self.schedule.is_draining() && self.schedule.has_told_intake();
        (born && anybody && silent).then_some(at)
    }

    fn hand_over_to_broadcast(&mut self) {
        self.wait.again(&self.at);
        self.waiting = Waiting::InBroadcast;
    }

    fn resume(&mut self, at: &Cursor, given: Option<Instant>) {
        self.at = Pinned::after(*at);
        (self.waiting, self.progress) = (Waiting::No, Progress::Live);
        if let Some(given) = given {
            self.schedule.sent(given);
        }
    }
}
