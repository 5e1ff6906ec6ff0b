//! Counting what is in use by key; a key with nothing in use takes no room.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Mutex, PoisonError};

/// So that workers seldom meet.
const SHARDS: usize = 16;

#[derive(Debug)]
pub(super) struct Tally<K> {
    /// Held for one look-up.
    shards: Box<[Mutex<HashMap<K, usize>>]>,
    hasher: RandomState,
}

impl<K: Hash + Eq + Clone> Default for Tally<K> {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), hasher: RandomState::new() }
    }
}

impl<K: Hash + Eq + Clone> Tally<K> {
    /// Counts one more, unless there are `most`; zero is no bound.
    pub(super) fn take(&self, key: &K, most: usize) -> bool {
        let mut shard = self.shard(key).lock().unwrap_or_else(PoisonError::into_inner);
        match shard.get_mut(key) {
            Some(count) if most > 0 && *count >= most => false,
            Some(count) => {
                *count += 1;
                true
            }
            None => {
                shard.insert(key.clone(), 1);
                true
            }
        }
    }

    /// Counts one less.
    pub(super) fn give(&self, key: &K) {
        let mut shard = self.shard(key).lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut entry) = shard.entry(key.clone()) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.shards.iter().all(|shard| shard.lock().unwrap().is_empty())
    }

    fn shard(&self, key: &K) -> &Mutex<HashMap<K, usize>> {
        let hash = usize::try_from(self.hasher.hash_one(key) >> 32).unwrap_or_default();
        &self.shards[hash % SHARDS]
    }
}
