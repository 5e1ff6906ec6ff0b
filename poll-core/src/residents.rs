//! The channels in memory: finding one, showing what was published, and making room when all together hold too much.
//!
//! No global order is kept for that. MemoryLimit is found by sampling, as many caches do, so a publish costs the same with ten
//! channels and with a million. Nothing here knows whether a journal outlives the process, but for what the bound on
//! memory is a bound of.

mod directory;
mod eviction;
mod showing;
mod table;

pub(crate) use directory::Full;
pub(crate) use table::Residents;
