//! A long poll of several channels: answered by the first message of any. Those that come with the same token wait, and read
//! what they have waited for, [together](poll_core::ListFeed).

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use poll_core::{ChannelList, Continuity, Life, ListView, Place, ReadState, Seat, Timestamp};
use tokio::time::Instant;

use crate::access::client::Client;
use crate::dialect::native;
use crate::dialect::question::{ListAnswer, ListQuestion};
use crate::message::coding::Codings;
use crate::message::outcome::Outcome;
use crate::message::refusal::Refusal;
use crate::message::reply::{Reply, Wants};
use crate::message::respond;
use crate::pattern::long_poll::long_wait::LongWait;
use crate::worker::Worker;
use crate::worker::archive_read::{ReadError, SHORTEST_READ};

/// A parsed request.
pub(crate) struct ListRequest {
    pub(crate) question: Box<ListQuestion>,
    pub(crate) wants: Wants,
    pub(crate) codings: Codings,
}

/// Answers a question about several channels, after waiting if necessary.
pub(crate) fn answer_list(worker: &Worker, request: ListRequest, client: Client) -> Result<Outcome, Refusal> {
    Ok(Outcome::later(ListPoll::new(worker.clone(), request, client)))
}

/// A long poll of a list in progress, hand-written for its size like that of one channel.
struct ListPoll {
    question: Box<ListQuestion>,
    arrived_at: Timestamp,
    /// `None` before the first read, or before joining those who wait already.
    places: Option<Arc<[Place]>>,
    /// A read that has to wait for the archive.
    reading: Option<Reading>,
    long_wait: LongWait,
    waiting: Waiting,
}

/// What is waited for, besides the timer.
enum Waiting {
    /// It has not looked whether others wait at its places.
    New,
    No,
    ForNews(Seat),
    /// It is answered.
    Over,
}

type Found = (Arc<ListView>, Timestamp);
type Reading = Pin<Box<dyn Future<Output = Result<(Arc<[Place]>, ListView, Timestamp), ReadError>> + Send>>;

impl Future for ListPoll {
    type Output = Result<Reply, Refusal>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if matches!(this.waiting, Waiting::Over) {
            return Poll::Pending;
        }
        let (view, now) = ready!(this.poll_view_to_give(cx))?;
        this.waiting = Waiting::Over;
        let standing = &this.question.standing;
        let places = this.places.as_deref().unwrap_or_default();
        let answer = ListAnswer { standing, places, view: &view, now, codings: this.long_wait.codings };
        answer.check_budget()?;
        let reply = native::list_poll(&answer, "timestamp", respond::NO_STORE);
        let reply = this.long_wait.finish(reply, &standing.list, |worker, client| {
            worker.delivered_list(standing.channels(), &view, client);
            worker.missed_list(&view);
        })?;
        Poll::Ready(Ok(reply))
    }
}

impl ListPoll {
    fn new(worker: Worker, request: ListRequest, client: Client) -> Self {
        let ListRequest { question, wants, codings } = request;
        Self {
            arrived_at: worker.now(),
            long_wait: LongWait::new(worker, client, wants.wait(question.wait), wants, codings),
            question,
            places: None,
            reading: None,
            waiting: Waiting::New,
        }
    }

    fn list(&self) -> &Arc<ChannelList> {
        self.question.standing.channels()
    }

    /// Stops waiting.
    fn leave(&mut self) {
        if let Waiting::ForNews(seat) = std::mem::replace(&mut self.waiting, Waiting::No) {
            self.question.feed.wait.leave(seat);
        }
    }

    fn poll_view_to_give(&mut self, cx: &mut Context<'_>) -> Poll<Result<Found, Refusal>> {
        if matches!(self.waiting, Waiting::New) {
            self.join(cx)?;
        }
        loop {
            let found = ready!(self.poll_waiting(cx));
            self.long_wait.check_expiry()?;
            let (view, now) = match found {
                Some(found) => found,
                None => match ready!(self.poll_view(cx)) {
                    Ok(found) => found,
                    Err(error) => return Poll::Ready(self.view_without_read(error)),
                },
            };
            if let Some(batch) = &view.batch {
                self.long_wait.note_lag(now, batch.newest().at);
            }
            if view.batch.is_some() || view.is_closed() || self.is_to_tell(&view) || self.long_wait.is_over()
            {
                return Poll::Ready(Ok((view, now)));
            }
            self.long_wait.begin(&self.question.standing.list, None)?;
            let places = self.places_to_wait_at(&view);
            if let Some(seat) = self.question.feed.wait.wait(&places, cx.waker()) {
                self.waiting = Waiting::ForNews(seat);
            }
            self.places = Some(places);
        }
    }

    /// Joins those who wait where it would, if there are any: then there is nothing to read.
    fn join(&mut self, cx: &Context<'_>) -> Result<(), Refusal> {
        self.waiting = Waiting::No;
        let left = self.long_wait.until().saturating_duration_since(Instant::now());
        if let Some((seat, places)) = self.question.feed.wait.join(left, cx.waker()) {
            (self.waiting, self.places) = (Waiting::ForNews(seat), Some(places));
            self.long_wait.begin(&self.question.standing.list, None)?;
        }
        Ok(())
    }

