//! One channel: its log, the publishes on their way to it, and its lock.
//!
//! Everything that concerns a single channel is here and works on its state while the lock is held. Nothing here knows
//! of other channels, of waiters, or of what a journal does.

mod batch;
mod bounds;
mod entry;
mod fork_pin;
mod keys;
mod living;
mod log;
mod memory_limit;
mod minting;
mod pending;
mod phase;
mod pinned;
mod publishing;
mod receipts;
mod renderings;
mod seal;
mod state;
mod view;

pub use batch::Batch;
pub(crate) use batch::{Messages, Recent, shared_bytes};
pub(crate) use entry::Channel;
pub(crate) use fork_pin::ForkPin;
pub(crate) use keys::Lookup;
pub(crate) use living::{Decision, Due, ForkCount, Forks, Operation, Reason, Verdict};
pub use log::Log;
pub(crate) use memory_limit::MemoryLimit;
pub(crate) use minting::Minting;
pub(crate) use pending::Pending;
pub(crate) use phase::ChannelPhase;
pub use pinned::Pinned;
pub(crate) use receipts::{RECEIPT_BYTES, Receipts};
pub(crate) use renderings::Renderings;
pub use renderings::{Form, Rendering};
pub use seal::Seal;
pub(crate) use state::ChannelState;
pub use view::{ReadState, View};
