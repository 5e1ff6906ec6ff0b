//! What one server of the log is used for, as long as the topology says so.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

use crate::journal::redis::log::partition::{Partition, Prefix};
use crate::journal::redis::url::Address;

/// What one server of the log is used for. It ends when the topology has it no longer.
pub(crate) struct Session {
    pub(crate) id: u64,
    pub(crate) address: Address,
    pub(crate) partitions: Vec<Partition>,
    /// The Redis channel on which this node publishes to itself, to see that its subscription works.
    pub(crate) canary: String,
    /// A key that is written to see whether Redis accepts writes.
    pub(crate) probe: String,
    /// Called when there is something to publish.
    pub(crate) publishes: Notify,
    /// Called when there is something to ask.
    pub(crate) asks: Notify,
    is_retired: AtomicBool,
    retired: Notify,
}

impl Session {
    /// `partitions` has at least one.
    pub(crate) fn new(
        id: u64,
        address: Address,
        partitions: Vec<Partition>,
        prefix: &Prefix,
        random: u64,
    ) -> Self {
        let first = partitions.first().copied();
        let announcements = first.map_or_else(String::new, |partition| partition.announcements(prefix));
        let record = first.map_or_else(String::new, |partition| partition.record(prefix));
        Self {
            id,
            address,
            partitions,
            canary: format!("{announcements}:{random:016x}"),
            probe: format!("{record}:probe"),
            publishes: Notify::new(),
            asks: Notify::new(),
            is_retired: AtomicBool::new(false),
            retired: Notify::new(),
        }
    }

    /// The session is over: nothing more is sent. What is on its way is still answered.
    pub(crate) fn retire(&self) {
        self.is_retired.store(true, Ordering::Relaxed);
        self.publishes.notify_one();
        self.retired.notify_waiters();
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.is_retired.load(Ordering::Relaxed)
    }

    /// Resolves when the session is over.
    pub(crate) async fn retired(&self) {
        let retired = self.retired.notified();
        if !self.is_retired() {
            retired.await;
        }
    }
}

/// What has to be done before the next commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    Go,
    /// The server refused something that will be sent again.
    Pause,
    LoadScript,
}
