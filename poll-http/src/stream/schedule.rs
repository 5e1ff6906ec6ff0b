//! What an open response has to say by time rather than by messages: heartbeats, the store's stalls, and its end in a
//! drain or with its token. The same for every reader that stays.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use poll_core::JournalError;
use tokio::time::Instant;

use crate::access::client::Client;
use crate::dialect::stream_event::StreamEvent;
use crate::message::access_log::Logged;
use crate::worker::Worker;
use crate::worker::drain::WaitDraining;
use crate::worker::intake::{Intake, IntakeWait};
use crate::worker::timer_wheel::Timer;

/// When a reader has something to say by time.
pub(crate) struct Schedule {
    pub(crate) worker: Worker,
    timer: Timer,
    /// When to send a heartbeat, if nothing else is sent before.
    heartbeat_due: Instant,
    /// When this stream has to end, once the server drains.
    drain_due: Option<Instant>,
    /// When its token expires.
    expires: Option<Instant>,
    /// What its stream says of the store.
    told: Intake,
    /// Its request in the access log.
    pub(crate) logged: Logged,
}

/// A read from the archive. A reader waiting for it is not registered with its channels, so it waits for a drain, and for
/// changes of the intake, as well.
pub(crate) struct ArchiveRead<V> {
    view: Pin<Box<dyn Future<Output = Result<V, JournalError>> + Send>>,
    draining: WaitDraining,
    intake: IntakeWait,
}

impl Schedule {
    pub(crate) fn new(worker: &Worker, client: &Client) -> Self {
        Self {
            expires: client.expiry.left(|| worker.now()).map(|left| Instant::now() + left),
            timer: worker.timers().timer(),
            heartbeat_due: Instant::now() + worker.settings().heartbeat,
            drain_due: None,
            told: Intake::Open,
            logged: client.logged.clone(),
            worker: worker.clone(),
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

    /// Something is sent, or was at this time.
    pub(crate) fn sent(&mut self, at: Instant) {
        self.heartbeat_due = at + self.worker.settings().heartbeat;
    }

    /// Whether the reader's token has expired: then nothing more may be read.
    pub(crate) fn is_expired(&self) -> bool {
        self.expires.is_some_and(|expires| expires <= Instant::now())
    }

    /// Whether the reader has heard of a drain.
    pub(crate) fn is_draining(&self) -> bool {
        self.drain_due.is_some()
    }

    /// Whether the beginning of a drain will wake this reader, or it knows of the drain already. Checked after registering:
    /// a drain that another thread began just before has already woken all registered waiters.
    pub(crate) fn is_woken_by_drain(&self) -> bool {
        self.drain_due.is_some() || !self.worker.drain().is_draining()
    }

    /// Whether its stream says of the store what holds now. Checked after registering, or handing over, like the drain.
    pub(crate) fn has_told_intake(&self) -> bool {
        self.told == self.worker.intake().now()
    }

    /// Ready when something is due.
    pub(crate) fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.timer.poll(cx)
    }

    /// The event that is due by time, for a reader at `cursor`; sets the timer if there is none. Its token's and a drain's
    /// [are the last](StreamEvent::is_last).
    pub(crate) fn due<B, C>(&mut self, cursor: impl FnOnce() -> C) -> Option<StreamEvent<B, C>> {
        if self.is_expired() {
            return Some(StreamEvent::Unauthorized(cursor()));
        }
        let now = Instant::now();
        if let Some(left) = self.worker.random_drain_delay() {
            let due = *self.drain_due.get_or_insert(now + left);
            if due <= now {
                return Some(StreamEvent::Draining(cursor()));
            }
        }
        let intake = self.worker.intake().now();
        if intake != self.told {
            self.told = intake;
            self.sent(now);
            return Some(match intake {
                Intake::Open => StreamEvent::Resumed(cursor()),
                Intake::Stalled => StreamEvent::Stalled(cursor()),
            });
        }
        if self.heartbeat_due <= now {
            self.heartbeat_due = now + self.worker.settings().heartbeat.max(Duration::from_millis(1));
            return Some(StreamEvent::Idle(cursor()));
        }
        let ends = [self.drain_due, self.expires].into_iter().flatten();
        self.timer.set(ends.fold(self.heartbeat_due, Instant::min));
        None
    }
}

impl<V> ArchiveRead<V> {
    pub(crate) fn new(
        worker: &Worker,
        view: impl Future<Output = Result<V, JournalError>> + Send + 'static,
    ) -> Box<Self> {
        let (draining, intake) = (worker.drain().wait_draining(), worker.intake().wait());
        Box::new(Self { view: Box::pin(view), draining, intake })
    }

    pub(crate) fn poll_view(&mut self, cx: &mut Context<'_>) -> Poll<Result<V, JournalError>> {
        self.view.as_mut().poll(cx)
    }

    /// Ready when its reader may have something to say meanwhile.
    pub(crate) fn poll_disturbed(&mut self, schedule: &mut Schedule, cx: &mut Context<'_>) -> Poll<()> {
        let heard = !schedule.is_draining() && Pin::new(&mut self.draining).poll(cx).is_ready();
        let changed = self.intake.poll_changed(cx).is_ready();
        if heard || changed { Poll::Ready(()) } else { schedule.poll_timer(cx) }
    }
}
