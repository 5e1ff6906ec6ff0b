//! What all channels in memory share, and finding one of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::directory::{Directory, Full};
use crate::channel::{Channel, ChannelPhase, ChannelState, MemoryLimit};
use crate::environment::Environment;
use crate::memory::Memory;
use crate::notifier::Notifier;
use crate::types::{ChannelName, Epoch, Retention, Seq, Timestamp};

/// The channels in memory.
pub(crate) struct Residents {
    pub(crate) environment: Environment,
    pub(crate) directory: Directory,
    pub(crate) notifier: Arc<Notifier>,
    pub(crate) retention: Retention,
    /// The account of memory used besides the logs.
    pub(crate) memory: Memory,
    /// The limit on logs in memory. With an archive it is less than the retained messages.
    pub(crate) limit: MemoryLimit,
    /// The weight of all logs in bytes. Updated after the logs change, so it is a measure and not a lock.
    pub(super) weight: AtomicU64,
    pub(super) published: AtomicU64,
    /// The weight of the messages that are never evicted, in bytes.
    unevictable: AtomicU64,
}

impl Residents {
    pub(crate) fn new(
        environment: Environment,
        retention: Retention,
        memory: Memory,
        limit: MemoryLimit,
    ) -> Self {
        Self {
            environment,
            directory: Directory::default(),
            notifier: Arc::default(),
            retention,
            memory,
            limit,
            weight: AtomicU64::new(0),
            published: AtomicU64::new(0),
            unevictable: AtomicU64::new(0),
        }
    }

    pub(crate) fn get(&self, name: &ChannelName) -> Option<Arc<Channel>> {
        self.directory.get(name)
    }

    /// The channel with a name, made if there is none and another one is allowed.
    pub(crate) fn get_or_make(&self, name: &ChannelName) -> Result<Arc<Channel>, Full> {
        self.directory
            .get_or_make(name, self.retention.channels(), self.limit.for_channels(), || self.new_epoch())
    }

    /// A life for a channel, which no other has had.
    pub(crate) fn new_epoch(&self) -> Epoch {
        Epoch::new(self.environment.random().max(1))
    }

    /// Nothing of a channel before `oldest` is retained any more, and nothing from there on was taken before `since`.
    pub(crate) fn raise(&self, name: &ChannelName, epoch: Epoch, (oldest, since): (Seq, Timestamp)) {
        let Some(channel) = self.get(name) else { return };
        let mut state = channel.state.lock();
        if state.epoch() == epoch {
            let freed = state.raise(oldest, since, &self.memory);
            drop(state);
            self.release_weight(freed);
        }
    }

    /// Drops a channel from memory, whatever it holds, and wakes its waiters, whose next read loads it again.
    pub(crate) fn reset(&self, name: &ChannelName) {
        if let Some(channel) = self.get(name) {
            let mut freed = 0;
            let forget = |channel: &Channel| {
                let mut state = channel.state.lock();
                state.phase = ChannelPhase::Forgotten;
                freed = state.log.weight();
                true
            };
            self.directory.remove(&channel, forget);
            self.release_weight(freed);
        }
        self.notifier.notify(name);
    }

    /// Whether messages of this weight that are never evicted can be retained as well.
    pub(crate) fn has_room_for_unevictable(&self, weight: u64) -> bool {
        self.unevictable.load(Ordering::Relaxed).saturating_add(weight) <= self.retention.bytes()
    }

    /// Counts what a channel holds among what is never evicted, if that is so.
    pub(crate) fn count_unevictable(&self, state: &mut ChannelState) {
        let weight = if state.keeps_everything() { state.log.weight() } else { 0 };
        let Some(ledger) = &mut state.ledger else { return };
        let counted = std::mem::replace(&mut ledger.counted, weight);
        self.unevictable.fetch_add(weight.wrapping_sub(counted), Ordering::Relaxed);
    }

    /// The channel leaves memory.
    pub(crate) fn uncount_unevictable(&self, state: &mut ChannelState) {
        let Some(ledger) = &mut state.ledger else { return };
        self.unevictable.fetch_sub(std::mem::take(&mut ledger.counted), Ordering::Relaxed);
    }

    /// The weight of all messages in memory, in bytes.
    pub(crate) fn weight(&self) -> u64 {
        self.weight.load(Ordering::Relaxed)
    }

    /// How many messages this process published.
    pub(crate) fn published(&self) -> u64 {
        self.published.load(Ordering::Relaxed)
    }

    /// Messages of this weight came into memory.
    pub(crate) fn add_weight(&self, added: u64) {
        self.weight.fetch_add(added, Ordering::Relaxed);
    }

    /// Messages of this weight left memory.
    pub(crate) fn release_weight(&self, freed: u64) {
        if freed > 0 {
            self.weight.fetch_sub(freed, Ordering::Relaxed);
        }
    }
}
