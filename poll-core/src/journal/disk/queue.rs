//! What waits for the writer: publishes of all channels in the order they came, and errands.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redb::Error;

use super::Durability;
use crate::journal::{Append, Minted, Reply, WriteBehind};
use crate::types::Timestamp;

/// How much one commit takes at the most. Larger ones gain nothing and make the first publisher wait.
const BATCH: usize = 4_096;
const BATCH_BYTES: u64 = 8 << 20;

/// A publish that is to be kept.
pub(super) struct Entry {
    pub(super) append: Append<Minted>,
    /// Where it was shown already, who is told when it is kept.
    pub(super) receipt: Option<WriteBehind>,
    pub(super) bytes: u64,
}

/// Something to do beside keeping publishes.
pub(super) enum Errand {
    /// What is older than retention allows, as of then, may go.
    Sweep(Timestamp),
    /// Somebody wants room for a channel.
    Room(Timestamp, Reply<bool>),
    /// Somebody wants to know whether the file can still be used.
    Look,
    /// Reading failed: of the database that was opened this often, and why.
    Suspect(u64, Error),
    /// Somebody waits for the end.
    Close(Reply<()>),
}

/// All errands that came since the last.
#[derive(Default)]
pub(super) struct Errands {
    pub(super) sweep: Option<Timestamp>,
    pub(super) room: Vec<(Timestamp, Reply<bool>)>,
    pub(super) look: bool,
    pub(super) suspect: Option<(u64, Error)>,
    pub(super) close: Vec<Reply<()>>,
}

impl Errands {
    fn is_empty(&self) -> bool {
        self.sweep.is_none()
            && self.room.is_empty()
            && !self.look
            && self.suspect.is_none()
            && self.close.is_empty()
    }

    fn add(&mut self, errand: Errand) {
        match errand {
            Errand::Sweep(now) => self.sweep = self.sweep.max(Some(now)),
            Errand::Room(now, reply) => self.room.push((now, reply)),
            Errand::Look => self.look = true,
            Errand::Suspect(opened, error) => self.suspect = Some((opened, error)),
            Errand::Close(reply) => self.close.push(reply),
        }
    }
}

/// What the writer does next.
#[derive(Default)]
pub(super) struct Work {
    pub(super) entries: Vec<Entry>,
    pub(super) errands: Errands,
    /// Nothing more is coming.
    pub(super) closed: bool,
}

#[derive(Default)]
pub(super) struct Inbox {
    state: Mutex<State>,
    bell: Condvar,
}

/// A place in the inbox for one more publish.
pub(super) struct Room<'a> {
    inbox: &'a Inbox,
    state: MutexGuard<'a, State>,
}

#[derive(Default)]
struct State {
    entries: VecDeque<Entry>,
    bytes: u64,
    /// When the first entry has to be committed.
    due: Option<Instant>,
    errands: Errands,
    /// Nothing more is taken.
    closed: bool,
    /// Nothing more is done.
    ended: bool,
    /// Whether the writer sleeps; else nobody has to ring.
    asleep: bool,
}

