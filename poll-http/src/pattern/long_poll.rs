//! Long poll: answers when there is something to give, when the channel ends, when the time is up, or when the
//! server drains.
//!
//! The position is settled once, before the first look, and never moves while waiting: what the answer says of
//! missed messages is counted from where the asker really was.

mod whole;

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use poll_core::{Cursor, Limit, Pinned, Position, ReadState, Seq, Ticket, Timestamp, View};
use tokio::time::Instant;

use self::whole::{Cut, Held, STUCK, first};
use crate::access::admission::Names;
use crate::access::client::Client;
use crate::dialect::question::{Answer, AtEnd, Question, Skips};
use crate::message::refusal::Refusal;
use crate::message::reply::Reply;
use crate::service::router::Action;
use crate::service::{A_LOOK, Late, Service};
use crate::worker::drain::WaitDraining;
use crate::worker::metrics::Pattern;
use crate::worker::timer_wheel::Timer;

/// Answers a question when its time has come, as `write` has it.
pub(crate) fn answer<W>(
    service: Service,
    question: Question,
    client: Client,
    action: Action,
    write: W,
) -> LongPoll<W>
where
    W: FnOnce(&Answer) -> Reply + Send,
{
    LongPoll {
        came: service.now(),
        timer: service.deadlines().timer(),
        pinned: None,
        known: None,
        fetching: None,
        until: None,
        place: None,
        bell: Bell::None,
        phase: Phase::Serving,
        held: Held::Never,
        service,
        question,
        client,
        action,
        write: Some(write),
    }
}

/// A question on its way to its answer. A future by hand: there are as many as waiters, and an `async fn` keeps three
/// times as much for each, because what it awaits stands beside what it holds. For the same reason it has no guards,
/// which would hold once more what is here, and gives back by itself what it took.
pub(crate) struct LongPoll<W> {
    service: Service,
    question: Question,
    client: Client,
    action: Action,
    /// Taken with the answer.
    write: Option<W>,
    came: Timestamp,
    /// `None` before the first look.
    pinned: Option<Pinned>,
    /// The newest message at the first look, for whoever must be given all that was published before.
    known: Option<Seq>,
    /// A look that has to fetch something first.
    fetching: Option<Fetching>,
    /// The end of the wait, once it is certain that there is one.
    until: Option<Instant>,
    timer: Timer,
    /// Its place among those who wait.
    place: Option<Names>,
    bell: Bell,
    phase: Phase,
    held: Held,
}

type Fetching = Pin<Box<dyn Future<Output = Result<(Pinned, View, Timestamp, Limit), Late>> + Send>>;

/// What there is to wait for.
#[derive(Clone, Copy)]
enum Awaited {
    /// So much time to pass.
    Time(Duration),
    /// Something after the position.
    News,
    /// Nothing: the channel has ended, and its dialect cannot say so.
    Nothing,
}

/// What is waited for, beside the timer.
enum Bell {
    None,
    /// Something may have come.
    News(Option<Ticket>),
    /// Nothing will ever come, but the server may drain.
    Silence(WaitDraining),
}

/// Whether a draining server has already shortened the wait.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Serving,
    Draining,
}

/// What one look shows.
enum Look {
    /// All there is to give.
    Given(Answer),
    /// There is something, but not to be given before so much time has passed.
    Growing(Duration),
}

/// Nothing in it is pinned in place.
impl<W> Unpin for LongPoll<W> {}

impl<W: FnOnce(&Answer) -> Reply + Send> Future for LongPoll<W> {
    type Output = Result<Reply, Refusal>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let answer = ready!(this.poll_answer(cx))?;
        answer.check_budget()?;
        // Polled after completion only by a bug of a caller's.
        let Some(write) = this.write.take() else { return Poll::Pending };
        let (reply, channel, client) = (write(&answer), &this.question.channel, &this.client);
        // Who asks for the head is given no messages.
        if this.action == Action::Head {
            return Poll::Ready(Ok(reply));
        }
        let reply = match this.place.take() {
            Some(names) => this.service.read_in_place_of(Pattern::Long, reply, channel, client, names),
            None => this.service.read_in_place(reply, channel, client)?,
        };
        this.service.count_given(channel, &answer, client);
        Poll::Ready(Ok(reply))
    }
}

