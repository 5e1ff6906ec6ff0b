//! Limits for each key. A key that is not in use takes no memory.

use std::hash::{BuildHasher, Hash};
use std::sync::{Mutex, PoisonError};

use poll_core::environment::{KeyedMap, ProcessKey};

/// To avoid contention between workers.
const SHARDS: usize = 16;

#[derive(Debug)]
pub(super) struct PerKeyLimit<K> {
    /// Locked for one look-up.
    shards: Box<[Mutex<KeyedMap<K, usize>>]>,
}

impl<K: Hash + Eq + Clone> PerKeyLimit<K> {
    pub(super) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }

    /// Takes one, unless there are `most` already. Zero is no limit; it is counted all the same, because the limit may change
    /// before it is released.
    pub(super) fn acquire(&self, key: &K, most: usize) -> bool {
        let mut shard = self.shard(key).lock().unwrap_or_else(PoisonError::into_inner);
        match shard.get_mut(key) {
            Some(count) if most != 0 && *count >= most => false,
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

    /// Releases one.
    pub(super) fn release(&self, key: &K) {
        let mut shard = self.shard(key).lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = shard.get_mut(key) {
            *count -= 1;
            if *count == 0 {
                shard.remove(key);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.shards.iter().all(|shard| shard.lock().unwrap().is_empty())
    }

    fn shard(&self, key: &K) -> &Mutex<KeyedMap<K, usize>> {
        let hash = usize::try_from(ProcessKey.hash_one(key) >> 32).unwrap_or_default();
        &self.shards[hash % SHARDS]
    }
}
