//! The waiting of a long poll, whatever it reads: its permit, the end of its time or of its token, and its part in a drain.
//!
//! Without guards, which would hold the same fields again for each waiter: the poll itself [releases](LongWait::release)
//! what is held here, as it does its registrations.

use std::task::{Context, Poll};
use std::time::Duration;

use poll_core::Timestamp;
use tokio::time::Instant;

use crate::access::admission::{Channels, Names};
use crate::access::authority;
use crate::access::client::Client;
use crate::message::coding::Codings;
use crate::message::refusal::Refusal;
use crate::message::reply::{Reply, Wants};
use crate::worker::Worker;
use crate::worker::metrics::Waiter;
use crate::worker::timer_wheel::Timer;

/// What a long poll holds while it waits.
pub(crate) struct LongWait {
    pub(crate) worker: Worker,
    pub(crate) client: Client,
    wants: Wants,
    pub(crate) codings: Codings,
    /// To the end of the poll, or of its token if that is earlier.
    wait: Duration,
    end: End,
    /// The end of the wait, once one is needed.
    until: Option<Instant>,
    timer: Timer,
    /// Its permit to wait.
    permit: Option<Names>,
    phase: Phase,
}

/// What comes at the end of the wait.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Timeout,
    /// The token has expired.
    Expiry,
}

/// Whether a draining server has already shortened the wait.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Serving,
    Draining,
}

impl LongWait {
    /// To wait for `wait`.
    pub(crate) fn new(
        worker: Worker,
        client: Client,
        wait: Duration,
        wants: Wants,
        codings: Codings,
    ) -> Self {
        let timer = worker.timers().timer();
        let expires_in = client.expiry.left(|| worker.now()).filter(|left| *left < wait);
        let (wait, end) = expires_in.map_or((wait, End::Timeout), |left| (left, End::Expiry));
        Self {
            worker,
            client,
            wants,
            codings,
            wait,
            end,
            until: None,
            timer,
            permit: None,
            phase: Phase::Serving,
        }
    }

    /// When the wait ends.
    pub(crate) fn until(&mut self) -> Instant {
        *self.until.get_or_insert_with(|| Instant::now() + self.wait)
    }

    /// Whether the time is up.
    pub(crate) fn is_over(&mut self) -> bool {
        self.until() <= Instant::now()
    }

    /// Ends a wait whose token has expired: nothing is read after that.
    ///
    /// # Errors
    /// 401 if it has.
    pub(crate) fn check_expiry(&mut self) -> Result<(), Refusal> {
        if self.end == End::Expiry && self.is_over() { Err(authority::expired()) } else { Ok(()) }
    }

    /// Starts to wait: to the end, or for a shorter `pause`.
    ///
    /// # Errors
    /// 429 if too many requests wait.
    pub(crate) fn begin(&mut self, channels: &impl Channels, pause: Option<Duration>) -> Result<(), Refusal> {
        let mut until = self.until();
        self.take_permit(channels)?;
        if self.phase == Phase::Serving
            && let Some(left) = self.worker.random_drain_delay()
        {
            self.phase = Phase::Draining;
            if Instant::now() + left < until {
                until = Instant::now() + left;
                (self.until, self.end) = (Some(until), End::Timeout);
            }
        }
        self.timer.set(pause.map_or(until, |pause| Instant::now() + pause));
        Ok(())
    }

    /// Takes a permit to wait, once.
    ///
    /// # Errors
    /// 429 if too many requests wait.
    pub(crate) fn take_permit(&mut self, channels: &impl Channels) -> Result<(), Refusal> {
        if self.permit.is_none() {
            self.permit = Some(self.worker.take_permit(Waiter::LongPoll, channels, &self.client)?);
        }
        Ok(())
    }

    /// Whether it waits for a time.
    pub(crate) fn is_timed(&self) -> bool {
        self.timer.is_set()
    }

    /// Ready when the wait or pause is over.
    pub(crate) fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.timer.poll(cx)
    }

    /// Stops to wait, for whatever reason.
    pub(crate) fn stop(&mut self) {
        self.timer.clear();
    }

    /// Whether no drain has shortened the wait yet.
    pub(crate) fn is_serving(&self) -> bool {
        self.phase == Phase::Serving
    }

    /// Whether a drain has begun that has not shortened the wait yet. Checked after registering: one that another thread
    /// began just before has already woken all registered waiters.
    pub(crate) fn hears_drain(&self) -> bool {
        self.is_serving() && self.worker.drain().is_draining()
    }

    /// Counts how long a message took that it has waited for.
    pub(crate) fn note_lag(&self, now: Timestamp, newest: Timestamp) {
        if self.permit.is_some() {
            self.worker.handed_over(now.since(newest), 1);
        }
    }

    /// Ends it with an answer, counted by `deliver`. A HEAD delivers no messages.
    ///
    /// # Errors
    /// 429 if the answer is large and too many requests wait.
    pub(crate) fn finish(
        &mut self,
        mut reply: Reply,
        channels: &impl Channels,
        deliver: impl FnOnce(&Worker, &Client),
    ) -> Result<Reply, Refusal> {
        self.codings.label(&mut reply);
        if self.wants == Wants::HeadOnly {
            return Ok(reply);
        }
        let (worker, client) = (&self.worker, &self.client);
        let reply = match self.permit.take() {
            Some(names) => worker.keep_permit_to_read(Waiter::LongPoll, names, reply, channels, client),
            None => {
                let reply = worker.permit_to_read(reply, channels, client)?;
                worker.note_presence(Waiter::LongPoll, channels, client);
                reply
            }
        };
        deliver(worker, client);
        Ok(reply)
    }

    /// Releases its permit, if it has one. To be called when the poll is dropped.
    pub(crate) fn release(&mut self, channels: &impl Channels) {
        if let Some(names) = self.permit.take() {
            self.worker.release_permit(Waiter::LongPoll, channels, &self.client, names);
        }
    }
}
