//! What a reader at a position gets from a channel at one instant.

use std::sync::Arc;

use super::batch::Batch;
use super::log::Log;
use super::pinned::Pinned;
use crate::memory::Memory;
use crate::types::{Continuity, Cursor, Epoch, Seq, Timestamp};

/// A reader's position in a channel at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadState {
    /// The channel's incarnation; [`Epoch::ZERO`] before its first message.
    pub epoch: Epoch,
    /// The number of the oldest retained message, or of the next one if nothing is retained.
    pub oldest: Seq,
    /// The number of the newest message.
    pub newest: Seq,
    /// When the newest message was taken; [`Timestamp::ZERO`] before the first.
    pub newest_at: Timestamp,
    /// The number after which the reader continues.
    pub position: Seq,
    /// The number of the first message after the position that can be read, or of the next one if there is none.
    /// Messages between the two were evicted or are damaged.
    pub first: Seq,
    /// Whether the reader's position was found.
    pub continuity: Continuity,
    /// Whether the channel has ended, even if some of it is still to be read.
    pub ended: bool,
}

/// What a reader at a position gets.
#[derive(Debug, Clone)]
pub struct View {
    /// Where the reader stood.
    pub read_state: ReadState,
    /// The messages after it, if there are any.
    pub batch: Option<Arc<Batch>>,
    /// Where to continue.
    pub next: Cursor,
}

impl ReadState {
    /// Before a channel's first message.
    pub const EMPTY: Self = Self {
        epoch: Epoch::ZERO,
        oldest: Seq::new(1),
        newest: Seq::ZERO,
        newest_at: Timestamp::ZERO,
        position: Seq::ZERO,
        first: Seq::new(1),
        continuity: Continuity::Kept,
        ended: false,
    };

    /// The position that a reader claims, while the channel cannot be read; `None` if its position is not a
    /// number.
    #[must_use]
    pub fn unread(pinned: &Pinned) -> Option<Self> {
        let Cursor { epoch, seq } = pinned.cursor()?;
        let (next, continuity) = (seq.next(), pinned.continuity);
        Some(Self { epoch, oldest: next, newest: seq, position: seq, first: next, continuity, ..Self::EMPTY })
    }

    pub(crate) fn of(log: &Log, pinned: &Pinned) -> Self {
        let (position, continuity) = pinned.resolve(log);
        let (epoch, oldest, newest) = (log.epoch(), log.oldest(), log.newest());
        let (newest_at, first) = (log.newest_at(), log.first_after(position));
        Self { epoch, oldest, newest, newest_at, position, first, continuity, ended: log.is_ended() }
    }

    /// How many messages were evicted or damaged before the reader came for them; `None` if its position was not found.
    #[must_use]
    pub fn missed(&self) -> Option<u64> {
        let missed = self.first.previous().get().saturating_sub(self.position.get());
        (self.continuity == Continuity::Kept).then_some(missed)
    }

    /// Whether there is something after the position.
    #[must_use]
    pub fn has_messages(&self) -> bool {
        self.first <= self.newest
    }

    /// The position, moved past what was evicted or damaged.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        Cursor { epoch: self.epoch, seq: self.position.max(self.first.previous()) }
    }
}

impl View {
    /// The reader's view of this and of what is `behind` it. `None` if the channel has begun anew since.
    pub(crate) fn joined(self, behind: Self, memory: &Memory) -> Option<Self> {
        if behind.read_state.continuity == Continuity::Reset {
            return None;
        }
        let Self { read_state: ReadState { position, first, continuity, .. }, batch, .. } = self;
        let read_state = ReadState { position, first, continuity, ..behind.read_state };
        let batch = match (batch, behind.batch) {
            (Some(front), Some(back)) => {
                let messages = front.messages().iter().chain(back.messages()).cloned().collect();
                // Before all of them are charged again.
                drop((front, back));
                Some(Arc::new(Batch::new(read_state.epoch, messages, memory)))
            }
            (front, back) => front.or(back),
        };
        Some(Self { read_state, batch, next: behind.next })
    }

    /// Of a channel before its first message.
    pub(crate) fn empty(pinned: &Pinned) -> Self {
        let read_state = ReadState { continuity: pinned.without_log(), ..ReadState::EMPTY };
        Self { read_state, batch: None, next: read_state.cursor() }
    }

    /// Whether the reader, once it has this, has everything there will ever be.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.read_state.ended && self.next.seq >= self.read_state.newest
    }
}