    /// Whether the reader has to learn now what it missed of a channel that has ended: that is not looked at again while it
    /// waits for the others.
    fn is_to_tell(&self, view: &ListView) -> bool {
        let places = self.places.as_deref().unwrap_or_default();
        places.iter().zip(&view.next).any(|(place, next)| {
            let is_elsewhere = place.cursor != next.cursor || place.continuity == Continuity::Reset;
            place.life == Life::Open && next.life == Life::Over && is_elsewhere
        })
    }

    /// The positions never move while it waits, but what has ended is not waited for.
    fn places_to_wait_at(&self, view: &ListView) -> Arc<[Place]> {
        match &self.places {
            Some(places) if places.iter().zip(&view.next).all(|(place, next)| place.life == next.life) => {
                places.clone()
            }
            Some(places) => {
                let both = places.iter().zip(&view.next);
                both.map(|(place, next)| Place { life: next.life, ..*place }).collect()
            }
            None => view.next.as_slice().into(),
        }
    }

    /// Ready when there is a reason to read, with what was found if others that waited for the same have read it.
    fn poll_waiting(&mut self, cx: &mut Context<'_>) -> Poll<Option<Found>> {
        let Waiting::ForNews(seat) = &self.waiting else { return Poll::Ready(None) };
        let (feed, worker) = (&self.question.feed.wait, &self.long_wait.worker);
        let found = if feed.poll_seat(seat, cx.waker()).is_ready() {
            feed.look(worker.now(), self.question.limit)
        } else {
            if !self.long_wait.hears_drain() {
                ready!(self.long_wait.poll_timer(cx));
            }
            None
        };
        self.leave();
        self.long_wait.stop();
        Poll::Ready(found)
    }

    fn poll_view(&mut self, cx: &mut Context<'_>) -> Poll<Result<Found, ReadError>> {
        if self.reading.is_none() {
            if let Some(found) = self.view_resident() {
                return Poll::Ready(Ok(found));
            }
            self.reading = Some(self.read());
        }
        let Some(reading) = &mut self.reading else { return Poll::Pending };
        let Poll::Ready(read) = reading.as_mut().poll(cx) else {
            let taken = self.long_wait.take_permit(&self.question.standing.list).map_err(ReadError::Refused);
            return taken.map_or_else(|refused| Poll::Ready(Err(refused)), |()| Poll::Pending);
        };
        self.reading = None;
        let (places, view, now) = read?;
        self.places = Some(places);
        Poll::Ready(Ok((Arc::new(view), now)))
    }

    /// What there is, if all of it is in memory.
    fn view_resident(&mut self) -> Option<Found> {
        let (store, limit) = (self.long_wait.worker.store(), self.question.limit);
        let (view, now) = if let Some(places) = &self.places {
            let now = self.long_wait.worker.now();
            (store.read_list_resident(now, self.list(), places, open(places), limit)?, now)
        } else {
            let now = self.arrived_at;
            let settled = store.pin_list_resident(now, self.list(), &self.question.feed.start)?;
            let (places, states): (Vec<Place>, Vec<ReadState>) = settled.into_iter().unzip();
            let due = states.into_iter().map(Some).enumerate();
            let view = store.read_list_resident(now, self.list(), &places, due, limit)?;
            self.places = Some(places.into());
            (view, now)
        };
        Some((Arc::new(view), now))
    }

    /// Reads what may not be in memory, for as long as the poll waits.
    fn read(&mut self) -> Reading {
        let until = self.long_wait.until().max(Instant::now() + SHORTEST_READ);
        let (worker, list) = (self.long_wait.worker.clone(), self.list().clone());
        let (limit, arrived_at, places) = (self.question.limit, self.arrived_at, self.places.clone());
        let feed = self.question.feed.clone();
        Box::pin(async move {
            let store = worker.store();
            let read = async {
                if let Some(places) = places {
                    let now = worker.now();
                    let view = store.read_list(now, &list, &places, open(&places), limit).await?;
                    return Ok((places, view, now));
                }
                let (places, states): (Vec<_>, Vec<_>) =
                    store.pin_list(arrived_at, &list, &feed.start).await?.into_iter().unzip();
                let due = states.into_iter().map(Some).enumerate();
                let view = store.read_list(arrived_at, &list, &places, due, limit).await?;
                Ok((places.into(), view, arrived_at))
            };
            worker.read_until(until, read).await
        })
    }

    /// What to answer if the archive could not be read in time: no messages, if the reader's positions are known.
    fn view_without_read(&mut self, error: ReadError) -> Result<Found, Refusal> {
        self.long_wait.check_expiry()?;
        if matches!(error, ReadError::Unreadable(_) | ReadError::Refused(_)) {
            return Err(error.into());
        }
        let places = match self.places.take() {
            Some(places) => places,
            None => {
                let places = self.question.feed.start.unread(self.list());
                places.ok_or_else(|| Refusal::from(error))?.into()
            }
        };
        let view = ListView { looks: Vec::new(), batch: None, next: places.to_vec() };
        self.places = Some(places);
        Ok((Arc::new(view), self.long_wait.worker.now()))
    }
}

/// The channels of which anything can follow.
fn open(places: &[Place]) -> impl Iterator<Item = (usize, Option<ReadState>)> + '_ {
    let open = places.iter().enumerate().filter(|(_, place)| place.life == Life::Open);
    open.map(|(channel, _)| (channel, None))
}

impl Drop for ListPoll {
    fn drop(&mut self) {
        self.leave();
        self.long_wait.release(&self.question.standing.list);
    }
}
