//! Reads several channels continuously, for every response that stays open and names more than one.
//!
//! Like a channel reader it is positions, not a queue. Unless a broadcast waits for it, it is registered in each of its
//! channels; a message costs it a look at the channel that has it, and at its other registrations, but none at the other
//! logs.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use poll_core::{
    ChannelList, Charge, Continuity, JournalError, Kind, Life, ListBatch, ListView, ListWait, OverBudget,
    Place, Rendering, Timestamp,
};
use tokio::time::Instant;

use crate::access::client::Client;
use crate::dialect::frame::Framing;
use crate::dialect::native;
use crate::dialect::question::ListStanding;
use crate::dialect::stream_event::{Finality, StreamEvent};
use crate::message::body::Promise;
use crate::message::refusal::Refusal;
use crate::stream::reader::Reader;
use crate::stream::schedule::{ArchiveRead, Schedule};
use crate::stream::style::Style;
use crate::stream::subject::list_limit;
use crate::worker::Worker;
use crate::worker::settings::Receipts;

/// A reader of several channels that stays.
pub(crate) struct ListReader {
    standing: ListStanding,
    client: Client,
    /// Shared with the broadcast's other readers, once it has written to them. No vector: one that is collected from what
    /// was read keeps the room of that, which is three times as much.
    places: Arc<[Place]>,
    /// A read that has to wait for the archive.
    reading: Option<Box<ArchiveRead<ListView>>>,
    wait: ListWait,
    schedule: Schedule,
    progress: Progress,
    /// What the last read gave and is still to be told.
    found: Option<Box<Found>>,
    /// The rendering of the batch that is being sent, if it is this reader's alone.
    own: Option<Rendering>,
    framing: Framing,
    /// For its places.
    _charge: Charge,
}

/// What a reader keeps of each channel by itself, in bytes: once it has caught up, a broadcast waits for it.
const PLACE_BYTES: usize = size_of::<Place>();

/// How far a reader has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// It has not read yet.
    New,
    /// It has not waited yet: messages it reads are not new.
    Behind,
    /// It waits.
    Waiting,
    /// It has waited: messages it reads are new.
    Live,
    Ended,
}

struct Found {
    view: ListView,
    now: Timestamp,
    /// The channels in which messages were missed, the position was not found, or nothing can be read any more.
    resets: VecDeque<usize>,
}

type Event = StreamEvent<ListBatch, String>;

impl ListReader {
    pub(crate) fn new(
        worker: &Worker,
        standing: ListStanding,
        places: Arc<[Place]>,
        client: Client,
        framing: Framing,
    ) -> Result<Self, OverBudget> {
        let bytes = (places.len() * PLACE_BYTES) as u64;
        let charge = worker.store().memory().charge(Kind::Names, bytes)?;
        Ok(Self {
            standing,
            places,
            reading: None,
            wait: ListWait::default(),
            schedule: Schedule::new(worker, &client),
            client,
            progress: Progress::New,
            found: None,
            own: None,
            framing,
            _charge: charge,
        })
    }

    fn worker(&self) -> &Worker {
        &self.schedule.worker
    }

    fn list(&self) -> &Arc<ChannelList> {
        self.standing.channels()
    }

    /// Where the reader has to come back with.
    fn token(&self) -> String {
        self.standing.token(self.places.iter().map(Place::token))
    }

