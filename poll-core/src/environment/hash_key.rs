//! The key of all hash tables.
//!
//! A channel's name is hashed when it is parsed, where no environment is at hand, and every table of names uses that hash.
//! So there is one key for the whole process, taken from the first environment that a store is opened in.

use std::collections::HashMap;
use std::hash::{BuildHasher, DefaultHasher, Hasher as _};
use std::sync::OnceLock;

use super::handle::Environment;

/// A hash table under the key of the process, so that peers cannot choose what collides in it.
pub type KeyedMap<K, V> = HashMap<K, V, ProcessKey>;

/// Hashes under the key of the process.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessKey;

/// SipHash with the key. The standard library's accepts no key, so the key is hashed first.
static KEYED: OnceLock<DefaultHasher> = OnceLock::new();

/// Sets the key, unless there is one.
pub(crate) fn set_hash_key(environment: &Environment) {
    let key = keyed(environment);
    KEYED.get_or_init(|| key);
}

fn keyed(environment: &Environment) -> DefaultHasher {
    let mut hasher = DefaultHasher::new();
    hasher.write_u64(environment.random());
    hasher.write_u64(environment.random());
    hasher
}

impl BuildHasher for ProcessKey {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        KEYED.get_or_init(|| keyed(&Environment::system())).clone()
    }
}
