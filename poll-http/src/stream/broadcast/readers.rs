//! Writing what is published to all readers of a channel who are level, without waking the connection of any.
//!
//! A [`FanOut`] is one worker's readers of one channel who get the same chunks. Their connections have nothing else to
//! do and have [lent](crate::message::shared_writer) their sockets. One task waits for the channel and goes round: the chunks are made
//! once, and a reader costs a write. Whoever needs anything else (its socket is full, messages were missed, the channel
//! has ended, the server drains) is left to its connection, which takes up from where the fan-out left it; so this holds
//! no queue, and knows no deadlines. A reader who is alone on its channel is left to its connection as well.

mod pass;

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Poll, Waker};

use poll_core::{ChannelName, Cursor, Pinned, Wait};
use tokio::sync::Notify;

use self::pass::{Reason, Round};
use crate::message::shared_writer::{Back, Lent, lock};
use crate::service::Service;
use crate::stream::body::Style;

/// Sockets on the list that are not there any more, before it is gone through for them alone, beside as many as are
/// there: whoever leaves pays for a few places of the list, however long it is.
const MOST_GONE: usize = 64;

/// The fan-outs of a worker.
#[derive(Clone, Default)]
pub(crate) struct FanOuts(Arc<Mutex<HashMap<Key, Weak<FanOut>>>>);

type Key = (ChannelName, Style);

/// See the [module](self).
pub(crate) struct FanOut {
    service: Service,
    key: Key,
    all: FanOuts,
    /// Held for moves.
    state: Mutex<State>,
    /// Rung when the task has something to do beside what is published.
    called: Notify,
}

#[derive(Default)]
struct State {
    /// How many readers there are, whether their sockets are lent or not.
    readers: usize,
    /// How many sockets are on the task's list or are to be put there.
    listed: usize,
    /// To be put on the task's list.
    new: Vec<Reader>,
    /// To be gone to beside the round: they do not stand where the others do.
    late: Vec<Reader>,
    /// Whether the list is to be gone through for those who have left.
    stale: bool,
    task: Task,
}

/// A socket that is lent now and then.
#[derive(Clone)]
struct Reader {
    socket: Weak<Lent>,
    /// With another one the reader has gone.
    listing: u32,
}

/// What the task is at.
#[derive(Default, PartialEq, Eq)]
enum Task {
    #[default]
    Absent,
    /// It goes round.
    Busy,
    /// It waits for what comes after this position, where all are who have lent a socket.
    Level(Option<Cursor>),
}

/// A reader of a fan-out.
pub(crate) struct Seat {
    fan_out: Arc<FanOut>,
    /// What is on the task's list, once the socket was lent.
    listed: Option<Reader>,
}

