//! What a journal has to do that only this process publishes to.

use std::sync::Arc;

use super::append::{Append, Mint, Minted};
use super::archive::SoleArchive;
use super::host::Host;
use crate::types::{ChannelName, JournalError};

/// Where publishes are kept, if only this process publishes. Otherwise it is a
/// [`SharedJournal`](super::SharedJournal).
pub trait Journal: Send + Sync + 'static {
    /// Accepts one publish and has `mint` assign its numbers. Called under the channel's lock: queue it and return; never
    /// wait, and never call back into the store on this thread.
    fn append(&self, append: Append, mint: &mut Mint<'_>) -> Taken;

    /// Whether an append may ever be [queued](Taken::Queued). If not, publishers cannot wait.
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

    /// Reads back what was stored; `None` if there is only the log in memory.
    fn archive(self: Arc<Self>) -> Option<Arc<dyn SoleArchive>> {
        None
    }
}

/// What a journal did with a publish.
pub enum Taken {
    /// It is kept already; the store may show it.
    Kept(Append<Minted>),
    /// The journal will answer from a thread of its own: kept, or [failed](Append::failed).
    Queued,
    /// It is refused: the journal is full, away, or overloaded.
    Refused(Append, JournalError),
}
