//! Why something was refused, as far as a dialect has to tell it.

use std::fmt;

use crate::types::{Cursor, JournalError, PublishError};

/// Why a channel was not created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CreateError {
    /// There is one of that name, with another configuration.
    Differs,
    /// The name belongs to a deleted channel that forks still read from.
    Hidden,
    /// There is no channel to fork.
    NoSource,
    /// The channel to fork was deleted, and has other forks.
    SourceHidden,
    /// The fork would begin after the end of its source.
    BeyondTail,
    /// The fork would begin after the end of the next append to its source, or there is none.
    BeyondUnit,
    /// What the fork would begin with is no longer retained.
    SourceEvicted,
    /// The source's content type is another.
    OtherType,
    /// The fork would have too many ancestors.
    TooDeep,
    /// It could not be stored.
    Publish(PublishError),
}

/// Why nothing was appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppendError {
    /// There is no such channel, or its time is over.
    NotFound,
    /// It was deleted, and forks still read from it.
    Hidden,
    /// It has ended.
    Closed {
        /// The position after its last message.
        end: Cursor,
    },
    /// Its content type is another.
    OtherType,
    /// The place in the writer's order is not above the last one.
    Order,
    /// The producer has begun a later life.
    Stale {
        /// Which one.
        epoch: u64,
    },
    /// A producer's new life has to begin with append 0.
    NotFromZero,
    /// Appends of the producer are missing.
    Gap {
        /// The number of the next one.
        expected: u64,
        /// The number of this one.
        received: u64,
    },
    /// The channel has as many producers as it can remember.
    TooManyProducers,
    /// It could not be stored.
    Publish(PublishError),
}

impl fmt::Display for CreateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Differs => "the channel exists with another configuration",
            Self::Hidden => "the channel was deleted and still has forks",
            Self::NoSource => "there is no such channel to fork",
            Self::SourceHidden => "the channel to fork was deleted",
            Self::BeyondTail => "the fork would begin after the end of its source",
            Self::BeyondUnit => "the fork would begin after the end of the next append",
            Self::SourceEvicted => "what the fork would begin with is no longer retained",
            Self::OtherType => "a fork has its source's content type",
            Self::TooDeep => "the fork would have too many ancestors",
            Self::Publish(error) => return error.fmt(f),
        })
    }
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "there is no such channel",
            Self::Hidden => "the channel was deleted",
            Self::Closed { .. } => "the channel has ended",
            Self::OtherType => "the channel's content type is another",
            Self::Order => "the sequence does not grow",
            Self::Stale { epoch } => return write!(f, "the producer's epoch is {epoch} by now"),
            Self::NotFromZero => "a new epoch begins with sequence number 0",
            Self::Gap { expected, received } => {
                return write!(f, "sequence number {expected} is next, and not {received}");
            }
            Self::TooManyProducers => "the channel has too many producers",
            Self::Publish(error) => return error.fmt(f),
        })
    }
}

impl std::error::Error for CreateError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        if let Self::Publish(error) = self { error.source() } else { None }
    }
}

impl std::error::Error for AppendError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        if let Self::Publish(error) = self { error.source() } else { None }
    }
}

impl From<PublishError> for CreateError {
    fn from(error: PublishError) -> Self {
        Self::Publish(error)
    }
}

impl From<PublishError> for AppendError {
    fn from(error: PublishError) -> Self {
        Self::Publish(error)
    }
}

impl From<JournalError> for CreateError {
    fn from(error: JournalError) -> Self {
        Self::Publish(error.into())
    }
}

impl From<JournalError> for AppendError {
    fn from(error: JournalError) -> Self {
        Self::Publish(error.into())
    }
}
