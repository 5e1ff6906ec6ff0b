//! Following a channel: what every answer that stays open is made of.
//!
//! A follower is a position, not a queue: it reads the shared log when it is polled, and it is polled only
//! while its connection takes bytes. So a slow reader costs its own place and nothing else; if the log moves
//! on without it, it is told how much it missed.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use poll_core::{
    Batch, ChannelName, Continuity, Cursor, Epoch, JournalError, Kind, Limit, OverBudget, Pinned, ReadState,
    Timestamp, View, Wait,
};
use tokio::time::Instant;

use crate::access::client::Client;
use crate::message::refusal::Refusal;
use crate::service::Service;
use crate::worker::drain::WaitDraining;
use crate::worker::settings::Receipts;
use crate::worker::timer_wheel::Timer;

/// How much of a log a follower reads at once: what one who is slow holds meanwhile, and enough to catch up.
pub(crate) const AT_ONCE: Limit = Limit { messages: 1_000, bytes: 64 * 1024 };

/// One reader of one channel that stays.
pub(crate) struct Follow {
    service: Service,
    channel: ChannelName,
    client: Client,
    at: Pinned,
    /// A read that has to fetch something first.
    fetching: Option<Box<Fetching>>,
    wait: Wait,
    /// Whether the wait is on.
    waiting: Waiting,
    timer: Timer,
    /// When to say that the stream lives, if nothing else is said before.
    heartbeat_due: Instant,
    /// When this stream has to end, once the server drains.
    drain_due: Option<Instant>,
    state: State,
}

/// A look that waits for the journal. Who waits for it is not rung for a drain, and has to listen by itself.
struct Fetching {
    look: Pin<Box<dyn Future<Output = Result<View, JournalError>> + Send>>,
    draining: WaitDraining,
}

/// What a follower knows of what is after its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    /// Nothing: it has to look.
    No,
    /// The last look gave all there was, up to here: waiting may begin, and looks by itself whether more has come.
    CaughtUp(Cursor),
    /// With nothing left to read up to here.
    Yes(Cursor),
    /// Somebody else does, and gives what comes.
    Elsewhere,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Reading on; what comes now was there already.
    Behind,
    /// Has waited: what comes now is new.
    Live,
    Ended,
}

/// How far a batch reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// There may be more behind it.
    Part,
    /// The channel has ended with it.
    End,
}

/// What a follower has to say.
pub(crate) enum Event {
    /// Messages.
    Batch(Arc<Batch>, Reach),
    /// What was missed, if that is known, and where reading goes on.
    Reset { missed: Option<u64>, cursor: Cursor },
    /// Nothing, for a whole heartbeat interval.
    Idle(Cursor),
    /// The last one: the channel has ended behind this position.
    Ended(Cursor),
    /// The last one: the server drains.
    Draining(Cursor),
    /// The last one: what is next cannot be given, and the stream breaks off.
    Broken,
}

/// Whether a reader who comes back has all there will ever be.
pub(crate) fn is_over(read_state: &ReadState) -> bool {
    read_state.ended && read_state.position >= read_state.newest && read_state.missed() == Some(0)
}

impl Follow {
    pub(crate) fn new(service: &Service, channel: ChannelName, at: Pinned, client: Client) -> Self {
        Self {
            wait: service.wait_on(&channel, &at),
            waiting: Waiting::No,
            channel,
            client,
            at,
            fetching: None,
            timer: service.deadlines().timer(),
            heartbeat_due: Instant::now() + service.settings().heartbeat,
            drain_due: None,
            state: State::Behind,
            service: service.clone(),
        }
    }

    pub(crate) fn service(&self) -> &Service {
        &self.service
    }

    pub(crate) fn channel(&self) -> &ChannelName {
        &self.channel
    }