impl<W> LongPoll<W> {
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<Answer, Refusal>> {
        loop {
            ready!(self.poll_bell(cx));
            match ready!(self.poll_look(cx)) {
                Err(late) => return Poll::Ready(self.unread(late)),
                Ok(Look::Growing(pause)) => self.wait(Awaited::Time(pause))?,
                Ok(Look::Given(answer)) => {
                    let Answer { view, now, .. } = &answer;
                    if let (Some(batch), Some(_)) = (&view.batch, &self.place) {
                        self.service.metrics().lag(now.since(batch.newest().at), 1);
                    }
                    let ended = self.question.at_end == AtEnd::Answer && view.is_closed();
                    if view.batch.is_some() || ended || self.until() <= Instant::now() {
                        return Poll::Ready(Ok(answer));
                    }
                    self.wait(if view.is_closed() { Awaited::Nothing } else { Awaited::News })?;
                }
            }
        }
    }

    /// Ready when there is reason to look.
    fn poll_bell(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let rung = match &mut self.bell {
            Bell::None => !self.timer.is_set(),
            // The drain is looked at behind the registration: where another thread begins it in between, its ring
            // was over before there was anybody to hear it.
            Bell::News(ticket) => {
                let Some(pinned) = &self.pinned else { return Poll::Ready(()) };
                let (service, channel) = (&self.service, &self.question.channel);
                service.store().poll_wait(channel, pinned, service.polls(), ticket, cx).is_ready()
                    || (self.phase == Phase::Serving && service.drain().is_draining())
            }
            Bell::Silence(drain) => Pin::new(drain).poll(cx).is_ready() && self.phase == Phase::Serving,
        };
        if !rung {
            ready!(self.timer.poll(cx));
        }
        self.leave();
        self.timer.clear();
        Poll::Ready(())
    }

    /// Waits for nothing any more.
    fn leave(&mut self) {
        if let Bell::News(mut ticket) = std::mem::replace(&mut self.bell, Bell::None) {
            self.service.store().leave(&self.question.channel, self.service.polls(), &mut ticket);
        }
    }

    /// When the wait ends.
    fn until(&mut self) -> Instant {
        *self.until.get_or_insert_with(|| Instant::now() + self.question.wait)
    }

    /// Settles what to wait for, and how long.
    fn wait(&mut self, awaited: Awaited) -> Result<(), Refusal> {
        let mut until = self.until();
        self.take_place()?;
        let service = &self.service;
        if self.phase == Phase::Serving
            && let Some(left) = service.time_to_drain()
        {
            self.phase = Phase::Draining;
            until = until.min(Instant::now() + left);
            self.until = Some(until);
        }
        (self.bell, until) = match awaited {
            Awaited::News => (Bell::News(None), until),
            Awaited::Nothing => (Bell::Silence(service.drain().wait_draining()), until),
            Awaited::Time(pause) => (Bell::None, Instant::now() + pause),
        };
        self.timer.set(until);
        Ok(())
    }

    /// Looks once; what the answer must not cut through is left out or waited for.
    fn poll_look(&mut self, cx: &mut Context<'_>) -> Poll<Result<Look, Late>> {
        let mut limit = self.question.limit;
        loop {
            let (mut view, now, looked) = ready!(self.poll_view(cx, limit))?;
            limit = looked;
            let only = match self.cut(&view, now) {
                Cut::None => None,
                Cut::Growing(_, whole) if self.until() + STUCK <= Instant::now() => {
                    // The journal does not come to an end with what may share the last millisecond.
                    let only = first(&view, whole);
                    if only.is_empty() {
                        view = View { batch: None, next: view.read_state.cursor(), ..view };
                    }
                    Some(only)
                }
                Cut::Growing(pause, _) => return Poll::Ready(Ok(Look::Growing(pause))),
                Cut::Behind(whole) => Some(first(&view, whole)),
                // A channel takes no more than 1000 messages a millisecond, so with any number of bytes all fit.
                Cut::TooShort if limit.bytes < usize::MAX => {
                    limit = Limit { bytes: usize::MAX, ..Limit::default() };
                    continue;
                }
                Cut::TooShort => None,
            };
            let messages = view.batch.as_ref().map_or(&[][..], |batch| batch.messages());
            let only = match self.question.skips {
                Skips::Nothing => only,
                Skips::Deleted => {
                    let read_state = &view.read_state;
                    let given = only.as_deref().unwrap_or(messages);
                    let left =
                        self.service.store().not_retrieved(&self.question.channel, read_state.epoch, given);
                    if left.is_empty() && !given.is_empty() {
                        // All of it was given away: as if it were not there.
                        let last = given[given.len() - 1].seq;
                        self.pinned = Some(Pinned::after(Cursor { epoch: read_state.epoch, seq: last }));
                        continue;
                    }
                    Some(left)
                }
            };
            return Poll::Ready(Ok(Look::Given(Answer { view, now, only })));
        }
    }

