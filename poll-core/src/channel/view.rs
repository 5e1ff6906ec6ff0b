//! What a channel gives a position at one instant.

use std::sync::Arc;

use super::batch::Batch;
use super::log::Log;
use super::pinned::Pinned;
use crate::types::{Continuity, Cursor, Epoch, Seq, Timestamp};

/// Where a reader stands in a channel at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadState {
    /// The channel's life; [`Epoch::ZERO`] before it is born.
    pub epoch: Epoch,
    /// The oldest retained message's number, or the next one's where nothing is retained.
    pub oldest: Seq,
    /// The newest message's number.
    pub newest: Seq,
    /// When the newest message was taken; [`Timestamp::ZERO`] before the first.
    pub newest_at: Timestamp,
    /// The number the reader stands after.
    pub position: Seq,
    /// The first message behind the position that can be given, or the next one's number where there is none. What
    /// lies between them is gone or damaged.
    pub first: Seq,
    /// Whether the reader's place was found.
    pub continuity: Continuity,
    /// Whether the channel has ended, whatever of it is still to be read.
    pub ended: bool,
}

/// What a channel gives a position.
#[derive(Debug, Clone)]
pub struct View {
    /// Where the reader stood.
    pub read_state: ReadState,
    /// The messages after it, if there are any.
    pub batch: Option<Arc<Batch>>,
    /// Where to go on.
    pub next: Cursor,
}

impl ReadState {
    /// Before a channel's first message.
    pub const UNBORN: Self = Self {
        epoch: Epoch::ZERO,
        oldest: Seq::new(1),
        newest: Seq::ZERO,
        newest_at: Timestamp::ZERO,
        position: Seq::ZERO,
        first: Seq::new(1),
        continuity: Continuity::Kept,
        ended: false,
    };

    /// Where a reader stands by its own word, while nothing can be known of the channel; `None` where that is no position
    /// by number.
    #[must_use]
    pub fn unread(pinned: &Pinned) -> Option<Self> {
        let Cursor { epoch, seq } = pinned.cursor()?;
        let (next, continuity) = (seq.next(), pinned.continuity);
        Some(Self {
            epoch,
            oldest: next,
            newest: seq,
            position: seq,
            first: next,
            continuity,
            ..Self::UNBORN
        })
    }

    pub(crate) fn of(log: &Log, pinned: &Pinned) -> Self {
        let (position, continuity) = pinned.resolve(log);
        let (epoch, oldest, newest) = (log.epoch(), log.oldest(), log.newest());
        let (newest_at, first) = (log.newest_at(), log.first_after(position));
        Self { epoch, oldest, newest, newest_at, position, first, continuity, ended: log.is_ended() }
    }

    /// How many messages were evicted or damaged before the reader came for them; `None` where its place is unknown.
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

    /// The position itself, moved past what is gone and damaged.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        Cursor { epoch: self.epoch, seq: self.position.max(self.first.previous()) }
    }
}

impl View {
    /// Of a channel before its first message.
    pub(crate) fn unborn(pinned: &Pinned) -> Self {
        let read_state = ReadState { continuity: pinned.continuity, ..ReadState::UNBORN };
        Self { read_state, batch: None, next: read_state.cursor() }
    }

    /// Whether the reader has everything there will ever be, once it has this.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.read_state.ended && self.next.seq >= self.read_state.newest
    }
}
