//! Long poll: answers when there are messages, when the channel ends, when the time is up, when the token expires, or when
//! the server drains.
//!
//! The position is resolved once, before the first read, and never moves while waiting: missed messages are counted from
//! where the reader really was.

mod list;
mod long_wait;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use poll_core::life::Use;
use poll_core::{
    ChannelName, Cursor, Locator, Message, Pinned, Position, ReadState, Ticket, Timestamp, View,
};
use tokio::time::Instant;

pub(crate) use self::list::{ListRequest, answer_list};
use self::long_wait::LongWait;
use crate::access::client::Client;
use crate::dialect::format::{Lookup, Opening, PollFormat, Ready};
use crate::dialect::question::{Answer, AtEnd, Question};
use crate::message::coding::Codings;
use crate::message::outcome::Outcome;
use crate::message::refusal::Refusal;
use crate::message::reply::{Reply, Wants};
use crate::worker::Worker;
use crate::worker::archive_read::{ReadError, SHORTEST_READ};
use crate::worker::drain::WaitDraining;

/// A parsed request, and its dialect's format.
pub(crate) struct Request {
    pub(crate) question: Question,
    pub(crate) format: Box<dyn PollFormat>,
    pub(crate) wants: Wants,
    pub(crate) codings: Codings,
}

/// Answers a question, after waiting if necessary.
pub(crate) fn answer(worker: &Worker, mut request: Request, client: Client) -> Result<Outcome, Refusal> {
    request.question.wait = request.wants.wait(request.question.wait);
    let worker = worker.clone();
    Ok(match request.format.opening() {
        Opening::Nothing => Outcome::later(LongPoll::new(worker, request, client)),
        Opening::Position(position) => Outcome::later(async move {
            let request = resolve_start(&worker, request, position, &client).await?;
            LongPoll::new(worker, request, client).await
        }),
        Opening::Described => Outcome::later(async move {
            let Request { question, mut format, wants, codings } = request;
            let standing = worker.describe(&question.reading.channel, Use::Renew, &client).await?;
            let question = format.begin(question, standing)?;
            LongPoll::new(worker, Request { question, format, wants, codings }, client).await
        }),
    })
}

/// Lets the dialect decide where the poll starts, from what is at a position.
async fn resolve_start(
    worker: &Worker,
    request: Request,
    position: Position,
    client: &Client,
) -> Result<Request, Refusal> {
    let Request { question, mut format, wants, codings } = request;
    let (store, now, channel) = (worker.store(), worker.now(), &question.reading.channel);
    let read = async {
        let pinned = store.pin(now, channel, position).await?;
        let read_state = store.read_state(now, channel, &pinned).await?;
        let message = match position {
            Position::AfterId(_) => {
                Some(store.message(now, channel, Locator::Seq(read_state.position)).await?)
            }
            _ => None,
        };
        let lookup = Lookup { now, read_state, message };
        // After the lookup, so that an event published in between comes after the position and is sent.
        let settled = match format.settles(&lookup) {
            Some(millis) => store.settle(now, channel, millis).await?,
            None => 0,
        };
        Ok((lookup, settled))
    };
    let begun = Instant::now();
    let (lookup, settled) = worker.archive_read(channel, client, question.wait, read).await?;
    let wait = question.wait.saturating_sub(begun.elapsed());
    let question = format.start(Question { wait, ..question }, &lookup, settled);
    Ok(Request { question, format, wants, codings })
}

/// A long poll in progress. A hand-written future: there is one per waiter, and an `async fn` is three times as large,
/// because it stores what it awaits besides its own variables.
struct LongPoll {
    question: Question,
    /// `None` once it is answered.
    format: Option<Box<dyn PollFormat>>,
    arrived_at: Timestamp,
    /// `None` before the first read.
    pinned: Option<Pinned>,
    /// A read that has to wait for the archive, or that reads on behind a view.
    reading: Option<Reading>,
    /// How many messages are missing in front of and between those that were skipped, as the dialect sends none of them.
    missing: u64,
    long_wait: LongWait,
    waiting: Waiting,
}

type Reading = Pin<Box<dyn Future<Output = Result<(Pinned, View, Timestamp), ReadError>> + Send>>;

/// What there is to wait for.
#[derive(Clone, Copy)]
enum Awaited {
    /// Time to pass.
    Time(Duration),
    /// A message after the position.
    News,
    /// Only the timer: the channel has ended, and the dialect cannot express that.
    Nothing,
}

/// What is waited for, besides the timer.
enum Waiting {
    No,
    /// New messages.
    ForNews(Option<Ticket>),
    /// No message can follow, but the server may drain.
    ForDrain(WaitDraining),
}

/// The result of one read.
enum Look {
    /// Everything that the dialect may send.
    Given(Answer),
    /// The same, and nothing is waited for.
    Over(Answer),
    /// There are messages, but the dialect must not send them before this time has passed.
    Held(Duration),
}

