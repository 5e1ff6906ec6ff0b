//! The keys that publishers gave, so that a publish sent twice is kept once.
//!
//! One table a channel, bounded by time and number, and charged to the [account](crate::Memory). A key is taken before the
//! journal is asked, so a duplicate that arrives meanwhile finds it and waits for the first one's outcome. Of a key and its
//! payload only hashes are kept, of its messages their numbers: the rest of an answer is read back from the log.

use std::collections::{HashMap, VecDeque};

use sha2::{Digest, Sha256};
use tokio::sync::watch;

use crate::memory::{Charge, Kind, Memory, OverBudget};
use crate::types::{Fingerprint, IdempotencyKey, KeptKey, Retention, SeqRange, Timestamp};

/// The first 128 bits of a SHA-256: no two keys and no two payloads share it by chance or by design.
type Hash = [u8; 16];

/// What one key costs in bytes: its places in the table and in the order, and what these allocate ahead.
const KEY_BYTES: u64 = 192;

#[derive(Debug, Default)]
pub(crate) struct Keys {
    loaded: Loaded,
    known: HashMap<Hash, Entry>,
    /// Keys in the order they were taken; one that failed may still stand here.
    order: VecDeque<(Timestamp, Hash)>,
    /// [`KEY_BYTES`] for each place in the order.
    charge: Option<Charge>,
}

/// Whether the table has the keys that the journal kept.
#[derive(Debug, Default, PartialEq, Eq)]
enum Loaded {
    #[default]
    Yes,
    No,
}

#[derive(Debug)]
struct Entry {
    taken: Timestamp,
    payload: Hash,
    outcome: Outcome,
}

#[derive(Debug)]
enum Outcome {
    /// Open until the publish lets go of the sender, which it does under no lock.
    Pending(watch::Receiver<()>),
    /// The journal does not know yet whether it was kept.
    Doubtful,
    Kept(SeqRange),
}

/// What the table says of a key.
pub(crate) enum Lookup {
    New,
    /// The journal has to be asked first which keys it kept.
    NotLoaded,
    /// The same publish is on its way; look again when this one closes.
    Pending(watch::Receiver<()>),
    /// The same publish failed on its way, and it is not known yet whether it was kept.
    Doubtful,
    Kept(SeqRange),
    OtherPayload,
}

/// The first half of a hash, which is enough to tell it from others.
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
        Self { loaded: Loaded::No, ..Self::default() }
    }

    pub(crate) fn look(&self, key: &IdempotencyKey, fingerprint: &Fingerprint) -> Lookup {
        if self.loaded == Loaded::No {
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

    /// A publish takes its key. To let go of what this gives wakes the duplicates: there is an outcome.
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

    /// The publish under `key` was kept: duplicates get the same answer from now on.
    pub(crate) fn keep(&mut self, key: &IdempotencyKey, numbers: SeqRange) {
        if let Some(entry) = self.known.get_mut(&hash(key)) {
            entry.outcome = Outcome::Kept(numbers);
        }
    }

    /// Nobody knows what became of the publish under `key`, until it is kept or failed after all. Duplicates
    /// are told so, once they are woken.
    pub(crate) fn doubt(&mut self, key: &IdempotencyKey) {
        if let Some(entry) = self.known.get_mut(&hash(key)) {
            entry.outcome = Outcome::Doubtful;
        }
    }

    /// Takes up what a journal kept, oldest key first, unless that was done already.
    ///
    /// # Errors
    /// When there is no memory for all of them; the table is then as it was.
    pub(crate) fn recall(&mut self, kept: &[KeptKey], memory: &Memory) -> Result<(), OverBudget> {
        if self.loaded == Loaded::Yes {
            return Ok(());
        }
        for KeptKey { key, fingerprint, taken, numbers } in kept {
            let outcome = Outcome::Kept(*numbers);
            if let Err(over) = self.insert(*taken, hash(key), half(fingerprint), outcome, memory) {
                *self = Self::not_loaded();
                return Err(over);
            }
        }
        self.loaded = Loaded::Yes;
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
        self.known.remove(&hash(key));
    }

    /// Forgets what is out of the window or over the number.
    pub(crate) fn forget(&mut self, now: Timestamp, retention: &Retention) {
        // What was taken in a leap of the clock would outlast all that came after it.
        let window = now.before(retention.idempotency)..=now.after(retention.idempotency);
        let mut forgotten = 0;
        while let Some((taken, key)) = self.order.front() {
            if window.contains(taken) && self.order.len() <= retention.keys {
                break;
            }
            // A pending publish keeps its key whatever the table's size: it decides soon.
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
        if let Some(charge) = &mut self.charge {
            charge.shrink(forgotten * KEY_BYTES);
        }
        if self.order.is_empty() {
            *self = Self { loaded: std::mem::take(&mut self.loaded), ..Self::default() };
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}