impl FanOuts {
    /// The fan-out of a channel, with one more reader.
    pub(crate) fn join(&self, service: &Service, channel: &ChannelName, style: Style) -> Seat {
        let key = (channel.clone(), style);
        let mut fan_outs = self.lock();
        let there = fan_outs.get(&key).and_then(Weak::upgrade);
        let fan_out = there.unwrap_or_else(|| {
            let (service, all) = (service.clone(), self.clone());
            let (state, called) = (Mutex::default(), Notify::new());
            let fan_out = Arc::new(FanOut { service, key: key.clone(), all, state, called });
            fan_outs.insert(key, Arc::downgrade(&fan_out));
            fan_out
        });
        drop(fan_outs);
        fan_out.state().readers += 1;
        Seat { fan_out, listed: None }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Weak<FanOut>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for FanOut {
    fn drop(&mut self) {
        let mut fan_outs = self.all.lock();
        // Another may have taken its place.
        if fan_outs.get(&self.key).is_some_and(|fan_out| fan_out.strong_count() == 0) {
            fan_outs.remove(&self.key);
        }
    }
}

impl Seat {
    /// Lends the reader's socket, which `share` gives, if that is of any use. The reader was given everything up to
    /// `at`; `waker` wakes its connection.
    pub(crate) fn lend(&mut self, at: Cursor, share: &mut dyn FnMut() -> Weak<Lent>, waker: &Waker) -> bool {
        if self.fan_out.state().readers < 2 {
            return false;
        }
        let socket = self.listed.as_ref().map_or_else(share, |reader| reader.socket.clone());
        let Some(lent) = socket.upgrade() else { return false };
        let mut lending = lock(&lent);
        lending.lend(at, waker);
        let listed = self.listed.as_ref().is_some_and(|reader| reader.listing == lending.listing());
        let listing = if listed { lending.listing() } else { lending.relist() };
        drop(lending);
        let reader = Reader { socket, listing };
        if !listed {
            self.listed = Some(reader.clone());
        }
        self.fan_out.expect(at, reader, !listed);
        true
    }

    /// Takes the socket back, if it is lent.
    pub(crate) fn take_back(&mut self) -> Option<Back> {
        let socket = self.listed.as_ref()?.socket.upgrade()?;
        lock(&socket).take_back()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(socket) = self.listed.take().and_then(|reader| reader.socket.upgrade()) {
            let mut lent = lock(&socket);
            let _ = lent.take_back();
            lent.relist();
        }
        let mut state = self.fan_out.state();
        state.readers -= 1;
        state.stale |= state.readers == 0 || state.listed > 2 * state.readers + MOST_GONE;
        let call = state.stale && state.task != Task::Absent;
        drop(state);
        if call {
            self.fan_out.called.notify_one();
        }
    }
}

impl FanOut {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sees to it that a reader who stands at `at` is looked after.
    fn expect(self: &Arc<Self>, at: Cursor, reader: Reader, new: bool) {
        let mut state = self.state();
        if new {
            state.listed += 1;
            state.new.push(reader.clone());
        }
        match state.task {
            Task::Absent => {
                state.task = Task::Busy;
                drop(state);
                // Not bounded by what a task may do in one go: its slices are.
                let running = Running { fan_out: self.clone(), round: Round::default(), ended: false };
                tokio::spawn(tokio::task::unconstrained(run(running)));
            }
            // Where the others stand, the task waits for what comes after.
            Task::Level(level) if level == Some(at) => {}
            Task::Busy | Task::Level(_) => {
                state.late.push(reader);
                drop(state);
                self.called.notify_one();
            }
        }
    }
}

/// The task. When it is dropped half-way, as by the end of its runtime, all go on by themselves.
struct Running {
    fan_out: Arc<FanOut>,
    round: Round,
    /// It has ended by itself, and said so.
    ended: bool,
}

async fn run(mut running: Running) {
    let fan_out = running.fan_out.clone();
    let mut wait: Option<Wait> = None;
    let mut reason = Reason::News;
    loop {
        if !running.round.begin(&fan_out, reason) {
            running.ended = true;
            return;
        }
        while running.round.slice(&fan_out) {
            // Sockets are looked at.
            tokio::task::yield_now().await;
        }
        let Some(level) = running.round.end(&fan_out) else {
            fan_out.called.notified().await;
            reason = Reason::Called;
            continue;
        };
        let pinned = Pinned::after(level);
        let wait = wait.get_or_insert_with(|| fan_out.service.wait_on(&fan_out.key.0, &pinned));
        wait.again(&pinned);
        let mut waited = false;
        let news = poll_fn(|cx| {
            // The drain is looked at behind the registration, as whoever begins it rings just once.
            let rung = Pin::new(&mut *wait).poll(cx).is_ready() || fan_out.service.drain().is_draining();
            waited |= !rung;
            if rung { Poll::Ready(()) } else { Poll::Pending }
        });
        reason = tokio::select! {
            biased;
            () = news => Reason::News,
            () = fan_out.called.notified() => Reason::Called,
        };
        if !waited {
            // Others publish faster than this goes round, and a round may be less than a slice.
            tokio::task::yield_now().await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let mut state = self.fan_out.state();
        let mut readers = self.round.take_readers();
        readers.append(&mut state.new);
        (state.task, state.listed) = (Task::Absent, 0);
        state.late.clear();
        drop(state);
        for Reader { socket, listing } in readers {
            let Some(socket) = socket.upgrade() else { continue };
            let mut lent = lock(&socket);
            if lent.listing() == listing {
                lent.relist();
                let waker = lent.give_up();
                drop(lent);
                waker.into_iter().for_each(Waker::wake);
            }
        }
    }
}
