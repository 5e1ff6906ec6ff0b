//! Reading a channel on and on: what every answer that stays open is made of.
//!
//! A channel reader is a position, not a queue: it reads the shared log when it is polled, and it is polled only while
//! its connection takes bytes. So a slow reader costs its own position and nothing else; if the log moves on without it,
//! its stream says how much it missed.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use poll_core::{
    ChannelName, Continuity, Cursor, Epoch, JournalError, Kind, Limit, OverBudget, Pinned, Timestamp, View,
    Wait,
};
use tokio::time::Instant;

use crate::access::client::Client;
use crate::dialect::stream_event::{Finality, StreamEvent};
use crate::message::refusal::Refusal;
use crate::worker::Worker;
use crate::worker::drain::WaitDraining;
use crate::worker::settings::Receipts;
use crate::worker::timer_wheel::Timer;

/// How much of a log is read at once: what a slow reader holds meanwhile, and enough to catch up.
pub(crate) const READ_LIMIT: Limit = Limit { messages: 1_000, bytes: 64 * 1024 };

/// One reader of one channel that stays.
pub(crate) struct ChannelReader {
    worker: Worker,
    channel: ChannelName,
    client: Client,
    at: Pinned,
    /// A read that has to wait for the archive.
    reading: Option<Box<Reading>>,
    wait: Wait,
    /// Whether the wait is on.
    waiting: Waiting,
    timer: Timer,
    /// When to send a heartbeat, if nothing else is sent before.
    heartbeat_due: Instant,
    /// When this stream has to end, once the server drains.
    drain_due: Option<Instant>,
    progress: Progress,
}

/// A read from the archive. A reader that waits for it is not woken for a drain, and waits for that by itself.
struct Reading {
    view: Pin<Box<dyn Future<Output = Result<View, JournalError>> + Send>>,
    draining: WaitDraining,
}

/// What a reader knows of what is after its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    /// Nothing: it has to read.
    No,
    /// The last read gave all there was, up to here: waiting may begin, and finds by itself whether more has come.
    CaughtUp(Cursor),
    /// With nothing left to read up to here.
    Yes(Cursor),
    /// A broadcast does, and gives what comes.
    InBroadcast,
}

/// How far a reader has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// Reading on; what comes now was there already.
    Behind,
    /// Has waited: what comes now is new.
    Live,
    Ended,
}

impl ChannelReader {
    pub(crate) fn new(worker: &Worker, channel: ChannelName, at: Pinned, client: Client) -> Self {
        Self {
            wait: worker.wait_on(&channel, &at),
            waiting: Waiting::No,
            channel,
            client,
            at,
            reading: None,
            timer: worker.timers().timer(),
            heartbeat_due: Instant::now() + worker.settings().heartbeat,
            drain_due: None,
            progress: Progress::Behind,
            worker: worker.clone(),
        }
    }

    pub(crate) fn worker(&self) -> &Worker {
        &self.worker
    }

    pub(crate) fn channel(&self) -> &ChannelName {
        &self.channel
    }

