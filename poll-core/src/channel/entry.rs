//! A channel as it is in memory: its name, and its state under a lock.

use super::minting::Minting;
use super::state::ChannelState;
use crate::life::Life;
use crate::sync::Mutex;
use crate::types::{ChannelName, Epoch, Loaded, Timestamp};

/// A channel that is in memory.
pub(crate) struct Channel {
    name: ChannelName,
    /// Held to hand a publish to the journal (which mints it, queues it and returns), to apply one, or to take a view.
    /// No other lock of the store is taken inside, and nothing is woken or awaited.
    pub(crate) state: Mutex<ChannelState>,
}

impl Channel {
    /// A channel that nothing has been published to, in this incarnation.
    pub(crate) fn new(name: ChannelName, epoch: Epoch) -> Self {
        Self { name, state: Mutex::new(ChannelState::new(epoch)) }
    }

    /// A channel as the journal kept it, last used at `now`; a new one, in this incarnation, where the journal has none.
    pub(crate) fn resumed(
        name: ChannelName,
        loaded: Option<(Loaded, Option<Life>)>,
        epoch: Epoch,
        minting: Minting,
        now: Timestamp,
    ) -> Self {
        let resumed = |(loaded, life)| ChannelState::resumed(loaded, life, minting);
        let state = loaded.map_or_else(|| ChannelState::new(epoch), resumed);
        Self { name, state: Mutex::new(ChannelState { used: now, ..state }) }
    }

    pub(crate) fn name(&self) -> &ChannelName {
        &self.name
    }

    /// What a channel weighs beside its log, in bytes: its record, its table entries and its name.
    pub(crate) fn weight_of(name: &ChannelName) -> u64 {
        const RECORD: u64 = 640;
        RECORD + name.as_str().len() as u64
    }
}
