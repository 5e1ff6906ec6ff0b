//! One channel: its log, what is on its way to it, and its lock.
//!
//! Everything about a single channel is here, and works on its state while the lock is held. That there are other
//! channels, who waits for this one and what a journal does is not known here.

mod batch;
mod bounds;
mod keys;
mod log;
mod memory_limit;
mod pending;
mod pinned;
mod publishing;
mod receipts;
mod seal;
mod state;
mod view;

use crate::sync::Mutex;
use crate::types::{ChannelName, Loaded, Timestamp};
pub use batch::{Batch, Form, Rendering};
pub(crate) use batch::{Messages, Recent};
pub(crate) use keys::Lookup;
pub use log::Log;
pub(crate) use memory_limit::MemoryLimit;
pub(crate) use pending::Pending;
pub use pinned::Pinned;
pub(crate) use receipts::{RECEIPT_BYTES, Receipts};
pub use seal::Seal;
pub(crate) use state::{ChannelPhase, ChannelState};
pub use view::{ReadState, View};

/// A channel that is in memory.
pub(crate) struct Channel {
    name: ChannelName,
    /// Held to hand a publish to the journal (which mints it, queues it and returns), to apply one, or to take a view.
    /// No other lock of the store, no wake and no await inside.
    pub(crate) state: Mutex<ChannelState>,
}

impl Channel {
    /// A channel that nothing was published to yet.
    pub(crate) fn new(name: ChannelName) -> Self {
        Self { name, state: Mutex::new(ChannelState::new()) }
    }

    /// A channel as the journal kept it, last used at `now`; as a new one where the journal knows none.
    pub(crate) fn resumed(name: ChannelName, loaded: Option<Loaded>, now: Timestamp) -> Self {
        let state = loaded.map_or_else(ChannelState::new, ChannelState::resumed);
        Self { name, state: Mutex::new(ChannelState { used: now, ..state }) }
    }

    pub(crate) fn name(&self) -> &ChannelName {
        &self.name
    }

    /// What a channel weighs beside its log, in bytes: its record, its places in tables, and its name.
    pub(crate) fn weight_of(name: &ChannelName) -> u64 {
        const RECORD: u64 = 640;
        RECORD + name.as_str().len() as u64
    }
}
