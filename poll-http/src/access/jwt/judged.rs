//! Tokens that were found good, so that each is verified once: those who poll come back with theirs after each message,
//! and a signature costs several times what a request does.
//!
//! Bounded: when the newer half is full, the older one is forgotten. An authority has its own, so new keys begin anew.

use std::hash::BuildHasher as _;
use std::sync::{Arc, Mutex, PoisonError};

use poll_core::Timestamp;
use poll_core::environment::{KeyedMap, ProcessKey};

use crate::access::authority::Grant;

/// So that workers do not wait for each other.
const SHARDS: usize = 16;
/// Tokens in half a shard: 4096 in all.
const HALF: usize = 128;
/// Longer tokens are verified each time: 1 KiB is long for a token.
const LONGEST: usize = 2 * 1_024;

type Half = KeyedMap<Box<str>, Arc<Grant>>;

#[derive(Default)]
pub(super) struct Judged {
    /// Locked for a look-up.
    shards: [Mutex<Halves>; SHARDS],
}

#[derive(Default)]
struct Halves {
    newer: Half,
    older: Half,
}

impl Judged {
    /// The grant of a token that is good at this time.
    pub(super) fn get(&self, token: &str, now: Timestamp) -> Option<Arc<Grant>> {
        let mut halves = self.shard(token).lock().unwrap_or_else(PoisonError::into_inner);
        let is_good = |grant: &Arc<Grant>| grant.expires.is_none_or(|expires| now < expires);
        if let Some(grant) = halves.newer.get(token) {
            return Some(grant.clone()).filter(is_good);
        }
        let (token, grant) = halves.older.remove_entry(token)?;
        if !is_good(&grant) {
            return None;
        }
        halves.insert(token, grant.clone());
        Some(grant)
    }

    pub(super) fn insert(&self, token: &str, grant: Arc<Grant>) {
        if token.len() <= LONGEST {
            let mut halves = self.shard(token).lock().unwrap_or_else(PoisonError::into_inner);
            halves.insert(token.into(), grant);
        }
    }

    fn shard(&self, token: &str) -> &Mutex<Halves> {
        let hash = usize::try_from(ProcessKey.hash_one(token) >> 32).unwrap_or_default();
        &self.shards[hash % SHARDS]
    }
}

impl Halves {
    fn insert(&mut self, token: Box<str>, grant: Arc<Grant>) {
        if self.newer.len() >= HALF {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert(token, grant);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_rest_is_forgotten() {
        let judged = Judged::default();
        let at = Timestamp::from_millis;
        let until = |millis| Arc::new(Grant { expires: Some(at(millis)), ..Grant::all() });
        judged.insert("kept", until(10));
        for number in 0..100_000 {
            judged.insert(&format!("token-{number}"), until(10));
            assert!(judged.get("kept", at(9)).is_some(), "{number}");
        }
        let held: usize = judged
            .shards
            .iter()
            .map(|shard| shard.lock().unwrap())
            .map(|halves| halves.newer.len() + halves.older.len())
            .sum();
        assert!(held <= 2 * SHARDS * HALF, "{held}");
        assert!(judged.get("token-0", at(0)).is_none());
        assert!(judged.get("kept", at(10)).is_none(), "it has expired");
        judged.insert(&"x".repeat(LONGEST + 1), until(10));
        assert!(judged.get(&"x".repeat(LONGEST + 1), at(0)).is_none());
    }
}
