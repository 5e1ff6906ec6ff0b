//! The lists of channels that a worker's requests read: requests for the same channels share one.

use std::collections::VecDeque;
use std::hash::BuildHasher as _;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use poll_core::environment::{KeyedMap, ProcessKey};
use poll_core::{ChannelList, ChannelName};

/// Lists that are kept although no request reads them now: a poll is answered and gone before the next one comes.
const KEPT: usize = 64;

/// The lists of a worker.
#[derive(Default)]
pub(crate) struct Lists(Mutex<State>);

#[derive(Default)]
struct State {
    /// By the hash of their names.
    lists: KeyedMap<u64, Weak<ChannelList>>,
    /// How many entries there may be before those of lists that are gone are removed.
    room: usize,
    recent: VecDeque<Arc<ChannelList>>,
}

impl Lists {
    /// The list of these channels, which are in order and each once.
    pub(super) fn of(&self, names: Vec<ChannelName>) -> Arc<ChannelList> {
        let hash = ProcessKey.hash_one(&names);
        // Held for a look-up, and for making a new list. Nothing in here panics half-way.
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = state.lists.get(&hash).and_then(Weak::upgrade).filter(|list| list.names() == names);
        known.unwrap_or_else(|| {
            let list = Arc::new(ChannelList::new(names));
            state.keep(hash, &list);
            list
        })
    }
}

impl State {
    fn keep(&mut self, hash: u64, list: &Arc<ChannelList>) {
        if self.lists.len() >= self.room {
            self.lists.retain(|_, list| list.strong_count() > 0);
            self.room = 2 * self.lists.len() + KEPT;
        }
        self.lists.insert(hash, Arc::downgrade(list));
        self.recent.truncate(KEPT - 1);
        self.recent.push_front(list.clone());
    }
}
