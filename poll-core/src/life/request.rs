//! What is asked of a channel's life, and what is answered.

use std::sync::Arc;

use smallvec::SmallVec;

use super::bounds::Bounds;
use super::content_type::ContentType;
use super::producer::ProducerStamp;
use super::record::{Life, Lifetime};
use super::text::Order;
use crate::types::{ChannelName, Cursor, Ending, Epoch, Payload, Published, Seq, Timestamp};

/// How a channel is to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Create {
    /// What its messages are. `None`: of a fork, what the source's are; otherwise JSON, as where a publish begins a
    /// channel.
    pub content_type: Option<ContentType>,
    /// How long it lasts. `None`: of a fork, as its source does, counted for itself; otherwise without end.
    pub lifetime: Option<Lifetime>,
    /// What it retains.
    pub bounds: Bounds,
    /// Its first messages, if any. In a fork they follow what is inherited.
    pub payloads: SmallVec<[Payload; 1]>,
    /// Whether it is closed from the beginning.
    pub ending: Ending,
    /// Where it leaves another channel, if it is a fork.
    pub origin: Option<ForkPoint>,
}

impl Create {
    /// The life that it asks for, made at `now`, but for what a fork inherits.
    pub(crate) fn life(&self, now: Timestamp) -> Life {
        Life {
            content_type: self.content_type.clone(),
            lifetime: self.lifetime.unwrap_or_default(),
            bounds: self.bounds,
            touched: now,
            ..Life::default()
        }
    }
}

/// Where a fork leaves its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForkPoint {
    /// The source.
    pub source: ChannelName,
    /// After which of its messages; `None` for the newest.
    pub after: Option<Seq>,
    /// How much of the next append as well: bytes, or messages if the source holds JSON.
    pub further: u64,
}

/// What became of a [`Create`].
#[derive(Debug, Clone)]
pub enum Created {
    /// The channel began.
    New {
        /// As it is now.
        description: Description,
        /// Its first messages, if any; of a fork those that are its own.
        published: Published,
    },
    /// There was one with the same configuration.
    Same(Description),
}

/// Under which conditions to append; one that is `None` is not looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Condition {
    /// The channel's content type is this one.
    pub content_type: Option<ContentType>,
    /// This is the producer's next append. If it is the same as one before, it is not kept again.
    pub producer: Option<ProducerStamp>,
    /// This comes after the last one in the writer's order.
    pub order: Option<Order>,
}

/// What became of an append under a [`Condition`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Appended {
    /// It was kept.
    New {
        /// Its messages; none if it only closed the channel.
        published: Published,
        /// The position after it.
        end: Cursor,
    },
    /// The producer's append was kept before.
    Duplicate {
        /// The number of the producer's last append.
        last: u64,
        /// The position after the channel's newest message.
        end: Cursor,
        /// Whether the channel has ended.
        ending: Ending,
    },
}

/// Whether looking at a channel is a use of it, with which a sliding lifetime begins anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// It is not.
    Look,
    /// It is.
    Renew,
}

/// Whether there is a channel.
#[derive(Debug, Clone)]
pub enum Standing {
    /// There never was one, it was deleted, or its time is over.
    Absent,
    /// It was deleted, and forks still read from it.
    Hidden,
    /// There is.
    Live(Description),
}

/// A channel as it is.
#[derive(Debug, Clone)]
pub struct Description {
    /// Its life; the default one if it was born by a publish.
    pub life: Arc<Life>,
    /// Its incarnation.
    pub epoch: Epoch,
    /// The number of the oldest retained message, or of the next one if none is.
    pub oldest: Seq,
    /// The number of the newest message, retained or not.
    pub newest: Seq,
    /// When that was taken.
    pub newest_at: Timestamp,
    /// Whether it has ended.
    pub ending: Ending,
    /// When its time is over, unless it is used before.
    pub ends_at: Option<Timestamp>,
}

/// What became of a deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// The channel is gone.
    Gone,
    /// It has forks: it is gone with the last of them, and cannot be reached until then.
    Hidden,
    /// That was so before.
    AlreadyHidden,
    /// There was none.
    Absent,
}

/// What became of a purge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purged {
    /// The messages are gone. Numbering goes on.
    Done,
    /// The channel was deleted, and forks still read from it.
    Hidden,
    /// There was none.
    Absent,
}

/// What became of new bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Configured {
    /// They are in force.
    Done,
    /// The channel was deleted, and forks still read from it.
    Hidden,
    /// There was none.
    Absent,
}

impl Description {
    /// Of a channel that is not there.
    pub(crate) fn of_none() -> Self {
        Self {
            life: Arc::default(),
            epoch: Epoch::ZERO,
            oldest: Seq::new(1),
            newest: Seq::ZERO,
            newest_at: Timestamp::ZERO,
            ending: Ending::Open,
            ends_at: None,
        }
    }

    /// The position after its newest message.
    #[must_use]
    pub fn end(&self) -> Cursor {
        Cursor { epoch: self.epoch, seq: self.newest }
    }

    /// How many messages are retained.
    #[must_use]
    pub fn messages(&self) -> u64 {
        (self.newest.get() + 1).saturating_sub(self.oldest.get())
    }
}
