//! A log that outlives the process, below the one in memory.
//!
//! The store mints a publish under its channel's lock and hands it over under that same lock, so a journal is
//! given each channel's publishes in order. It answers at once or later, but in that order, through the
//! [`Append`] itself: [`Append::kept`] once the publish is as safe as the journal makes it, or
//! [`Append::failed`]. Readers see nothing of it, and publishers hear nothing, before.
//!
//! A journal that can give back what it kept is an [`Archive`]: memory then holds the tail of it.

mod archive;
#[cfg(feature = "disk")]
pub mod disk;
mod memory;

use crate::channel::ChannelName;
use crate::error::JournalError;
pub use crate::store::{Append, Host, Receipt};
pub use archive::{
    Archive, Damage, Fault, FaultKind, Health, KeptKey, Landmark, Loaded, Located, Piece, Reply, Stretch,
    Tail,
};
pub use memory::MemoryJournal;

/// Where publishes are kept.
pub trait Journal: Send + Sync + 'static {
    /// Takes one publish. Called under the channel's lock: queue it and return, never wait, never call back
    /// into the store on this thread.
    fn append(&self, append: Append) -> Taken;

    /// Whether an append may ever be [queued](Taken::Queued). Where none is, publishers are given no means to wait.
    fn queues(&self) -> bool {
        true
    }

    /// Forgets a channel that the store has forgotten.
    fn forget(&self, channel: &ChannelName) {
        let _ = channel;
    }

    /// Called once, before anything else, by the store that the journal is for.
    fn attach(&self, host: Host) {
        let _ = host;
    }

    /// What gives back what was kept; `None` where the log in memory is all there is.
    fn archive(&self) -> Option<&dyn Archive> {
        None
    }
}

/// What a journal did with a publish.
pub enum Taken {
    /// Kept already; the store may show it.
    Kept(Append),
    /// The journal will call [`Append::kept`] or [`Append::failed`], from a thread of its own.
    Queued,
    /// Not taken: the journal is full, away, or has too much to do.
    Refused(Append, JournalError),
}
