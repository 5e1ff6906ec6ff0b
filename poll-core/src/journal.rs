//! A log that outlives the process, below the one in memory.
//!
//! A journal takes publishes in one order, gives their messages numbers, ids and times in that order, and keeps them. One
//! of this process alone has them [minted](Mint::mint) as it takes them, under the channel's lock. One that several
//! servers share mints by itself, and tells what each message got with [`Append::kept`].
//!
//! It answers at once or later, in the order of a channel's numbers, through the [`Append`] itself: it is kept once the
//! publish is as safe as the journal makes it, or has [failed](Append::failed). Readers see nothing of it, and publishers
//! hear nothing, before.
//!
//! A journal that can give back what it kept is an [`Archive`]: memory then holds the tail of it.

mod archive;
#[cfg(feature = "disk")]
pub mod disk;
mod memory;

pub use crate::store::{Append, Host, Mint, Minted, Unminted, WriteBehind};
use crate::types::{ChannelName, JournalError};
pub use archive::{
    Archive, Damage, Fault, FaultKind, Health, KeptKey, Landmark, Loaded, Located, Piece, Reply, Stretch,
    Tail,
};
pub use memory::MemoryJournal;

/// Where publishes are kept.
pub trait Journal: Send + Sync + 'static {
    /// Takes one publish; `mint` gives it its numbers, unless the journal has them from elsewhere. Called under the
    /// channel's lock: queue it and return, never wait, never call back into the store on this thread.
    fn append(&self, append: Append, mint: &mut Mint<'_>) -> Taken;

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
    Kept(Append<Minted>),
    /// The journal will say that it is kept or has [failed](Append::failed), from a thread of its own.
    Queued,
    /// Not taken: the journal is full, away, or has too much to do.
    Refused(Append, JournalError),
}
