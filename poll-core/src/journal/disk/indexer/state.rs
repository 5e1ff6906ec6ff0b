//! The indexer's state.

use std::sync::Arc;

use super::super::backoff::Backoff;
use super::super::commit_state::CommitState;
use super::super::index_queue::Sealed;
use super::super::shared::{Component, Shared};
use crate::journal::{Health, Reply};
use crate::types::Timestamp;

pub(super) struct Indexer {
    pub(super) shared: Arc<Shared>,
    pub(super) commit_state: CommitState,
    /// Whether the database can be read and written, as far as the indexer knows. Where it is neither full nor damaged, it counts
    /// as away also while the indexer backs off after repeated failures.
    pub(super) health: Health,
    /// A segment that is not in the database yet.
    pub(super) pending: Option<Sealed>,
    /// Requests for room that wait for what the log still holds to be indexed.
    pub(super) waiting: Vec<(Timestamp, Reply<bool>)>,
    /// Answered once no segment is left to move.
    pub(super) settling: Vec<Reply<()>>,
    pub(super) backoff: Backoff,
}

impl Indexer {
    /// Changes whether the database can be used, and with it the journal's health.
    pub(super) fn set_health(&mut self, health: Health) {
        self.shared.set_health(Component::Database, health.clone());
        self.health = health;
    }
}
