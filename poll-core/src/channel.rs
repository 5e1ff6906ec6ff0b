//! One channel: its log, the publishes on their way to it, and its lock.
//!
//! Everything that concerns a single channel is here and works on its state while the lock is held. Nothing here knows
//! of other channels, of waiters, or of what a journal does.

mod batch;
mod bounds;
mod fork_pin;
mod keys;
mod living;
mod log;
mod memory_limit;
mod minting;
mod pending;
mod pinned;
mod publishing;
mod receipts;
mod renderings;
mod seal;
mod state;
mod view;

use crate::life::Life;
use crate::sync::Mutex;
use crate::types::{ChannelName, Epoch, Loaded, Timestamp};
pub use batch::Batch;
pub(crate) use batch::{Messages, Recent, shared_bytes};
pub(crate) use fork_pin::ForkPin;
pub(crate) use keys::Lookup;
pub(crate) use living::{Decision, Due, ForkCount, Forks, Reason, Verdict, Wish};
pub use log::Log;
pub(crate) use memory_limit::MemoryLimit;
pub(crate) use minting::Minting;
pub(crate) use pending::Pending;
pub use pinned::Pinned;
pub(crate) use receipts::{RECEIPT_BYTES, Receipts};
pub(crate) use renderings::Renderings;
pub use renderings::{Form, Rendering};
pub use seal::Seal;
pub(crate) use state::{ChannelPhase, ChannelState};
pub use view::{ReadState, View};

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
