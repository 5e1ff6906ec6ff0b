//! A publish to a log that several servers write to, and what becomes of it.

use smallvec::SmallVec;

use crate::types::{Ending, Epoch, Fingerprint, IdempotencyKey, Payload, PublishError, SeqRange, Stamps};

/// A publish to a shared log. Either all of it is kept, or nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedPublish {
    /// What to append, in this order; empty if it only ends the channel.
    pub payloads: SmallVec<[Payload; 1]>,
    /// Whether it ends the channel.
    pub ending: Ending,
    /// The publisher's idempotency key, and the hash of the payloads.
    pub key: Option<(IdempotencyKey, Fingerprint)>,
}

/// Where the outcome of a publish goes. Dropping it uncalled leaves the outcome unknown.
///
/// What the log may answer besides an [`Outcome`]: [`PublishError::Closed`], [`PublishError::Hidden`],
/// [`PublishError::KeyReused`], [`PublishError::TooManyChannels`], [`PublishError::OverBudget`] or [`PublishError::Journal`].
pub type PublishReply = Box<dyn FnOnce(Result<Outcome, PublishError>) + Send>;

/// What became of a publish that the log accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is kept, in this incarnation of the channel; one stamp for each payload, in the same order.
    Kept(Epoch, Stamps),
    /// It was kept before, under the same key, as these messages of this incarnation.
    Repeated(Epoch, SeqRange),
    /// The channel's time is over, and it has to be removed first. Nothing was kept.
    Over,
    /// What a change was decided from does not hold any more. Nothing was kept.
    Outdated,
}
