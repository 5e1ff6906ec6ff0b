//! Who belongs to a broadcast, and what its task is at.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use poll_core::environment::KeyedMap;
use poll_core::{ChannelName, Cursor};
use tokio::sync::Notify;

use crate::message::shared_writer::SharedWriter;
use crate::stream::style::Style;
use crate::worker::Worker;

/// The broadcasts of a worker.
#[derive(Clone, Default)]
pub(crate) struct Broadcasts(Arc<Mutex<KeyedMap<Key, Weak<Broadcast>>>>);

pub(super) type Key = (ChannelName, Style);

/// One worker's readers of one channel that get the same chunks.
pub(super) struct Broadcast {
    pub(super) worker: Worker,
    pub(super) key: Key,
    all: Broadcasts,
    /// Held for moves.
    state: Mutex<BroadcastState>,
    /// Notified when the task has something to do beside what is published.
    pub(super) called: Notify,
}

#[derive(Default)]
pub(super) struct BroadcastState {
    /// How many readers there are, whether their sockets are handed over or not.
    pub(super) readers: usize,
    /// How many sockets are on the task's list or are to be put there.
    pub(super) listed: usize,
    /// To be put on the task's list.
    pub(super) new: Vec<Reader>,
    /// To be visited beside the pass: they are not where the others are.
    pub(super) late: Vec<Reader>,
    /// Whether the list is to be gone through for readers that have left.
    pub(super) stale: bool,
    pub(super) task: Task,
}

/// A socket that is handed over now and then.
#[derive(Clone)]
pub(super) struct Reader {
    pub(super) socket: Weak<SharedWriter>,
    /// With another number the reader has left.
    pub(super) listing: u32,
}

/// What the task is at.
#[derive(Default, PartialEq, Eq)]
pub(super) enum Task {
    #[default]
    Absent,
    /// It makes a pass.
    Busy,
    /// It waits for what comes after this position, up to which all whose sockets are handed over were given everything.
    CaughtUp(Option<Cursor>),
}

impl Broadcasts {
    /// The broadcast of a channel, with one more reader.
    pub(super) fn enter(&self, worker: &Worker, channel: &ChannelName, style: Style) -> Arc<Broadcast> {
        let key = (channel.clone(), style);
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

    fn lock(&self) -> MutexGuard<'_, KeyedMap<Key, Weak<Broadcast>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Broadcast {
    pub(super) fn state(&self) -> MutexGuard<'_, BroadcastState> {
        // Nothing in here panics half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Broadcast {
    fn drop(&mut self) {
        let mut broadcasts = self.all.lock();
        // Another may have taken its place.
        if broadcasts.get(&self.key).is_some_and(|broadcast| broadcast.strong_count() == 0) {
            broadcasts.remove(&self.key);
        }
    }
}
