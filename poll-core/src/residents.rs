//! The channels in memory: finding one, showing what was published, and freeing memory when all together hold too much.
//!
//! There is no global order of use. Channels to evict from are found by sampling, as many caches do, so a publish costs
//! the same with ten channels and with a million. Of the journal this module knows only whether what it drops can be
//! read again.

mod directory;
mod eviction;
mod showing;
mod table;

pub(crate) use directory::Full;
pub(crate) use table::Residents;
