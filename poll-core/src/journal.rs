//! A log that outlives the process, below the one in memory.
//!
//! A journal accepts publishes in one order, assigns numbers, ids and times in that order, and stores them.
//!
//! A [`Journal`] is this process's alone. It has publishes [minted](Mint::mint) as it accepts them, under the channel's
//! lock, and answers at once or later, in the order of a channel's numbers, through the [`Append`] itself: kept once
//! the publish is as safe as the journal makes it, or [failed](Append::failed). Before that readers see nothing of it,
//! and publishers hear nothing.
//!
//! A [`SharedJournal`] is a log that several servers write to. It mints where the log is, and each server
//! [follows](Host::follow) it.
//!
//! A journal that can be read back is an [`Archive`]; memory then holds only the tail.

mod append;
mod archive;
mod contract;
#[cfg(feature = "disk")]
pub mod disk;
mod host;
mod memory;
#[cfg(feature = "redis")]
pub mod redis;
mod shared;
mod shared_lives;
mod shared_publish;

pub use crate::types::{
    Fingerprint, KeptKey, Landmark, ListedChannel, Listing, Loaded, Located, Piece, Selection, Stretch,
};
pub(crate) use append::Envelope;
pub use append::{Append, Mint, Minted, Unminted, WriteBehind};
pub use archive::{Archive, Damage, Fault, FaultKind, Health, Reply, SoleArchive, Tail};
pub use contract::{Journal, Taken};
pub use host::Host;
pub use memory::MemoryJournal;
pub use shared::{Followed, Run, SharedJournal};
pub use shared_lives::{
    Audience, ForkChange, ForkMark, Forks, Holds, SharedChange, SharedLives, Survey, SurveyToken,
};
pub use shared_publish::{Outcome, PublishReply, SharedPublish};
