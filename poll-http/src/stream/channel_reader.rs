//! Reads a channel continuously, for every response that stays open.
//!
//! A channel reader is a position, not a queue: it reads the shared log when it is polled, and it is polled only while its
//! connection accepts bytes. So a slow reader costs its own position and nothing else; if the log moves on without it, its
//! stream reports how much it missed.

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
use crate::worker::intake::{Intake, IntakeWait};
use crate::worker::settings::Receipts;
use crate::worker::timer_wheel::Timer;

/// How much of a log is read at once: a slow reader keeps as much alive, and it is enough to catch up.
pub(crate) const READ_LIMIT: Limit = Limit { messages: 1_000, bytes: 64 * 1024 };

/// A reader of one channel that stays.
pub(crate) struct ChannelReader {
    worker: Worker,
    channel: ChannelName,
    client: Client,
    at: Pinned,
    /// A read that has to wait for the archive.
    reading: Option<Box<Reading>>,
    wait: Wait,
    /// The state of the wait.
    waiting: Waiting,
    timer: Timer,
    /// When to send a heartbeat, if nothing else is sent before.
    heartbeat_due: Instant,
    /// When this stream has to end, once the server drains.
    drain_due: Option<Instant>,
    progress: Progress,
    /// What its stream says of the store.
    told: Intake,
}

/// A read from the archive. A reader waiting for it is not registered with the channel, so it waits for a drain, and for
/// changes of the intake, as well.
struct Reading {
    view: Pin<Box<dyn Future<Output = Result<View, JournalError>> + Send>>,
    draining: WaitDraining,
    intake: IntakeWait,
}

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
            client,
            at,
            reading: None,
            timer: worker.timers().timer(),
            heartbeat_due: Instant::now() + worker.settings().heartbeat,
            drain_due: None,
            progress: Progress::Behind,
            told: Intake::Open,
            worker: worker.clone(),
        }
    }

    pub(crate) fn worker(&self) -> &Worker {
        &self.worker
    }

    pub(crate) fn channel(&self) -> &ChannelName {
        &self.channel
    }

    /// The next event; `None` after the last one.
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
                } else if self.is_woken_by_drain()
                    && self.has_told_intake()
                    && self.timer.poll(cx).is_pending()
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

    /// How far it has caught up, if it waits for new messages only and a broadcast could write them. With receipts, named
    /// clients are excluded: a delivery to them is recorded.
    pub(crate) fn caught_up_at(&self) -> Option<Cursor> {
        let Waiting::Yes(at) = self.waiting else { return None };
        let born = at.epoch != Epoch::ZERO;
        let anybody = self.client.name.is_none() || self.worker.settings().receipts == Receipts::Off;
        (born && anybody && self.drain_due.is_none() && self.has_told_intake()).then_some(at)
    }

    /// Lets the broadcast wait from here on.
    pub(crate) fn hand_over_to_broadcast(&mut self) {
        self.wait.again(&self.at);
        self.waiting = Waiting::InBroadcast;
    }

    /// Continues where the broadcast stopped, which last wrote at `given`, if at all.
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

    /// The last event had no frame, so the heartbeat stays due as before.
    pub(crate) fn keep_heartbeat(&mut self, due: Instant) {
        self.heartbeat_due = due;
    }

    /// Whether the beginning of a drain will wake this reader, or it knows of the drain already. Checked after registering:
    /// a drain that another thread began just before has already woken all registered waiters.
    fn is_woken_by_drain(&self) -> bool {
        self.drain_due.is_some() || !self.worker.drain().is_draining()
    }

    /// Whether its stream says of the store what holds now. Checked after registering, or handing over, like the drain.
    pub(crate) fn has_told_intake(&self) -> bool {
        self.told == self.worker.intake().now()
    }

    /// Reads: up to a cursor without news, or an event. While the archive is read, that is a heartbeat.
    fn poll_look(&mut self, cx: &mut Context<'_>) -> Poll<Result<Cursor, Option<StreamEvent>>> {
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
            let heard = |reading: &mut Box<Reading>| Pin::new(&mut reading.draining).poll(cx).is_ready();
            let heard = self.drain_due.is_none() && self.reading.as_mut().is_some_and(heard);
            let changed = |reading: &mut Box<Reading>| reading.intake.poll_changed(cx).is_ready();
            let changed = self.reading.as_mut().is_some_and(changed);
            if !heard && !changed && self.timer.poll(cx).is_pending() {
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
            let intake = self.worker.intake().wait();
            self.reading = Some(Box::new(Reading { view, draining, intake }));
        }
        let Some(reading) = &mut self.reading else { return Poll::Pending };
        let view = ready!(reading.view.as_mut().poll(cx));
        self.reading = None;
        Poll::Ready(view.map(|view| (view, self.worker.now())))
    }

    /// The event that a view results in, if any; moves the position past it.
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

    /// The event that is due by time; sets the timer if there is none.
    fn due(&mut self, next: Cursor) -> Option<StreamEvent> {
        let now = Instant::now();
        if let Some(left) = self.worker.random_drain_delay() {
            let due = *self.drain_due.get_or_insert(now + left);
            if due <= now {
                self.progress = Progress::Ended;
                return Some(StreamEvent::Draining(next));
            }
        }
        let intake = self.worker.intake().now();
        if intake != self.told {
            self.told = intake;
            self.heartbeat_due = now + self.worker.settings().heartbeat;
            return Some(match intake {
                Intake::Open => StreamEvent::Resumed(next),
                Intake::Stalled => StreamEvent::Stalled(next),
            });
        }
        if self.heartbeat_due <= now {
            self.heartbeat_due = now + self.worker.settings().heartbeat.max(Duration::from_millis(1));
            return Some(StreamEvent::Idle(next));
        }
        self.timer.set(self.drain_due.map_or(self.heartbeat_due, |due| due.min(self.heartbeat_due)));
        None
    }
}
