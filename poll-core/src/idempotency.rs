//! The keys that publishers gave, so that a publish sent twice is kept once.
//!
//! One table a channel, bounded by time and number. A key is taken before the journal is asked, so a twin that
//! arrives meanwhile finds it and waits for the first one's outcome.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio::sync::watch;

use crate::journal::KeptKey;
use crate::message::Payload;
use crate::retention::Retention;
use crate::store::Stamps;
use crate::time::Timestamp;

/// A publisher's name for one publish: 1 to 255 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(Arc<str>);

/// The text is not an idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdempotencyKeyError;

/// Tells one publish's content from another's.
pub(crate) type Fingerprint = [u8; 32];

#[derive(Debug, Default)]
pub(crate) struct Keys {
    known: HashMap<IdempotencyKey, Entry>,
    /// Keys in the order they were taken; one that failed may still stand here.
    order: VecDeque<(Timestamp, IdempotencyKey)>,
}

#[derive(Debug)]
struct Entry {
    taken: Timestamp,
    fingerprint: Fingerprint,
    outcome: Outcome,
}

#[derive(Debug)]
enum Outcome {
    /// Open until the publish lets go of the sender, which it does under no lock.
    Pending(watch::Receiver<()>),
    Kept(Stamps),
}

/// What the table says of a key.
pub(crate) enum Known {
    New,
    /// The same publish is on its way; look again when this one closes.
    Pending(watch::Receiver<()>),
    Kept(Stamps),
    OtherPayload,
}

impl IdempotencyKey {
    /// The longest key in bytes.
    pub const MAX_BYTES: usize = 255;

    /// Takes a text for a key.
    ///
    /// # Errors
    /// When it is empty or longer than [`Self::MAX_BYTES`].
    pub fn parse(text: &str) -> Result<Self, IdempotencyKeyError> {
        if text.is_empty() || text.len() > Self::MAX_BYTES {
            return Err(IdempotencyKeyError);
        }
        Ok(Self(text.into()))
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for IdempotencyKeyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an idempotency key has 1 to 255 bytes")
    }
}

impl std::error::Error for IdempotencyKeyError {}

/// SHA-256 over kinds, lengths and bytes: no two publishes share it by chance or by design.
pub(crate) fn fingerprint(payloads: &[Payload]) -> Fingerprint {
    let mut hash = Sha256::new();
    for payload in payloads {
        let kind = match payload {
            Payload::Json(_) => 0u8,
            Payload::Text(_) => 1,
            Payload::Binary(_) => 2,
        };
        hash.update([kind]);
        hash.update((payload.len() as u64).to_le_bytes());
        hash.update(payload.as_bytes());
    }
    hash.finalize().into()
}

impl Keys {
    pub(crate) fn look(&self, key: &IdempotencyKey, fingerprint: &Fingerprint) -> Known {
        match self.known.get(key) {
            None => Known::New,
            Some(entry) if entry.fingerprint != *fingerprint => Known::OtherPayload,
            Some(entry) => match &entry.outcome {
                Outcome::Pending(outcome) => Known::Pending(outcome.clone()),
                Outcome::Kept(stamps) => Known::Kept(stamps.clone()),
            },
        }
    }

    /// A publish takes its key. To let go of what this gives tells the twins that there is an outcome.
    pub(crate) fn take(
        &mut self,
        now: Timestamp,
        key: &IdempotencyKey,
        fingerprint: Fingerprint,
    ) -> watch::Sender<()> {
        let (twins, outcome) = watch::channel(());
        let outcome = Outcome::Pending(outcome);
        self.known.insert(key.clone(), Entry { taken: now, fingerprint, outcome });
        self.order.push_back((now, key.clone()));
        twins
    }

    /// The publish under `key` was kept: its twins get the same answer from now on.
    pub(crate) fn keep(&mut self, key: &IdempotencyKey, stamps: Stamps) {
        if let Some(entry) = self.known.get_mut(key) {
            entry.outcome = Outcome::Kept(stamps);
        }
    }

    /// Takes up what a journal knew, from the oldest key on.
    pub(crate) fn recall(&mut self, kept: KeptKey) {
        let entry =
            Entry { taken: kept.taken, fingerprint: kept.fingerprint, outcome: Outcome::Kept(kept.stamps) };
        self.known.insert(kept.key.clone(), entry);
        self.order.push_back((kept.taken, kept.key));
    }

    /// The publish under `key` failed: the next one with it is new.
    pub(crate) fn fail(&mut self, key: &IdempotencyKey) {
        self.known.remove(key);
    }

    /// Forgets what is out of the window or over the number.
    pub(crate) fn forget(&mut self, now: Timestamp, retention: &Retention) {
        let cutoff = now.before(retention.idempotency);
        while let Some((taken, key)) = self.order.front() {
            if *taken >= cutoff && self.order.len() <= retention.keys {
                break;
            }
            // A pending publish keeps its key whatever the table's size: it decides soon.
            let same = |entry: &&Entry| entry.taken == *taken;
            if let Some(entry) = self.known.get(key).filter(same) {
                if matches!(entry.outcome, Outcome::Pending(_)) {
                    break;
                }
                self.known.remove(key);
            }
            self.order.pop_front();
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}
