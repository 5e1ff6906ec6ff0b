//! The key of a hash table.

use std::collections::HashMap;
use std::hash::{BuildHasher, DefaultHasher, Hasher as _};

/// A hash table under a key.
pub type KeyedMap<K, V> = HashMap<K, V, HashKey>;

/// SipHash under a secret key, which the standard library has only with keys of its own choice: the key is hashed first.
#[derive(Debug, Clone)]
pub struct HashKey(DefaultHasher);

impl HashKey {
    pub(super) fn new(key: [u64; 2]) -> Self {
        let mut hasher = DefaultHasher::new();
        key.into_iter().for_each(|part| hasher.write_u64(part));
        Self(hasher)
    }
}

impl BuildHasher for HashKey {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        self.0.clone()
    }
}
