//! Limits for each key. A key that is not in use takes no memory.

use std::hash::{BuildHasher, Hash};
use std::sync::{Mutex, PoisonError};

use poll_core::environment::{KeyedMap, ProcessKey};

/// To avoid contention between workers.
const SHARDS: usize = 16;

#[derive(Debug)]
pub(super) struct PerKeyLimit<K> {
    /// Zero is no limit, and then nothing is counted.
    most: usize,
    /// Locked for one look-up.
    shards: Box<[Mutex<KeyedMap<K, usize>>]>,
}

impl<K: Hash + Eq + Clone> PerKeyLimit<K> {
    /// At most `most` for each key.
    pub(super) fn new(most: usize) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { most, shards }
    }

    /// Takes one, unless the limit is reached.
    pub(super) fn acquire(&self, key: &K) -> bool {
        if self.most == 0 {
            return true;
        }
        let mut shard = self.shard(key).lock().unwrap_or_else(PoisonError::into_inner);
        match shard.get_mut(key) {
            Some(count) if *count >= self.most => false,
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
        if self.most == 0 {
            return;
        }
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