impl Future for LongPoll {
    type Output = Result<Reply, Refusal>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let answer = ready!(this.poll_answer(cx))?;
        answer.check_budget()?;
        // `None` only if polled after completion.
        let Some(format) = this.format.take() else { return Poll::Pending };
        let channel = &this.question.reading.channel;
        let reply = format.write(channel, &answer)?;
        let reply = this.long_wait.finish(reply, channel, |worker, client| {
            worker.delivered(channel, &answer.view.read_state, answer.messages(), client);
            worker.missed(answer.missed());
        })?;
        Poll::Ready(Ok(reply))
    }
}

impl LongPoll {
    fn new(worker: Worker, request: Request, client: Client) -> Self {
        let Request { question, format, wants, codings } = request;
        Self {
            arrived_at: worker.now(),
            long_wait: LongWait::new(worker, client, question.wait, wants, codings),
            pinned: None,
            reading: None,
            missing: 0,
            waiting: Waiting::No,
            question,
            format: Some(format),
        }
    }

    fn channel(&self) -> &ChannelName {
        &self.question.reading.channel
    }

    /// Stops waiting.
    fn deregister(&mut self) {
        if let Waiting::ForNews(mut ticket) = std::mem::replace(&mut self.waiting, Waiting::No) {
            let worker = &self.long_wait.worker;
            worker.store().deregister(self.channel(), worker.polls(), &mut ticket);
        }
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<Answer, Refusal>> {
        loop {
            ready!(self.poll_waiting(cx));
            self.long_wait.check_expiry()?;
            match ready!(self.poll_look(cx)) {
                Err(error) => return Poll::Ready(self.answer_without_read(error)),
                Ok(Look::Held(pause)) => self.wait(Awaited::Time(pause))?,
                Ok(Look::Over(answer)) => return Poll::Ready(Ok(answer)),
                Ok(Look::Given(answer)) => {
                    let Answer { view, now, .. } = &answer;
                    if let Some(batch) = &view.batch {
                        self.long_wait.note_lag(*now, batch.newest().at);
                    }
                    let ended = self.question.at_end == AtEnd::Answer && view.is_closed();
                    if view.batch.is_some() || ended || self.long_wait.is_over() {
                        return Poll::Ready(Ok(answer));
                    }
                    self.wait(if view.is_closed() { Awaited::Nothing } else { Awaited::News })?;
                }
            }
        }
    }

    /// Ready when there is a reason to read.
    fn poll_waiting(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let long_wait = &self.long_wait;
        let woken = match &mut self.waiting {
            Waiting::No => !long_wait.is_timed(),
            Waiting::ForNews(ticket) => {
                let Some(pinned) = &self.pinned else { return Poll::Ready(()) };
                let (worker, channel) = (&long_wait.worker, &self.question.reading.channel);
                worker.store().poll_wait(channel, pinned, worker.polls(), ticket, cx).is_ready()
                    || long_wait.hears_drain()
            }
            Waiting::ForDrain(drain) => Pin::new(drain).poll(cx).is_ready() && long_wait.is_serving(),
        };
        if !woken {
            ready!(self.long_wait.poll_timer(cx));
        }
        self.deregister();
        self.long_wait.stop();
        Poll::Ready(())
    }

    /// Starts to wait.
    fn wait(&mut self, awaited: Awaited) -> Result<(), Refusal> {
        let pause = if let Awaited::Time(pause) = awaited { Some(pause) } else { None };
        self.long_wait.begin(&self.question.reading.channel, pause)?;
        self.waiting = match awaited {
            Awaited::News => Waiting::ForNews(None),
            Awaited::Nothing => Waiting::ForDrain(self.long_wait.worker.drain().wait_draining()),
            Awaited::Time(_) => Waiting::No,
        };
        Ok(())
    }

    /// Reads as much as the dialect needs at once, then drops or delays what it must not send yet.
    fn poll_look(&mut self, cx: &mut Context<'_>) -> Poll<Result<Look, ReadError>> {
        let codings = self.long_wait.codings;
        loop {
            let (mut view, now) = ready!(self.poll_view(cx))?;
            // `None` only if polled after completion.
            let Some(format) = &mut self.format else { return Poll::Pending };
            let channel = &self.question.reading.channel;
            let only = match format.ready(channel, &view, now) {
                Ready::All => None,
                Ready::NotYet { grace, first: count, .. }
                    if self.long_wait.until() + grace <= Instant::now() =>
                {
                    let only = first(&view, count);
                    if only.is_empty() {
                        view = View { batch: None, next: view.read_state.cursor(), ..view };
                    }
                    Some(only)
                }
                Ready::NotYet { pause, .. } => return Poll::Ready(Ok(Look::Held(pause))),
                Ready::First(count) => Some(first(&view, count)),
                Ready::Over => {
                    let missing = self.missing;
                    let answer = Answer { view, now, only: None, missing, is_unread: false, codings };
                    return Poll::Ready(Ok(Look::Over(answer)));
                }
                // There is no memory for what it has already, so it is refused.
                Ready::TooShort if view.batch.as_ref().is_some_and(|batch| batch.is_over_budget()) => None,
                Ready::TooShort => {
                    self.reading = Some(self.read(now, Some(view)));
                    continue;
                }
            };
            let mut answer = Answer { view, now, only, missing: 0, is_unread: false, codings };
            answer.missing = self.missing + missing_between(answer.messages());
            let (read_state, given) = (&answer.view.read_state, answer.messages());
            let Some(left) = self.select(read_state, given) else {
                return Poll::Ready(Ok(Look::Given(answer)));
            };
            if let Some(last) = given.last().filter(|_| left.is_empty()) {
                // The dialect sends none of these messages: skip them.
                self.pinned = Some(Pinned::after(Cursor { epoch: read_state.epoch, seq: last.seq }));
                self.missing = answer.missed().unwrap_or(answer.missing);
                continue;
            }
            answer.only = Some(left);
            return Poll::Ready(Ok(Look::Given(answer)));
        }
    }

    fn select(&self, read_state: &ReadState, messages: &[Arc<Message>]) -> Option<Vec<Arc<Message>>> {
        self.format.as_ref()?.select(self.channel(), read_state, messages)
    }

    /// The messages after the position, with the time of the read.
    fn poll_view(&mut self, cx: &mut Context<'_>) -> Poll<Result<(View, Timestamp), ReadError>> {
        if self.reading.is_none() {
            let (worker, asked) = (&self.long_wait.worker, &self.question.reading);
            let limit = self.question.limit;
            let store = worker.store();
            let (now, seen) = match self.pinned {
                None => {
                    let (now, wait) = (self.arrived_at, self.question.wait);
                    (now, store.open_to_wait(now, &asked.channel, asked.position, limit, wait))
                }
                Some(pinned) => {
                    let now = worker.now();
                    let view = store.read_resident(now, &asked.channel, &pinned, limit);
                    (now, view.map(|view| (pinned, view)))
                }
            };
            if let Some((pinned, view)) = seen {
                self.pinned = Some(pinned);
                return Poll::Ready(Ok((view, now)));
            }
            self.reading = Some(self.read(now, None));
        }
        let Some(reading) = &mut self.reading else { return Poll::Pending };
        let Poll::Ready(read) = reading.as_mut().poll(cx) else {
            let taken =
                self.long_wait.take_permit(&self.question.reading.channel).map_err(ReadError::Refused);
            return taken.map_or_else(|refused| Poll::Ready(Err(refused)), |()| Poll::Pending);
        };
        self.reading = None;
        let (pinned, view, now) = read?;
        self.pinned = Some(pinned);
        Poll::Ready(Ok((view, now)))
    }

    /// Reads from the archive, for as long as the poll waits: the messages after the position, or those after the view in
    /// `front`, which are put together with it.
    fn read(&mut self, now: Timestamp, front: Option<View>) -> Reading {
        let until = self.long_wait.until().max(Instant::now() + SHORTEST_READ);
        let Question { reading: asked, limit, .. } = self.question.clone();
        let (worker, pinned) = (self.long_wait.worker.clone(), self.pinned);
        Box::pin(async move {
            let (store, channel) = (worker.store(), &asked.channel);
            let read = async {
                let pinned = match pinned {
                    Some(pinned) => pinned,
                    None => store.pin(now, channel, asked.position).await?,
                };
                let joined = match front {
                    Some(front) => store.read_on(now, channel, front, limit).await?,
                    None => None,
                };
                let view = match joined {
                    Some(view) => view,
                    None => store.read(now, channel, &pinned, limit).await?,
                };
                Ok((pinned, view, now))
            };
            worker.read_until(until, read).await
        })
    }

    /// The answer if the archive could not be read in time: no messages, if the reader's position is known.
    fn answer_without_read(&mut self, error: ReadError) -> Result<Answer, Refusal> {
        self.long_wait.check_expiry()?;
        let pinned = match (&error, self.pinned, self.question.reading.position) {
            (ReadError::Unreadable(_) | ReadError::Refused(_), ..) => None,
            (_, Some(pinned), _) => Some(pinned),
            (_, None, Position::Start) => Some(Pinned::after(Cursor::ZERO)),
            (_, None, Position::After(cursor)) => Some(Pinned::after(cursor)),
            _ => None,
        };
        let read_state = pinned.as_ref().and_then(ReadState::unread).ok_or_else(|| Refusal::from(error))?;
        let view = View { read_state, batch: None, next: read_state.cursor() };
        let LongWait { worker, codings, .. } = &self.long_wait;
        let (now, missing, codings) = (worker.now(), self.missing, *codings);
        Ok(Answer { view, now, only: None, missing, is_unread: true, codings })
    }
}

/// How many messages are missing between these.
fn missing_between(messages: &[Arc<Message>]) -> u64 {
    let [first, .., last] = messages else { return 0 };
    (last.seq.get() - first.seq.get() + 1).saturating_sub(messages.len() as u64)
}

/// The first messages of a view.
fn first(view: &View, count: usize) -> Vec<Arc<Message>> {
    view.batch.as_ref().map_or_else(Vec::new, |batch| batch.messages()[..count].to_vec())
}

impl Drop for LongPoll {
    fn drop(&mut self) {
        self.deregister();
        self.long_wait.release(&self.question.reading.channel);
    }
}
