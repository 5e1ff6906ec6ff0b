//! The indexer's state.

use std::sync::Arc;

use tokio::time::Instant;

use super::super::commit_state::CommitState;
use super::super::index_queue::Sealed;
use super::super::shared::{Place, Shared};
use crate::journal::{Fault, Health, Reply};
use crate::types::Timestamp;

pub(super) struct Indexer {
    pub(super) shared: Arc<Shared>,
    pub(super) commit_state: CommitState,
    pub(super) availability: Availability,
    /// A segment that is not in the database yet.
    pub(super) pending: Option<Sealed>,
    /// Requests for room that wait for what the log still holds to be indexed.
    pub(super) waiting: Vec<(Timestamp, Reply<bool>)>,
    /// Those that wait for the segment.
    pub(super) settled: Vec<Reply<()>>,
    /// When the database failed last, and how often in short succession before that.
    pub(super) failed: Option<(Instant, u32)>,
}

/// What the indexer can do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Availability {
    /// Everything.
    Serving,
    /// The database is open, but nothing can be written to it.
    Refusing(Fault),
    /// The database is closed, or not tried for a while because it failed repeatedly.
    Away(Fault),
}

impl Indexer {
    /// Changes what the indexer can do, and with it the journal's health.
    pub(super) fn enter(&mut self, availability: Availability) {
        self.shared.enter(
            Place::Database,
            match &availability {
                Availability::Serving => Health::Ready,
                Availability::Refusing(fault) => Health::Refusing(fault.clone()),
                Availability::Away(fault) => Health::Away(fault.clone()),
            },
        );
        self.availability = availability;
    }
}