    /// The next event; `None` behind the last one.
    pub(crate) fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<StreamEvent>> {
        if self.progress == Progress::Ended {
            return Poll::Ready(None);
        }
        loop {
            // A reader that waits has nothing to read until it is woken.
            if let Waiting::Yes(_) = self.waiting {
                if Pin::new(&mut self.wait).poll(cx).is_ready() {
                    self.waiting = Waiting::No;
                    self.progress = Progress::Live;
                } else if self.hears_of_drain() && self.timer.poll(cx).is_pending() {
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

    /// How far it has caught up, if it waits for nothing but news and a broadcast could give them to it: what has a
    /// receipt is given by name.
    pub(crate) fn caught_up_at(&self) -> Option<Cursor> {
        let Waiting::Yes(at) = self.waiting else { return None };
        let born = at.epoch != Epoch::ZERO;
        let anybody = self.client.name.is_none() || self.worker.settings().receipts == Receipts::Off;
        (born && anybody && self.drain_due.is_none()).then_some(at)
    }

    /// A broadcast waits from here on.
    pub(crate) fn leave_to_broadcast(&mut self) {
        self.wait.again(&self.at);
        self.waiting = Waiting::InBroadcast;
    }

    /// Goes on where the broadcast left off, which last gave something at that time, if at all.
    pub(crate) fn resume(&mut self, at: Cursor, given: Option<Instant>) {
        self.at = Pinned::after(at);
        (self.waiting, self.progress) = (Waiting::No, Progress::Live);
        if let Some(given) = given {
            self.heartbeat_due = given + self.worker.settings().heartbeat;
        }
    }

    /// When the next heartbeat is due.
    pub(crate) fn heartbeat_due(&self) -> Instant {
        self.heartbeat_due
    }

    /// The last event had no frame, so the heartbeat stays due when it was.
    pub(crate) fn keep_heartbeat(&mut self, due: Instant) {
        self.heartbeat_due = due;
    }

    /// Whether the beginning of a drain finds this reader registered, or it knows of the drain already. Checked behind the
    /// registration: where another thread begins it just before, it has already woken all who were registered.
    fn hears_of_drain(&self) -> bool {
        self.drain_due.is_some() || !self.worker.drain().is_draining()
    }

    /// Reads on: there is nothing up to here, or there is an event. While the archive is waited for, that is a heartbeat.
    fn poll_look(&mut self, cx: &mut Context<'_>) -> Poll<Result<Cursor, Option<StreamEvent>>> {
        loop {
            match self.poll_view(cx) {
                Poll::Ready(Ok((view, now))) => {
                    let event = self.event(&view, now);
                    return Poll::Ready(event.map_or(Ok(view.next), |event| Err(Some(event))));
                }
                Poll::Ready(Err(error)) => {
                    // The answer to a reader that comes back says why.
                    tracing::debug!(channel = ?self.channel, %error, "a stream breaks off");
                    self.progress = Progress::Ended;
                    return Poll::Ready(Err(Some(StreamEvent::Broken)));
                }
                Poll::Pending => {}
            }
            if let Some(event) = self.due(self.at.cursor().unwrap_or(Cursor::ZERO)) {
                return Poll::Ready(Err(Some(event)));
            }
            let heard = |reading: &mut Box<Reading>| Pin::new(&mut reading.draining).poll(cx).is_ready();
            let heard = self.drain_due.is_none() && self.reading.as_mut().is_some_and(heard);
            if !heard && self.timer.poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn poll_view(&mut self, cx: &mut Context<'_>) -> Poll<Result<(View, Timestamp), JournalError>> {
        if self.reading.is_none() {
            let (store, now) = (self.worker.store(), self.worker.now());
            if let Some(view) = store.read_resident(now, &self.channel, &self.at, READ_LIMIT) {
                return Poll::Ready(Ok((view, now)));
            }
            let (store, channel, at) = (store.clone(), self.channel.clone(), self.at);
            let view = Box::pin(async move { store.read(now, &channel, &at, READ_LIMIT).await });
            let draining = self.worker.drain().wait_draining();
            self.reading = Some(Box::new(Reading { view, draining }));
        }
        let Some(reading) = &mut self.reading else { return Poll::Pending };
        let view = ready!(reading.view.as_mut().poll(cx));
        self.reading = None;
        Poll::Ready(view.map(|view| (view, self.worker.now())))
    }

    /// The event that a view makes, if any; the position moves behind it.
    fn event(&mut self, view: &View, now: Timestamp) -> Option<StreamEvent> {
        let read_state = &view.read_state;
        let missed = read_state.missed();
        if read_state.continuity == Continuity::Reset || missed.is_some_and(|missed| missed > 0) {
            let cursor = read_state.cursor();
            self.worker.missed(missed);
            self.advance(Pinned::after(cursor));
            return Some(StreamEvent::Reset { missed, cursor });
        }
        if view.batch.as_ref().is_some_and(|batch| batch.is_over_budget()) {
            self.worker.metrics().refused(Refusal::from(OverBudget(Kind::Answers)).reason());
            self.progress = Progress::Ended;
            return Some(StreamEvent::Broken);
        }
        if let Some(batch) = &view.batch {
            self.worker.delivered(&self.channel, read_state, batch.messages(), &self.client);
            if self.progress == Progress::Live {
                self.worker.metrics().lag(now.since(batch.newest().at), 1);
            }
            self.advance(Pinned::after(batch.end()));
            let newest = batch.end().seq == read_state.newest;
            if newest && !read_state.ended {
                self.waiting = Waiting::CaughtUp(batch.end());
            }
            let finality = if newest && read_state.ended { Finality::Last } else { Finality::MoreMayFollow };
            return Some(StreamEvent::Batch(batch.clone(), finality));
        }
        self.progress = if view.is_closed() { Progress::Ended } else { self.progress };
        view.is_closed().then_some(StreamEvent::Ended(view.next))
    }

    fn advance(&mut self, at: Pinned) {
        self.at = at;
        self.waiting = Waiting::No;
        self.heartbeat_due = Instant::now() + self.worker.settings().heartbeat;
    }

    /// What is due by time alone; sets the timer for what is not.
    fn due(&mut self, next: Cursor) -> Option<StreamEvent> {
        let now = Instant::now();
        if let Some(left) = self.worker.time_to_drain() {
            let due = *self.drain_due.get_or_insert(now + left);
            if due <= now {
                self.progress = Progress::Ended;
                return Some(StreamEvent::Draining(next));
            }
        }
        if self.heartbeat_due <= now {
            self.heartbeat_due = now + self.worker.settings().heartbeat.max(Duration::from_millis(1));
            return Some(StreamEvent::Idle(next));
        }
        self.timer.set(self.drain_due.map_or(self.heartbeat_due, |due| due.min(self.heartbeat_due)));
        None
    }
}
