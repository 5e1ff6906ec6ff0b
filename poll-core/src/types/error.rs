//! What can go wrong, as far as callers branch on it. Statuses and wording for clients belong to the wire.

use std::fmt;
use std::time::Duration;

use crate::memory::OverBudget;

/// Why a publish failed. Nothing of it was stored, unless its outcome is [unknown](JournalError::OutcomeUnknown).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublishError {
    /// There is nothing to publish.
    Nothing,
    /// The channel has ended.
    Closed,
    /// The channel was deleted, and forks still read from it.
    Hidden,
    /// The idempotency key was used with another payload.
    KeyReused,
    /// There are as many channels as allowed; one may be forgotten after `retry_after`.
    TooManyChannels {
        /// When to try again.
        retry_after: Duration,
    },
    /// There is no memory left for its key.
    OverBudget(OverBudget),
    /// The journal did not keep it.
    Journal(JournalError),
}

/// Why a journal cannot store or read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JournalError {
    /// There is no room left where the journal writes.
    Full(String),
    /// The journal cannot be used now: it is being repaired, is away, or failed.
    Unavailable(String),
    /// What the journal holds of this channel is damaged. Other channels are not affected, and trying again does not
    /// help.
    Damaged(String),
    /// The journal failed while it kept the publish, and does not know yet whether it is kept. The publish will become
    /// visible later, or never.
    OutcomeUnknown(String),
    /// Too many requests to the journal are pending.
    OverBudget(OverBudget),
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing to publish"),
            Self::Closed => f.write_str("the channel has ended"),
            Self::Hidden => f.write_str("the channel was deleted and still has forks"),
            Self::KeyReused => f.write_str("the idempotency key was used with another payload"),
            Self::TooManyChannels { .. } => f.write_str("no room for another channel"),
            Self::OverBudget(over) => over.fmt(f),
            Self::Journal(JournalError::OutcomeUnknown(_)) => {
                f.write_str("it is not known whether the journal kept the message")
            }
            Self::Journal(_) => f.write_str("the journal did not keep the message"),
        }
    }
}

impl std::error::Error for PublishError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Journal(error) => Some(error),
            _ => None,
        }
    }
}

impl JournalError {
    /// The journal ended while a request was pending.
    pub(crate) fn unanswered() -> Self {
        Self::Unavailable("it stopped before it answered".to_owned())
    }
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(why) => write!(f, "no room for the journal: {why}"),
            Self::Unavailable(why) => write!(f, "the journal is unavailable: {why}"),
            Self::Damaged(what) => write!(f, "the journal is damaged: {what}"),
            Self::OverBudget(over) => over.fmt(f),
            Self::OutcomeUnknown(why) => write!(f, "the journal failed during a commit: {why}"),
        }
    }
}

impl std::error::Error for JournalError {}

impl From<OverBudget> for PublishError {
    fn from(over: OverBudget) -> Self {
        Self::OverBudget(over)
    }
}

impl From<OverBudget> for JournalError {
    fn from(over: OverBudget) -> Self {
        Self::OverBudget(over)
    }
}

impl From<JournalError> for PublishError {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}
