//! Why an append was not made, by what its writer can do about it.

use std::fmt;

use super::answer::{Answered, EPOCH, EXPECTED_SEQ, RECEIVED_SEQ, number};
use super::offset::Offset;
use crate::error::Error;

/// Why an append or a close failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum AppendError {
    /// The stream is closed.
    Closed {
        /// Its end, if the server said so.
        end: Option<Offset>,
    },
    /// Another producer of the same id has begun a later epoch.
    StaleEpoch {
        /// The epoch in force.
        current: u64,
    },
    /// The server has not seen an earlier append of this producer.
    Gap {
        /// The number that it waits for.
        expected: u64,
        /// The number that it got.
        received: u64,
    },
    /// An earlier append of the producer was not answered, so it may be stored or not: [`settle`](super::Producer::settle)
    /// it first. As long as the server refuses to look, only a new [`Producer`](super::Producer) in a later epoch can go on.
    InDoubt,
    /// Anything else. [`Error::Refused`] with 409 if a `Stream-Seq` is not above the last one, or the content is not of the
    /// stream's type.
    Failed(Error),
}

impl AppendError {
    /// Whether what was to be appended without a producer may be stored all the same, as [`Error::may_have_happened`].
    /// A [`Producer`](super::Producer) keeps account of that itself: its next append is [`Self::InDoubt`].
    #[must_use]
    pub fn may_have_happened(&self) -> bool {
        matches!(self, Self::Failed(error) if error.may_have_happened())
    }

    /// The refusal in an answer that is not a success.
    pub(super) fn refused(answered: &Answered) -> Self {
        let number = |name| number(&answered.headers, name);
        match answered.status.as_u16() {
            409 if answered.is_closed() => Self::Closed { end: answered.next_offset().ok() },
            409 => match (number(EXPECTED_SEQ), number(RECEIVED_SEQ)) {
                (Some(expected), Some(received)) => Self::Gap { expected, received },
                _ => Self::Failed(answered.refusal()),
            },
            403 => match number(EPOCH) {
                Some(current) => Self::StaleEpoch { current },
                None => Self::Failed(answered.refusal()),
            },
            _ => Self::Failed(answered.refusal()),
        }
    }

    /// Whether the refusal also says that an earlier attempt at the same append is not stored. 409 is about the stream, and
    /// given once the server has looked for the append's number; any other may come from something that never looked.
    pub(super) fn settles(&self) -> bool {
        match self {
            Self::Closed { .. } | Self::StaleEpoch { .. } | Self::Gap { .. } => true,
            Self::Failed(error) => error.status() == Some(409),
            Self::InDoubt => false,
        }
    }
}

impl From<Error> for AppendError {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed { .. } => f.write_str("the stream is closed"),
            Self::StaleEpoch { current } => write!(f, "the producer's epoch is past; {current} is in force"),
            Self::Gap { expected, received } => {
                write!(f, "append {expected} of the producer is missing before {received}")
            }
            Self::InDoubt => f.write_str("an earlier append of the producer is in doubt"),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for AppendError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Failed(error) => error.source(),
            _ => None,
        }
    }
}
