//! How much is read at once.

use super::message::Message;
use crate::memory::{Kind, Memory};

/// How much of a log to read at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Limit {
    /// At most this many messages; at least one.
    pub messages: usize,
    /// At most this many bytes of payload, but always at least one message.
    pub bytes: usize,
}

impl Default for Limit {
    /// 1000 messages and 1 MiB: enough to catch up, little enough to hold.
    fn default() -> Self {
        Self { messages: 1_000, bytes: 1 << 20 }
    }
}

impl Limit {
    /// The default with at most `messages` messages.
    #[must_use]
    pub fn messages(messages: usize) -> Self {
        let whole = Self::default();
        Self { messages: messages.clamp(1, whole.messages), ..whole }
    }

    /// The same with fewer bytes when memory for answers runs low: readers continue in smaller steps before any is
    /// refused. A limit without a bound on bytes is left alone.
    pub(crate) fn within(self, memory: &Memory) -> Self {
        let (used, bound) = (memory.used(Kind::Answers), memory.bound(Kind::Answers));
        let most = match used {
            _ if self.bytes == usize::MAX || used <= bound / 2 => return self,
            _ if used <= bound / 4 * 3 => 64 << 10,
            _ => 4 << 10,
        };
        // The same bound for what messages weigh beside their payload.
        let messages = self.messages.min(most / Message::OVERHEAD_BYTES as usize);
        Self { messages, bytes: self.bytes.min(most) }
    }
}