    fn deregister(&mut self) {
        let worker = &self.schedule.worker;
        worker.store().deregister_list(self.standing.channels(), worker.streams(), &mut self.wait);
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        if self.progress == Progress::Ended {
            return Poll::Ready(None);
        }
        // Also one that never catches up.
        if self.schedule.is_expired() {
            return Poll::Ready(self.due());
        }
        loop {
            if let Some(event) = self.take_found() {
                return Poll::Ready(Some(event));
            }
            // The first look is at all channels: a reset is told even where there is nothing to wait for.
            let unread = self.progress == Progress::New || self.reading.is_some();
            if unread || self.poll_news(cx).is_ready() {
                if let Some(event) = ready!(self.poll_look(cx)) {
                    return Poll::Ready(Some(event));
                }
                continue;
            }
            if self.places.iter().all(|place| place.life == Life::Over) {
                self.progress = Progress::Ended;
                return Poll::Ready(Some(StreamEvent::Ended(self.token())));
            }
            if let Some(event) = self.due() {
                return Poll::Ready(Some(event));
            }
            // Drain and intake are checked after registering, like news.
            if self.schedule.is_woken_by_drain()
                && self.schedule.has_told_intake()
                && self.schedule.poll_timer(cx).is_pending()
            {
                return Poll::Pending;
            }
        }
    }

    /// Ready when a channel has to be looked at; otherwise registered in all that can still have messages.
    fn poll_news(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Self { schedule, standing, places, wait, progress, .. } = self;
        let worker = &schedule.worker;
        let news = worker.store().poll_wait_list(standing.channels(), places, worker.streams(), wait, cx);
        *progress = match (*progress, news) {
            (Progress::Behind, Poll::Ready(())) => Progress::Behind,
            (_, Poll::Ready(())) => Progress::Live,
            (_, Poll::Pending) => Progress::Waiting,
        };
        news
    }

    /// Looks at the channels that may have news; `None` once that is done. While the archive is read, whatever is due.
    fn poll_look(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        loop {
            match self.poll_view(cx) {
                Poll::Ready(Ok((view, now))) => {
                    self.found = Some(Box::new(Found::new(view, now)));
                    if self.progress == Progress::New {
                        self.progress = Progress::Behind;
                    }
                    return Poll::Ready(None);
                }
                Poll::Ready(Err(error)) => {
                    // A reader that reconnects gets the reason as a response.
                    tracing::debug!(channels = ?self.list().names(), %error, "stream aborted");
                    self.progress = Progress::Ended;
                    return Poll::Ready(Some(StreamEvent::Broken));
                }
                Poll::Pending => {}
            }
            if let Some(event) = self.due() {
                return Poll::Ready(Some(event));
            }
            let Some(reading) = &mut self.reading else { return Poll::Pending };
            ready!(reading.poll_disturbed(&mut self.schedule, cx));
        }
    }

    fn poll_view(&mut self, cx: &mut Context<'_>) -> Poll<Result<(ListView, Timestamp), JournalError>> {
        if self.reading.is_none() {
            let worker = self.worker();
            let (store, now, limit) = (worker.store(), worker.now(), list_limit(self.places.len()));
            let due = self.wait.due(&self.places).into_iter().map(|channel| (channel, None));
            let view = store.read_list_resident(now, self.list(), &self.places, due.clone(), limit);
            if let Some(view) = view {
                return Poll::Ready(Ok((view, now)));
            }
            let (store, list, places) = (store.clone(), self.list().clone(), self.places.clone());
            let view = async move { store.read_list(now, &list, &places, due, limit).await };
            self.reading = Some(ArchiveRead::new(worker, view));
        }
        let Some(reading) = &mut self.reading else { return Poll::Pending };
        let view = ready!(reading.poll_view(cx));
        self.reading = None;
        Poll::Ready(view.map(|view| (view, self.worker().now())))
    }

