//! What a channel retains, where that is not what the store's bounds say.

use std::time::Duration;

use crate::types::{Retention, Timestamp};

/// A channel's own retention.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bounds {
    /// How many messages.
    pub messages: Bound,
    /// For how many seconds.
    pub seconds: Bound,
    /// How many bytes of payload and record.
    pub bytes: Bound,
}

/// One bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Bound {
    /// The store's.
    #[default]
    Server,
    /// At most this.
    Most(u64),
    /// None. What the channel holds is not evicted for others either; where there is no room left, publishes to it are
    /// refused.
    Unlimited,
}

impl Bounds {
    /// The store's bounds.
    pub const SERVER: Self = Self { messages: Bound::Server, seconds: Bound::Server, bytes: Bound::Server };
    /// Everything stays until the channel is deleted.
    pub const UNLIMITED: Self =
        Self { messages: Bound::Unlimited, seconds: Bound::Unlimited, bytes: Bound::Unlimited };

    /// Whether nothing of the channel is ever evicted, so that the store may have to refuse publishes to it.
    #[must_use]
    pub fn keep_everything(&self) -> bool {
        self.messages == Bound::Unlimited && self.seconds == Bound::Unlimited && !self.bytes.is_own()
    }

    /// The most messages.
    pub(crate) fn messages(&self, retention: &Retention) -> usize {
        self.messages.or(retention.messages() as u64).try_into().unwrap_or(usize::MAX)
    }

    /// The most bytes of this channel alone; the store has no such bound.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.or(u64::MAX)
    }

    /// What was taken before this is too old.
    pub(crate) fn cutoff(&self, now: Timestamp, retention: &Retention) -> Timestamp {
        match self.seconds {
            Bound::Server => retention.cutoff(now),
            Bound::Most(seconds) => now.before(Duration::from_secs(seconds)),
            Bound::Unlimited => Timestamp::ZERO,
        }
    }

    /// How long a message is kept; `None` where age is no bound.
    pub(crate) fn age(&self, retention: &Retention) -> Option<Duration> {
        match self.seconds {
            Bound::Server => retention.age(),
            Bound::Most(seconds) => Some(Duration::from_secs(seconds)),
            Bound::Unlimited => None,
        }
    }
}

impl Bound {
    fn or(self, server: u64) -> u64 {
        match self {
            Self::Server => server,
            Self::Most(most) => most,
            Self::Unlimited => u64::MAX,
        }
    }

    fn is_own(self) -> bool {
        matches!(self, Self::Most(_))
    }
}
