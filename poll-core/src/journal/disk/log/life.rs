//! What a memtable has of a channel's life.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::life::{Change, Content, Life, Producer, ProducerId};
use crate::types::Seq;

/// The changes of one memtable to a channel's life, put together.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct PartLife {
    /// The incarnation that was there before the memtable is over.
    pub(in super::super) cleared: bool,
    /// There is no channel any more.
    pub(in super::super) gone: bool,
    /// The life as it is now, if that changed.
    pub(in super::super) life: Option<Arc<Life>>,
    /// Producers as they are now; `None` for those that are forgotten.
    pub(in super::super) producers: BTreeMap<ProducerId, Option<Producer>>,
    /// The messages up to here are gone.
    pub(in super::super) purged: Seq,
}

impl PartLife {
    /// Of a channel that was removed.
    pub(super) fn gone() -> Self {
        Self { cleared: true, gone: true, ..Self::default() }
    }

    /// Applies a change that does not remove the channel, whose newest message is `newest`.
    pub(super) fn apply(&mut self, change: &Change, newest: Seq) {
        if let Some(life) = &change.life {
            self.life = Some(life.clone());
        }
        if let Some((id, producer)) = &change.producer {
            self.producers.insert(id.clone(), Some(*producer));
        }
        if let Some(id) = &change.forgotten {
            self.producers.insert(id.clone(), None);
        }
        if change.content == Content::Purged {
            self.purged = newest;
        }
    }
}
