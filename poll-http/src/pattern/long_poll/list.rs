//! A long poll of several channels: one waiter, registered in each, answered by the first message of any.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use poll_core::{ChannelList, ListStart, ListView, ListWait, Place, Position, Timestamp};
use tokio::time::Instant;

use crate::access::client::Client;
use crate::dialect::native;
use crate::dialect::question::{ListAnswer, ListQuestion, ListStanding};
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
}

/// Answers a question about several channels, after waiting if necessary.
pub(crate) fn answer_list(worker: &Worker, request: ListRequest, client: Client) -> Result<Outcome, Refusal> {
    Ok(Outcome::later(ListPoll::new(worker.clone(), request, client)))
}

/// A long poll of a list in progress, hand-written for its size like that of one channel.
struct ListPoll {
    question: Box<ListQuestion>,
    standing: ListStanding,
    arrived_at: Timestamp,
    /// Empty before the first read.
    places: Vec<Place>,
    /// A read that has to wait for the archive.
    reading: Option<Reading>,
    long_wait: LongWait,
    waiting: Waiting,
    registered: ListWait,
    /// The channels to look at next.
    due: Vec<usize>,
}

/// What is waited for, besides the timer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waiting {
    No,
    ForNews,
    /// It is answered.
    Over,
}

type Reading = Pin<Box<dyn Future<Output = Result<(Vec<Place>, ListView, Timestamp), ReadError>> + Send>>;

impl Future for ListPoll {
    type Output = Result<Reply, Refusal>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if this.waiting == Waiting::Over {
            return Poll::Pending;
        }
        let (view, now) = ready!(this.poll_view_to_give(cx))?;
        this.waiting = Waiting::Over;
        let answer = ListAnswer { standing: &this.standing, places: &this.places, view, now };
        answer.check_budget()?;
        let reply = native::list_poll(&answer, "timestamp", respond::NO_STORE);
        let list = &this.standing.list;
        let reply = this.long_wait.finish(reply, list, |worker, client| {
            worker.delivered_list(list, &answer.view, client);
            worker.missed_list(&answer.view);
        })?;
        Poll::Ready(Ok(reply))
    }
}

impl ListPoll {
    fn new(worker: Worker, request: ListRequest, client: Client) -> Self {
        let ListRequest { mut question, wants } = request;
        let standing = ListStanding::new(&worker, &mut question);
        Self {
            arrived_at: worker.now(),
            long_wait: LongWait::new(worker, client, wants.wait(question.wait), wants),
            standing,
            question,
            places: Vec::new(),
            reading: None,
            waiting: Waiting::No,
            registered: ListWait::default(),
            due: Vec::new(),
        }
    }

    fn list(&self) -> &Arc<ChannelList> {
        &self.standing.list
    }

    /// Stops waiting.
    fn deregister(&mut self) {
        let worker = &self.long_wait.worker;
        worker.store().deregister_list(&self.standing.list, worker.polls(), &mut self.registered);
    }

    fn poll_view_to_give(&mut self, cx: &mut Context<'_>) -> Poll<Result<(ListView, Timestamp), Refusal>> {
        loop {
            ready!(self.poll_waiting(cx));
            self.long_wait.check_expiry()?;
            let (view, now) = match ready!(self.poll_view(cx)) {
                Ok(seen) => seen,
                Err(error) => return Poll::Ready(self.view_without_read(error)),
            };
            if let Some(batch) = &view.batch {
                self.long_wait.note_lag(now, batch.newest().at);
            }
            if view.batch.is_some() || view.is_closed() || self.long_wait.is_over() {
                return Poll::Ready(Ok((view, now)));
            }
            // The positions never move while it waits, but what has ended is not waited for.
            for (place, next) in self.places.iter_mut().zip(&view.next) {
                place.life = next.life;
            }
            self.long_wait.begin(&self.standing.list, None)?;
            self.waiting = Waiting::ForNews;
        }
    }

    /// Ready when there is a reason to read.
    fn poll_waiting(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.waiting == Waiting::No {
            return Poll::Ready(());
        }
        let (worker, list) = (&self.long_wait.worker, &self.standing.list);
        let news = worker
            .store()
            .poll_wait_list(list, &self.places, worker.polls(), &mut self.registered, cx)
            .is_ready();
        if !news && !self.long_wait.hears_drain() {
            ready!(self.long_wait.poll_timer(cx));
        }
        self.due = self.registered.due(&self.places);
        self.deregister();
        self.long_wait.stop();
        self.waiting = Waiting::No;
        Poll::Ready(())
    }

    fn poll_view(&mut self, cx: &mut Context<'_>) -> Poll<Result<(ListView, Timestamp), ReadError>> {
        if self.reading.is_none() {
            let (worker, limit) = (&self.long_wait.worker, self.question.limit);
            if !self.places.is_empty() {
                let (store, now) = (worker.store(), worker.now());
                let due = self.due.iter().map(|&channel| (channel, None));
                let view = store.read_list_resident(now, self.list(), &self.places, due, limit);
                if let Some(view) = view {
                    return Poll::Ready(Ok((view, now)));
                }
            }
            self.reading = Some(self.read());
        }
        let Some(reading) = &mut self.reading else { return Poll::Pending };
        let Poll::Ready(read) = reading.as_mut().poll(cx) else {
            let taken = self.long_wait.take_permit(&self.standing.list).map_err(ReadError::Refused);
            return taken.map_or_else(|refused| Poll::Ready(Err(refused)), |()| Poll::Pending);
        };
        self.reading = None;
        let (places, view, now) = read?;
        self.places = places;
        // Large, and not needed again.
        self.question.start = ListStart::Each(Position::Start);
        Poll::Ready(Ok((view, now)))
    }

    /// Reads what may not be in memory, for as long as the poll waits.
    fn read(&mut self) -> Reading {
        let until = self.long_wait.until().max(Instant::now() + SHORTEST_READ);
        let (worker, list) = (self.long_wait.worker.clone(), self.standing.list.clone());
        let (limit, arrived_at, places) = (self.question.limit, self.arrived_at, self.places.clone());
        let (start, due) = (self.question.start.clone(), self.due.clone());
        Box::pin(async move {
            let (store, now) = (worker.store(), if places.is_empty() { arrived_at } else { worker.now() });
            let read = async {
                if places.is_empty() {
                    let (places, states): (Vec<_>, Vec<_>) =
                        store.pin_list(now, &list, &start).await?.into_iter().unzip();
                    let due = states.into_iter().map(Some).enumerate();
                    let view = store.read_list(now, &list, &places, due, limit).await?;
                    return Ok((places, view, now));
                }
                let due = due.into_iter().map(|channel| (channel, None));
                let view = store.read_list(now, &list, &places, due, limit).await?;
                Ok((places, view, now))
            };
            worker.read_until(until, read).await
        })
    }

    /// What to answer if the archive could not be read in time: no messages, if the reader's positions are known.
    fn view_without_read(&mut self, error: ReadError) -> Result<(ListView, Timestamp), Refusal> {
        self.long_wait.check_expiry()?;
        if matches!(error, ReadError::Unreadable(_) | ReadError::Refused(_)) {
            return Err(error.into());
        }
        if self.places.is_empty() {
            let places = self.question.start.unread(&self.standing.list);
            self.places = places.ok_or_else(|| Refusal::from(error))?;
        }
        let view = ListView { looks: Vec::new(), batch: None, next: self.places.clone() };
        Ok((view, self.long_wait.worker.now()))
    }
}

impl Drop for ListPoll {
    fn drop(&mut self) {
        self.deregister();
        self.long_wait.release(&self.standing.list);
    }
}