    /// What there is after the position, when that was, and within which limit: a look that had to wait for the
    /// journal has kept the one it began with.
    fn poll_view(
        &mut self,
        cx: &mut Context<'_>,
        limit: Limit,
    ) -> Poll<Result<(View, Timestamp, Limit), Late>> {
        if self.fetching.is_none() {
            let (store, channel) = (self.service.store(), &self.question.channel);
            let (now, seen) = match self.pinned {
                None => (self.came, store.open_resident(self.came, channel, self.question.position, limit)),
                Some(pinned) => {
                    let now = self.service.now();
                    let view = store.read_resident(now, channel, &pinned, limit);
                    (now, view.map(|view| (pinned, view)))
                }
            };
            if let Some((pinned, view)) = seen {
                self.pinned = Some(pinned);
                return Poll::Ready(Ok((view, now, limit)));
            }
            self.fetching = Some(self.fetch(now, limit));
        }
        let Some(fetching) = &mut self.fetching else { return Poll::Pending };
        let Poll::Ready(fetched) = fetching.as_mut().poll(cx) else {
            let taken = self.take_place().map_err(Late::Refused);
            return taken.map_or_else(|refused| Poll::Ready(Err(refused)), |()| Poll::Pending);
        };
        self.fetching = None;
        let (pinned, view, now, limit) = fetched?;
        self.pinned = Some(pinned);
        Poll::Ready(Ok((view, now, limit)))
    }

    /// Looks at what is not in memory, for as long as the poll waits.
    fn fetch(&mut self, now: Timestamp, limit: Limit) -> Fetching {
        let until = self.until().max(Instant::now() + A_LOOK);
        let (service, channel) = (self.service.clone(), self.question.channel.clone());
        let (pinned, position) = (self.pinned, self.question.position);
        Box::pin(async move {
            let store = service.store();
            let look = async {
                let pinned = match pinned {
                    Some(pinned) => pinned,
                    None => store.pin(now, &channel, position).await?,
                };
                let view = store.read(now, &channel, &pinned, limit).await?;
                Ok((pinned, view, now, limit))
            };
            service.in_time(until, look).await
        })
    }

    /// The answer where the journal could not be asked in time: that nothing came, to whoever can be told where it was.
    fn unread(&self, late: Late) -> Result<Answer, Refusal> {
        let pinned = match (&late, self.pinned, self.question.position) {
            (Late::Unreadable(_) | Late::Refused(_), ..) => None,
            (_, Some(pinned), _) => Some(pinned),
            (_, None, Position::Start) => Some(Pinned::after(Cursor::ZERO)),
            (_, None, Position::After(cursor)) => Some(Pinned::after(cursor)),
            _ => None,
        };
        let read_state = pinned.as_ref().and_then(ReadState::unread).ok_or_else(|| Refusal::from(late))?;
        let view = View { read_state, batch: None, next: read_state.cursor() };
        Ok(Answer { view, now: self.service.now(), only: None })
    }

    /// Takes a place among those who wait, once.
    fn take_place(&mut self) -> Result<(), Refusal> {
        if self.place.is_none() {
            let (channel, client) = (&self.question.channel, &self.client);
            self.place = Some(self.service.take_place(Pattern::Long, channel, client)?);
        }
        Ok(())
    }
}

impl<W> Drop for LongPoll<W> {
    fn drop(&mut self) {
        self.leave();
        if let Some(names) = self.place.take() {
            self.service.give_place(Pattern::Long, &self.question.channel, &self.client, names);
        }
    }
}
