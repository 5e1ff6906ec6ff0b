//! What a publish changes of its channel's life; a journal keeps it in the same commit as the messages.

use std::sync::Arc;

use super::producer::Producer;
use super::record::Life;
use super::text::ProducerId;

/// A change of a channel's life.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// Its life from now on, or the last one where it is removed; `None` if that stays.
    pub life: Option<Arc<Life>>,
    /// A producer as it is from now on.
    pub producer: Option<(ProducerId, Producer)>,
    /// A producer that is forgotten.
    pub forgotten: Option<ProducerId>,
    /// What becomes of the channel's messages.
    pub content: Content,
}

impl Change {
    /// Whether the channel is gone with it.
    #[must_use]
    pub fn removes(&self) -> bool {
        self.content == Content::Removed
    }
}

/// What a change does to the messages that a channel has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Content {
    #[default]
    /// They stay.
    Same,
    /// The channel begins with this publish. If it is a fork, its numbering goes on after its ancestors' messages.
    Born,
    /// All of them go; the numbering goes on.
    Purged,
    /// They go, and the channel with them.
    Removed,
}