    /// The next event; `None` behind the last one.
    pub(crate) fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        if self.state == State::Ended {
            return Poll::Ready(None);
        }
        loop {
            // Somebody who waits has nothing to read until the bell rings.
            if let Waiting::Yes(_) = self.waiting {
                if Pin::new(&mut self.wait).poll(cx).is_ready() {
                    self.waiting = Waiting::No;
                    self.state = State::Live;
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

    /// Where it rests, if it waits for nothing but news and anybody could give them to it: what has a receipt is given
    /// by name.
    pub(crate) fn rests_at(&self) -> Option<Cursor> {
        let Waiting::Yes(at) = self.waiting else { return None };
        let born = at.epoch != Epoch::ZERO;
        let anybody = self.client.name.is_none() || self.service.settings().receipts == Receipts::Off;
        (born && anybody && self.drain_due.is_none()).then_some(at)
    }

    /// Somebody else waits from here on.
    pub(crate) fn rest_elsewhere(&mut self) {
        self.wait.again(&self.at);
        self.waiting = Waiting::Elsewhere;
    }

    /// Goes on where somebody else left off, who gave something at that time, if anything.
    pub(crate) fn go_on(&mut self, at: Cursor, given: Option<Instant>) {
        self.at = Pinned::after(at);
        (self.waiting, self.state) = (Waiting::No, State::Live);
        if let Some(given) = given {
            self.heartbeat_due = given + self.service.settings().heartbeat;
        }
    }

    /// When to say that the stream lives.
    pub(crate) fn heartbeat_due(&self) -> Instant {
        self.heartbeat_due
    }

    /// The last event was nothing to this reader, who is to hear that the stream lives when it would have anyway.
    pub(crate) fn said_nothing(&mut self, due: Instant) {
        self.heartbeat_due = due;
    }

    /// Whether whoever begins the drain finds this one among those who wait, or it knows already. Asked behind the
    /// registration: where another thread begins it just before, its ring was over before there was anybody to hear it.
    fn hears_of_drain(&self) -> bool {
        self.drain_due.is_some() || !self.service.drain().is_draining()
    }

    /// Looks: there is nothing up to here, or something to say. While the journal is waited for, that the stream lives.
    fn poll_look(&mut self, cx: &mut Context<'_>) -> Poll<Result<Cursor, Option<Event>>> {
        loop {
            match self.poll_view(cx) {
                Poll::Ready(Ok((view, now))) => {
                    let event = self.event(&view, now);
                    return Poll::Ready(event.map_or(Ok(view.next), |event| Err(Some(event))));
                }
                Poll::Ready(Err(error)) => {
                    // Whoever asks again is told why.
                    tracing::debug!(channel = ?self.channel, %error, "a stream breaks off");
                    self.state = State::Ended;
                    return Poll::Ready(Err(Some(Event::Broken)));
                }
                Poll::Pending => {}
            }
            if let Some(event) = self.due(self.at.cursor().unwrap_or(Cursor::ZERO)) {
                return Poll::Ready(Err(Some(event)));
            }
            let heard = |fetching: &mut Box<Fetching>| Pin::new(&mut fetching.draining).poll(cx).is_ready();
            let heard = self.drain_due.is_none() && self.fetching.as_mut().is_some_and(heard);
            if !heard && self.timer.poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn poll_view(&mut self, cx: &mut Context<'_>) -> Poll<Result<(View, Timestamp), JournalError>> {
        if self.fetching.is_none() {
            let (store, now) = (self.service.store(), self.service.now());
            if let Some(view) = store.read_resident(now, &self.channel, &self.at, AT_ONCE) {
                return Poll::Ready(Ok((view, now)));
            }
            let (store, channel, at) = (store.clone(), self.channel.clone(), self.at);
            let look = Box::pin(async move { store.read(now, &channel, &at, AT_ONCE).await });
            let draining = self.service.drain().wait_draining();
            self.fetching = Some(Box::new(Fetching { look, draining }));
        }
        let Some(fetching) = &mut self.fetching else { return Poll::Pending };
        let view = ready!(fetching.look.as_mut().poll(cx));
        self.fetching = None;
        Poll::Ready(view.map(|view| (view, self.service.now())))
    }

    /// What a view has to say, if anything; the position moves behind it.
    fn event(&mut self, view: &View, now: Timestamp) -> Option<Event> {
        let read_state = &view.read_state;
        let missed = read_state.missed();
        if read_state.continuity == Continuity::Reset || missed.is_some_and(|missed| missed > 0) {
            let cursor = read_state.cursor();
            self.service.metrics().missed.inc_by(missed.unwrap_or(0));
            self.said(Pinned::after(cursor));
            return Some(Event::Reset { missed, cursor });
        }
        if view.batch.as_ref().is_some_and(|batch| batch.is_over_budget()) {
            self.service.metrics().refused(Refusal::from(OverBudget(Kind::Answers)).reason());
            self.state = State::Ended;
            return Some(Event::Broken);
        }
        if let Some(batch) = &view.batch {
            let metrics = self.service.metrics();
            metrics.delivered.inc_by(batch.messages().len() as u64);
            self.service.note_given(&self.channel, read_state, batch.messages(), &self.client);
            let metrics = self.service.metrics();
            if self.state == State::Live {
                metrics.lag(now.since(batch.newest().at), 1);
            }
            self.said(Pinned::after(batch.end()));
            let newest = batch.end().seq == read_state.newest;
            if newest && !read_state.ended {
                self.waiting = Waiting::CaughtUp(batch.end());
            }
            let reach = if newest && read_state.ended { Reach::End } else { Reach::Part };
            return Some(Event::Batch(batch.clone(), reach));
        }
        self.state = if view.is_closed() { State::Ended } else { self.state };
        view.is_closed().then_some(Event::Ended(view.next))
    }

    fn said(&mut self, at: Pinned) {
        self.at = at;
        self.waiting = Waiting::No;
        self.heartbeat_due = Instant::now() + self.service.settings().heartbeat;
    }

    /// What is due by time alone; sets the timer for what is not.
    fn due(&mut self, next: Cursor) -> Option<Event> {
        let now = Instant::now();
        if let Some(left) = self.service.time_to_drain() {
            let due = *self.drain_due.get_or_insert(now + left);
            if due <= now {
                self.state = State::Ended;
                return Some(Event::Draining(next));
            }
        }
        if self.heartbeat_due <= now {
            self.heartbeat_due = now + self.service.settings().heartbeat.max(Duration::from_millis(1));
            return Some(Event::Idle(next));
        }
        self.timer.set(self.drain_due.map_or(self.heartbeat_due, |due| due.min(self.heartbeat_due)));
        None
    }
}
