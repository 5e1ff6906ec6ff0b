//! What is remembered of a channel beside its messages.

use std::time::Duration;

use super::ancestry::Ancestry;
use super::bounds::Bounds;
use super::content_type::ContentType;
use super::producer::ProducerStamp;
use super::text::Order;
use crate::types::{ChannelName, Epoch, Seq, Timestamp};

/// A channel's life. The default is that of one born by a publish.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Life {
    /// What its messages are; `None` for JSON.
    pub content_type: Option<ContentType>,
    /// How long it lasts.
    pub lifetime: Lifetime,
    /// What it retains.
    pub bounds: Bounds,
    /// What it was forked from.
    pub origin: Option<Origin>,
    /// Whose messages come before its own.
    pub ancestry: Ancestry,
    /// Whether it can be reached.
    pub phase: Phase,
    /// The last place in its writer's order.
    pub order: Option<Order>,
    /// The producer's append that closed it.
    pub closer: Option<ProducerStamp>,
    /// When it was last used, if that is later than its newest message; for a sliding lifetime.
    pub touched: Timestamp,
}

/// How long a channel lasts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Lifetime {
    /// Until it is deleted, or there is no more room.
    #[default]
    Endless,
    /// For this long after its last use.
    Sliding(Duration),
    /// Until this moment.
    Until(Timestamp),
}

/// Whether a channel can be reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Phase {
    #[default]
    /// It can.
    Live,
    /// It was deleted, or its time is over, and forks still read its messages: its name is taken.
    Hidden,
}

/// What a fork was made from, as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The source.
    pub source: ChannelName,
    /// Its incarnation.
    pub epoch: Epoch,
    /// After which of its messages.
    pub after: Seq,
    /// How much of what follows as well: bytes, in JSON messages.
    pub further: u64,
}

impl Life {
    /// Whether its messages are JSON values.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.content_type.as_ref().is_none_or(ContentType::is_json)
    }

    /// When its time is over, given when it was last used; `None` if it has no end.
    #[must_use]
    pub fn ends_at(&self, used: Timestamp) -> Option<Timestamp> {
        match self.lifetime {
            Lifetime::Endless => None,
            Lifetime::Sliding(lifetime) => Some(used.after(lifetime)),
            Lifetime::Until(end) => Some(end),
        }
    }
}
