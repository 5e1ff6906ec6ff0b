//! The idempotency keys of one channel, so that a publish sent twice is kept once.
//!
//! The table is bounded by time and number, and charged to the [account](crate::Memory). A key is taken before the
//! journal is asked, so a duplicate that arrives meanwhile finds it and waits for the outcome of the first. Only hashes
//! of the key and its payload are stored, and the numbers of its messages: the rest of an answer is read back from the
//! log.

use std::collections::VecDeque;

use sha2::{Digest, Sha256};
use tokio::sync::watch;

use crate::environment::KeyedMap;
use crate::memory::{Charge, Kind, Memory, OverBudget};
use crate::types::{Fingerprint, IdempotencyKey, KeptKey, Recall, Retention, SeqRange, Timestamp};

/// The first 128 bits of a SHA-256 hash. Collisions are out of reach, even deliberate ones.
type Hash = [u8; 16];

/// What one key costs in bytes: its entries in the table and in the order, and what these allocate ahead.
const KEY_BYTES: u64 = 192;

#[derive(Debug, Default)]
pub(crate) struct Keys {
    recall: Recall,
    known: KeyedMap<Hash, Entry>,
    /// Keys in the order they were taken. A key whose publish failed may still be listed.
    order: VecDeque<(Timestamp, Hash)>,
    /// [`KEY_BYTES`] for each entry of the order.
    charge: Option<Charge>,
}

#[derive(Debug)]
struct Entry {
    taken: Timestamp,
    payload: Hash,
    outcome: Outcome,
}

#[derive(Debug)]
enum Outcome {
    /// Closes when the publish drops the sender, which it does without holding a lock.
    Pending(watch::Receiver<()>),
    /// The journal does not know yet whether the publish was kept.
    Doubtful,
    Kept(SeqRange),
}

/// What the table says of a key.
pub(crate) enum Lookup {
    New,
    /// The journal has to be asked first which keys it kept.
    NotLoaded,
    /// The same publish is on its way; look again when this closes.
    Pending(watch::Receiver<()>),
    /// The same publish failed on its way, and it is not known yet whether it was kept.
    Doubtful,
    Kept(SeqRange),
    OtherPayload,
}

/// The first half of a hash.
fn half(hash: &Fingerprint) -> Hash {
    let mut half = Hash::default();
    half.copy_from_slice(&hash[..size_of::<Hash>()]);
    half
}

fn hash(key: &IdempotencyKey) -> Hash {
    half(&Sha256::digest(key.as_str()).into())
}

impl Keys {
    /// A table whose keys are in the journal, until they are [recalled](Self::recall).
    pub(crate) fn not_loaded() -> Self {
        Self { recall: Recall::Due, ..Self::default() }
    }

    pub(crate) fn look(&self, key: &IdempotencyKey, fingerprint: &Fingerprint) -> Lookup {
        if self.recall == Recall::Due {
            return Lookup::NotLoaded;
        }
        match self.known.get(&hash(key)) {
            None => Lookup::New,
            Some(entry) if entry.payload != half(fingerprint) => Lookup::OtherPayload,
            Some(entry) => match &entry.outcome {
                Outcome::Pending(outcome) => Lookup::Pending(outcome.clone()),
                Outcome::Doubtful => Lookup::Doubtful,
                Outcome::Kept(numbers) => Lookup::Kept(*numbers),
            },
        }
    }

    /// Takes the key for a publish. Dropping the sender wakes duplicates: there is an outcome.
    ///
    /// # Errors
    /// When there is no memory for another key.
    pub(crate) fn take(
        &mut self,
        now: Timestamp,
        key: &IdempotencyKey,
        fingerprint: &Fingerprint,
        memory: &Memory,
    ) -> Result<watch::Sender<()>, OverBudget> {
        let (duplicates, outcome) = watch::channel(());
        self.insert(now, hash(key), half(fingerprint), Outcome::Pending(outcome), memory)?;
        Ok(duplicates)
    }

    /// The publish under `key` was kept: from now on duplicates get the same answer.
    pub(crate) fn keep(&mut self, key: &IdempotencyKey, numbers: SeqRange) {
        if let Some(entry) = self.known.get_mut(&hash(key)) {
            entry.outcome = Outcome::Kept(numbers);
        }
    }

    /// The outcome of the publish under `key` is unknown until it is kept or fails after all. Duplicates learn that when
    /// they are woken.
    pub(crate) fn doubt(&mut self, key: &IdempotencyKey) {
        if let Some(entry) = self.known.get_mut(&hash(key)) {
            entry.outcome = Outcome::Doubtful;
        }
    }

    /// Adds the keys that a journal kept, oldest first, unless that was done already.
    ///
    /// # Errors
    /// When there is no memory for all of them; the table is then unchanged.
    pub(crate) fn recall(&mut self, kept: &[KeptKey], memory: &Memory) -> Result<(), OverBudget> {
        if self.recall == Recall::Done {
            return Ok(());
        }
        for KeptKey { key, fingerprint, taken, numbers } in kept {
            let outcome = Outcome::Kept(*numbers);
            if let Err(over) = self.insert(*taken, hash(key), half(fingerprint), outcome, memory) {
                *self = Self::not_loaded();
                return Err(over);
            }
        }
        self.recall = Recall::Done;
        Ok(())
    }

    fn insert(
        &mut self,
        taken: Timestamp,
        key: Hash,
        payload: Hash,
        outcome: Outcome,
        memory: &Memory,
    ) -> Result<(), OverBudget> {
        match &mut self.charge {
            Some(charge) => charge.grow(KEY_BYTES)?,
            none => *none = Some(memory.charge(Kind::Keys, KEY_BYTES)?),
        }
        self.known.insert(key, Entry { taken, payload, outcome });
        self.order.push_back((taken, key));
        Ok(())
    }

    /// The publish under `key` failed: the next one with it is new.
    pub(crate) fn fail(&mut self, key: &IdempotencyKey) {
        let key = hash(key);
        let Some(entry) = self.known.remove(&key) else { return };
        // One that was refused was taken just now. It must not take the place of one that is kept.
        if self.order.back() == Some(&(entry.taken, key)) {
            self.order.pop_back();
            self.shrink(1);
        }
    }

    /// So many are gone.
    fn shrink(&mut self, count: u64) {
        if let Some(charge) = &mut self.charge {
            charge.shrink(count * KEY_BYTES);
        }
    }

    /// Forgets keys that are outside the window or too many.
    pub(crate) fn forget(&mut self, now: Timestamp, retention: &Retention) {
        // A key taken while the clock was ahead would outlast all later ones.
        let window = now.before(retention.idempotency)..=now.after(retention.idempotency);
        let mut forgotten = 0;
        while let Some((taken, key)) = self.order.front() {
            if window.contains(taken) && self.order.len() <= retention.keys {
                break;
            }
            // A pending publish keeps its key whatever the size of the table: it will be decided soon.
            let same = |entry: &&Entry| entry.taken == *taken;
            if let Some(entry) = self.known.get(key).filter(same) {
                if matches!(entry.outcome, Outcome::Pending(_) | Outcome::Doubtful) {
                    break;
                }
                self.known.remove(key);
            }
            self.order.pop_front();
            forgotten += 1;
        }
        if forgotten == 0 {
            return;
        }
        self.shrink(forgotten);
        if self.order.is_empty() {
            *self = Self { recall: self.recall, ..Self::default() };
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}