    /// What the last read gave: one reset after another, then the messages.
    fn take_found(&mut self) -> Option<Event> {
        let mut found = self.found.take()?;
        if let Some(channel) = found.resets.pop_front() {
            let state = found.view.looks.iter().find(|(looked, _)| *looked == channel)?.1;
            let damaged = found.view.next[channel].life == Life::Damaged;
            let (mut missed, place) = (state.missed(), &mut Arc::make_mut(&mut self.places)[channel]);
            if damaged {
                // How much is lost is not known.
                (missed, place.life) = (None, Life::Damaged);
            } else {
                (place.cursor, place.continuity) = (state.cursor(), Continuity::Kept);
            }
            self.found = Some(found);
            self.worker().missed(missed);
            self.schedule.sent(Instant::now());
            let channel = Some(self.list().names()[channel].clone());
            return Some(StreamEvent::Reset { channel, missed, cursor: self.token() });
        }
        let Found { view, now, .. } = *found;
        if view.looks.iter().any(|&(channel, _)| self.places[channel] != view.next[channel]) {
            let places = Arc::make_mut(&mut self.places);
            view.looks.iter().for_each(|&(channel, _)| places[channel] = view.next[channel]);
        }
        let batch = view.batch.as_ref()?;
        if batch.is_over_budget() {
            self.worker().metrics().refused(Refusal::from(OverBudget(Kind::Answers)).reason());
            self.progress = Progress::Ended;
            return Some(StreamEvent::Broken);
        }
        self.worker().delivered_list(self.list(), &view, &self.client);
        if self.progress == Progress::Live {
            self.worker().handed_over(now.since(batch.newest().at), 1);
        }
        let Self { standing, framing, .. } = self;
        let (list, put_by) = (standing.channels(), &standing.put_by);
        self.own = (!put_by.is_empty()).then(|| native::render_list_updates(list, put_by, batch, *framing));
        self.schedule.sent(Instant::now());
        Some(StreamEvent::Batch(batch.clone(), Finality::MoreMayFollow))
    }

    /// The event that is due by time; sets the timer if there is none.
    fn due(&mut self) -> Option<Event> {
        let Self { schedule, standing, places, .. } = self;
        let event = schedule.due(|| standing.token(places.iter().map(Place::token)))?;
        if event.is_last() {
            self.progress = Progress::Ended;
        }
        Some(event)
    }
}

impl Found {
    fn new(view: ListView, now: Timestamp) -> Self {
        let told = view.looks.iter().filter(|(channel, state)| {
            state.continuity == Continuity::Reset
                || state.missed().is_some_and(|missed| missed > 0)
                || view.next[*channel].life == Life::Damaged
        });
        let resets = told.map(|(channel, _)| *channel).collect();
        Self { view, now, resets }
    }
}

impl Reader for ListReader {
    type Subject = Arc<ChannelList>;
    type Cursor = String;

    fn subject(&self) -> &Arc<ChannelList> {
        self.list()
    }

    fn schedule(&mut self) -> &mut Schedule {
        &mut self.schedule
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.poll_next(cx)
    }

    fn rendering<'a>(&'a self, batch: &'a ListBatch, style: Style, _: Finality) -> Option<&'a Rendering> {
        match style {
            Style::Promises(_) => None,
            Style::Updates(framing) | Style::Steps(framing) => {
                Some(self.own.as_ref().unwrap_or_else(|| native::list_updates(self.list(), batch, framing)))
            }
        }
    }

    fn promise(&self, batch: &ListBatch, index: usize, cache: String, framing: Framing) -> Option<Promise> {
        native::list_promise(&self.standing, batch, index, cache, framing)
    }

    fn caught_up_at(&self) -> Option<Arc<[Place]>> {
        let anybody = self.client.name.is_none() || self.worker().settings().receipts == Receipts::Off;
        let silent = !self.schedule.is_draining() && self.schedule.has_told_intake();
        let level = self.progress == Progress::Waiting && self.found.is_none() && self.reading.is_none();
        // Its lines are like those of all others.
        let plain = self.standing.put_by.is_empty();
        (level && plain && anybody && silent).then(|| self.places.clone())
    }

    fn hand_over_to_broadcast(&mut self) {
        self.deregister();
    }

    fn resume(&mut self, at: &Arc<[Place]>, given: Option<Instant>) {
        self.places.clone_from(at);
        self.progress = Progress::Live;
        if let Some(given) = given {
            self.schedule.sent(given);
        }
    }
}

impl Drop for ListReader {
    fn drop(&mut self) {
        self.deregister();
    }
}
