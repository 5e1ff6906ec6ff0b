//! Every bound on what a store keeps, and why its default is what it is.
//!
//! Bounds say what may be forgotten, never what may be lost silently: a reader that comes too late learns how much it
//! missed.

use std::time::Duration;

use super::time::Timestamp;

/// What a store keeps at most. Zero means no bound; for idempotency keys it means that none is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Messages per channel. 1000: a reader that reconnects within seconds catches up, even on a lively channel.
    pub messages: u64,
    /// Age of a message. 300 s: outlasts a reload, a tunnel and a restart of the client.
    pub age: Duration,
    /// Bytes of payload and record in all channels together. 1 GiB: fits beside other programs.
    pub bytes: u64,
    /// Channels in all. 1 000 000: one for each user of a large site.
    pub channels: u64,
    /// How long an idempotency key is known. 300 s: longer than a client retries.
    pub idempotency: Duration,
    /// Idempotency keys per channel; the oldest are forgotten first. 10 000: over 30 keyed publishes a second.
    pub keys: usize,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            messages: 1_000,
            age: Duration::from_secs(300),
            bytes: 1 << 30,
            channels: 1_000_000,
            idempotency: Duration::from_secs(300),
            keys: 10_000,
        }
    }
}

impl Retention {
    /// What the golongpoll library keeps by default: 250 messages per channel (`MaxEventBufferSize`) for ever
    /// (`EventTimeToLiveSeconds`). All else is as in the default.
    #[must_use]
    pub fn golongpoll() -> Self {
        Self { messages: 250, age: Duration::ZERO, ..Self::default() }
    }

    /// How long a message is kept, or `None` where age is no bound.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        (!self.age.is_zero()).then_some(self.age)
    }

    /// What was taken before this is too old; nothing is, where age is no bound.
    pub(crate) fn cutoff(&self, now: Timestamp) -> Timestamp {
        if self.age.is_zero() { Timestamp::ZERO } else { now.before(self.age) }
    }

    pub(crate) fn messages(&self) -> usize {
        bound(self.messages).try_into().unwrap_or(usize::MAX)
    }

    pub(crate) fn bytes(&self) -> u64 {
        bound(self.bytes)
    }

    pub(crate) fn channels(&self) -> u64 {
        bound(self.channels)
    }
}

fn bound(number: u64) -> u64 {
    if number == 0 { u64::MAX } else { number }
}
