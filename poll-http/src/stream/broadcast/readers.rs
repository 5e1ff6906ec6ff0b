//! The readers of a broadcast, and the state of its task.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use poll_core::environment::KeyedMap;
use tokio::sync::Notify;

use crate::message::shared_writer::SharedWriter;
use crate::stream::style::Style;
use crate::stream::subject::Subject;
use crate::worker::Worker;

/// The broadcasts of a worker that read this kind of subject.
pub(crate) struct Broadcasts<S: Subject>(Arc<Mutex<Table<S>>>);

type Table<S> = KeyedMap<(S, Style), Weak<Broadcast<S>>>;

/// One worker's readers of one channel, or of one list of channels, that get the same chunks.
pub(super) struct Broadcast<S: Subject> {
    pub(super) worker: Worker,
    pub(super) key: (S, Style),
    all: Broadcasts<S>,
    /// Held for moves.
    state: Mutex<BroadcastState<S::At>>,
    /// Notified when the task has something to do other than new messages.
    pub(super) called: Notify,
}

pub(super) struct BroadcastState<At> {
    /// The number of readers, whether or not their sockets are handed over.
    pub(super) readers: usize,
    /// The number of sockets on the task's list or to be added to it.
    pub(super) listed: usize,
    /// To be added to the task's list.
    pub(super) new: Vec<Reader>,
    /// To be visited apart from the pass: their position differs from the others'.
    pub(super) late: Vec<Reader>,
    /// Whether readers that have left must be removed from the list.
    pub(super) stale: bool,
    pub(super) task: Task<At>,
}

/// A socket that is handed over now and then.
#[derive(Clone)]
pub(super) struct Reader {
    pub(super) socket: Weak<SharedWriter>,
    /// If the socket's number differs, the reader has left.
    pub(super) listing: u32,
}

/// The state of the task.
#[derive(PartialEq, Eq)]
pub(super) enum Task<At> {
    Absent,
    /// It makes a pass.
    Busy,
    /// It waits for messages after this position, which all readers whose sockets are handed over have reached.
    CaughtUp(Option<At>),
}

impl<At> Default for BroadcastState<At> {
    fn default() -> Self {
        let (new, late) = (Vec::new(), Vec::new());
        Self { readers: 0, listed: 0, new, late, stale: false, task: Task::Absent }
    }
}

impl<S: Subject> Default for Broadcasts<S> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<S: Subject> Clone for Broadcasts<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S: Subject> Broadcasts<S> {
    /// The broadcast of a subject, with one more reader.
    pub(super) fn enter(&self, worker: &Worker, subject: &S, style: Style) -> Arc<Broadcast<S>> {
        let key = (subject.clone(), style);
        let mut broadcasts = self.lock();
        let there = broadcasts.get(&key).and_then(Weak::upgrade);
        let broadcast = there.unwrap_or_else(|| {
            let (worker, all) = (worker.clone(), self.clone());
            let (state, called) = (Mutex::default(), Notify::new());
            let broadcast = Arc::new(Broadcast { worker, key: key.clone(), all, state, called });
            broadcasts.insert(key, Arc::downgrade(&broadcast));
            broadcast
        });
        drop(broadcasts);
        broadcast.state().readers += 1;
        broadcast
    }

    fn lock(&self) -> MutexGuard<'_, Table<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Subject> Broadcast<S> {
    pub(super) fn state(&self) -> MutexGuard<'_, BroadcastState<S::At>> {
        // Nothing in here panics half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Subject> Drop for Broadcast<S> {
    fn drop(&mut self) {
        let mut broadcasts = self.all.lock();
        // Another may have taken its place.
        if broadcasts.get(&self.key).is_some_and(|broadcast| broadcast.strong_count() == 0) {
            broadcasts.remove(&self.key);
        }
    }
}