impl Inbox {
    /// Room for a publish of so many bytes, if there is within `most`. Nobody else puts one in before it is used.
    pub(super) fn room(&self, bytes: u64, most: u64) -> Option<Room<'_>> {
        let state = self.lock();
        let full = state.closed || (state.bytes + bytes > most && !state.entries.is_empty());
        (!full).then_some(Room { inbox: self, state })
    }

    /// Puts publishes back that could not be kept yet, in front of all others.
    pub(super) fn put_back(&self, entries: Vec<Entry>) {
        let mut state = self.lock();
        for entry in entries.into_iter().rev() {
            state.bytes += entry.bytes;
            state.entries.push_front(entry);
        }
    }

    /// Hands an errand over, unless there is nobody left to run it.
    pub(super) fn ask(&self, errand: Errand) -> Result<(), Errand> {
        let mut state = self.lock();
        if state.ended {
            return Err(errand);
        }
        if matches!(errand, Errand::Close(_)) {
            state.closed = true;
        }
        state.errands.add(errand);
        self.bell.notify_one();
        Ok(())
    }

    /// Takes nothing more from now on.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.bell.notify_one();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Waits until nothing more is to come.
    pub(super) fn wait_for_close(&self) {
        let state = self.lock();
        drop(self.bell.wait_while(state, |state| !state.closed));
    }

    /// Does nothing more from now on; gives what was left to do.
    pub(super) fn end(&self) -> Work {
        let mut state = self.lock();
        (state.closed, state.ended) = (true, true);
        let entries = std::mem::take(&mut state.entries).into();
        Work { entries, errands: std::mem::take(&mut state.errands), closed: true }
    }

    /// Waits until there is something to do; gives a batch and all errands.
    pub(super) fn next(&self) -> Work {
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            let due =
                state.is_full() || (!state.entries.is_empty() && state.due.is_none_or(|due| due <= now));
            if due || state.is_pressing() {
                let entries = if due || state.closed { state.take() } else { Vec::new() };
                let errands = std::mem::take(&mut state.errands);
                return Work { entries, errands, closed: state.closed };
            }
            state.asleep = true;
            state = match state.due {
                None => self.bell.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(due) => {
                    let waited = self.bell.wait_timeout(state, due.saturating_duration_since(now));
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
            state.asleep = false;
        }
    }

    /// While nothing can be kept: waits for errands, or for `most`, and gives the publishes that came in spite of
    /// that, to be refused. What was shown already stays.
    pub(super) fn next_errands(&self, most: Duration) -> Work {
        let mut state = self.lock();
        state.asleep = true;
        let idle = |state: &mut State| !state.is_pressing() && !state.holds_waiting();
        let waited = self.bell.wait_timeout_while(state, most, idle);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        state.asleep = false;
        let entries = if state.holds_waiting() { state.drain() } else { Vec::new() };
        let errands = std::mem::take(&mut state.errands);
        Work { entries, errands, closed: state.closed }
    }

    /// All publishes at once.
    pub(super) fn drain(&self) -> Vec<Entry> {
        self.lock().drain()
    }

    /// All publishes whose publishers wait.
    pub(super) fn drain_waiting(&self) -> Vec<Entry> {
        let mut state = self.lock();
        if state.holds_waiting() { state.drain() } else { Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().entries.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Room<'_> {
    /// Puts the publish in.
    pub(super) fn put(self, entry: Entry, durability: Durability) {
        let Self { inbox, mut state } = self;
        state.bytes += entry.bytes;
        state.entries.push_back(entry);
        let mut ring = state.asleep;
        if let Durability::Interval(interval) = durability {
            // The writer has to be told of the first one's time, and of a full batch.
            ring &= state.due.is_none() || state.is_full();
            state.due.get_or_insert_with(|| Instant::now() + interval);
        }
        drop(state);
        if ring {
            inbox.bell.notify_one();
        }
    }
}

impl State {
    fn is_full(&self) -> bool {
        self.entries.len() >= BATCH || self.bytes >= BATCH_BYTES
    }

    /// Whether a publisher waits for an answer. Either all do or none, as durability is.
    fn holds_waiting(&self) -> bool {
        self.entries.back().is_some_and(|entry| entry.receipt.is_none())
    }

    fn drain(&mut self) -> Vec<Entry> {
        (self.bytes, self.due) = (0, None);
        std::mem::take(&mut self.entries).into()
    }

    fn is_pressing(&self) -> bool {
        self.closed || !self.errands.is_empty()
    }

    fn take(&mut self) -> Vec<Entry> {
        let mut bytes = 0;
        let fits = |entry: &&Entry| {
            let fits = bytes < BATCH_BYTES;
            bytes += entry.bytes;
            fits
        };
        let count = self.entries.iter().take(BATCH).take_while(fits).count();
        let batch: Vec<Entry> = self.entries.drain(..count).collect();
        self.bytes -= batch.iter().map(|entry| entry.bytes).sum::<u64>();
        // What is left is due with what was taken.
        if self.entries.is_empty() {
            self.due = None;
        }
        batch
    }
}
