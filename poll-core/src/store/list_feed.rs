//! One wait in several channels for all polls that read the same list from the same positions.
//!
//! Readers of a list mostly come back together, with the token that all of them were given. The first settles its places,
//! registers in each channel and looks whether there is something to read; the others find the feed level and only join. A
//! notification ends that: it wakes all who have joined, and what the first of them reads is shared by all. The last one to
//! leave takes the registrations along.
//!
//! No wake-up is lost: register, then read, then wait. A feed is level from when it was registered and found nothing to
//! read, until it is notified; joining and being notified exclude each other by its lock. A reader that joins before has
//! its waker taken; one that comes later reads for itself. Checked with loom. A feed knows no messages and no time.

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use slab::Slab;

use super::handle::Store;
use super::list_read::ListView;
use super::list_wait::ListWait;
use super::read::LOOK;
use crate::list::{ChannelList, Life, Place};
use crate::notifier::Lane;
use crate::sync::Mutex;
use crate::types::{Limit, Timestamp};

/// The readers of a list that wait at the same places, on one lane.
pub struct ListFeed {
    store: Store,
    list: Arc<ChannelList>,
    lane: Lane,
    /// Held for moves, and for registering and reading where the first reader waits. Never while waking.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    level: Level,
    /// Where its readers are; settled by the first one.
    places: Option<Arc<[Place]>>,
    registered: ListWait,
    /// How often it was notified. A seat of an earlier round was woken.
    round: u32,
    waiting: Slab<Waker>,
    /// Readers that have not left, whether or not they were woken.
    readers: usize,
    /// What was read since the last notification.
    found: Option<(Limit, Found)>,
}

/// Whether all channels are registered, with nothing to read.
#[derive(Default, PartialEq, Eq)]
enum Level {
    #[default]
    No,
    Yes,
}

/// What a reader gets, and when that was read.
type Found = (Arc<ListView>, Timestamp);

/// A reader's part of a feed. It is not given back by itself: see [`ListFeed::leave`].
#[derive(Debug)]
pub struct Seat {
    round: u32,
    index: u32,
}

impl ListFeed {
    /// A feed whose readers are woken through `lane`.
    #[must_use]
    pub fn new(store: Store, list: Arc<ChannelList>, lane: Lane) -> Arc<Self> {
        Arc::new(Self { store, list, lane, state: Mutex::default() })
    }

    /// Waits without reading, for up to `wait`, if nothing was published since others found nothing to read. Also the places
    /// where they are. Where several servers share the log, it is asked whether there is more, which wakes the reader; a
    /// shorter wait might end before that.
    pub fn join(&self, wait: Duration, waker: &Waker) -> Option<(Seat, Arc<[Place]>)> {
        let shared = self.store.shared();
        if wait.is_zero() || (shared.is_some() && wait < LOOK) {
            return None;
        }
        let waker = waker.clone();
        let mut state = self.state.lock();
        let places = state.places.clone().filter(|_| state.level == Level::Yes)?;
        let seat = state.seat(waker);
        drop(state);
        if let Some(journal) = shared {
            self.list.names().iter().for_each(|channel| journal.refresh(channel));
        }
        Some((seat, places))
    }

    /// Waits at places after which the reader found nothing; `None` if there may be something by now.
    pub fn wait(self: &Arc<Self>, places: &Arc<[Place]>, waker: &Waker) -> Option<Seat> {
        let waker = waker.clone();
        let mut state = self.state.lock();
        if state.level == Level::No {
            let feed = Waker::from(self.clone());
            let cx = &mut Context::from_waker(&feed);
            let State { registered, readers, .. } = &mut *state;
            if self.store.poll_wait_list(&self.list, places, &self.lane, registered, cx).is_ready() {
                if *readers == 0 {
                    self.store.deregister_list(&self.list, &self.lane, registered);
                }
                return None;
            }
            (state.level, state.found, state.places) = (Level::Yes, None, Some(places.clone()));
        }
        Some(state.seat(waker))
    }

    /// Ready when the feed was notified since the reader took its seat; otherwise `waker` is woken then.
    pub fn poll_seat(&self, seat: &Seat, waker: &Waker) -> Poll<()> {
        let mut state = self.state.lock();
        if seat.round != state.round {
            return Poll::Ready(());
        }
        let Some(registered) = state.waiting.get_mut(seat.index as usize) else { return Poll::Ready(()) };
        let old = (!registered.will_wake(waker)).then(|| std::mem::replace(registered, waker.clone()));
        drop(state);
        drop(old);
        Poll::Pending
    }

    /// What there is for readers that were woken, within `limit`: the first one reads it. `None` if something has to be
    /// fetched, which each does for itself.
    #[must_use]
    pub fn look(&self, now: Timestamp, limit: Limit) -> Option<Found> {
        let mut state = self.state.lock();
        if let Some((_, found)) = state.found.as_ref().filter(|(asked, _)| *asked == limit) {
            return Some(found.clone());
        }
        let places = state.places.clone()?;
        let due = (0..places.len()).filter(|&channel| places[channel].life == Life::Open);
        let due = due.map(|channel| (channel, None));
        let view = self.store.read_list_resident(now, &self.list, &places, due, limit)?;
        let found = (Arc::new(view), now);
        if state.readers > 1 && state.level == Level::No {
            state.found = Some((limit, found.clone()));
        }
        Some(found)
    }

    /// Gives a seat back.
    pub fn leave(&self, Seat { round, index }: Seat) {
        let mut state = self.state.lock();
        let waker = if round == state.round { state.waiting.try_remove(index as usize) } else { None };
        state.readers -= 1;
        let mut found = None;
        if state.readers == 0 {
            found = state.found.take();
            state.level = Level::No;
            self.store.deregister_list(&self.list, &self.lane, &mut state.registered);
        }
        drop(state);
        drop((waker, found));
    }
}

impl State {
    fn seat(&mut self, waker: Waker) -> Seat {
        self.readers += 1;
        // So many readers fit into no memory.
        let index = u32::try_from(self.waiting.insert(waker)).unwrap_or(u32::MAX);
        Seat { round: self.round, index }
    }
}

/// A channel was notified.
impl Wake for ListFeed {
    fn wake(self: Arc<Self>) {
        let mut state = self.state.lock();
        state.level = Level::No;
        state.round = state.round.wrapping_add(1);
        let mut waiting = std::mem::take(&mut state.waiting);
        drop(state);
        self.lane.wake(waiting.drain());
    }
}

impl std::fmt::Debug for ListFeed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ListFeed").field("list", &self.list).finish_non_exhaustive()
    }
}
