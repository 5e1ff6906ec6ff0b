//! How a publisher identifies a publish, so that one sent twice is kept once.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::cursor::Seq;
use super::message::Payload;

/// A publisher's name for one publish: 1 to 255 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(Arc<str>);

/// The text is not an idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdempotencyKeyError;

/// The hash of a publish's payloads: SHA-256 over their kinds, lengths and bytes.
pub type Fingerprint = [u8; 32];

/// The messages of one publish: a run of sequence numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeqRange {
    /// The number that the publish came after.
    pub after: Seq,
    /// How many messages it had.
    pub count: u32,
}

#[cfg(feature = "disk")]
impl SeqRange {
    /// The number of the last message; the one that the publish came after if it had none.
    pub(crate) fn last(&self) -> Seq {
        Seq::new(self.after.get().saturating_add(self.count.into()))
    }
}

impl IdempotencyKey {
    /// The longest key in bytes.
    pub const MAX_BYTES: usize = 255;

    /// Parses a key.
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

/// SHA-256 over kinds, lengths and bytes.
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
