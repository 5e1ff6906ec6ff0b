//! The machine's disk: files in memory that forget what was not synced when the power goes, and fail as the seed says.
//!
//! Syncs take time, during which everything else runs. What was lost or changed below the server, so that nothing could
//! have kept it, is remembered for the judge.

mod platter;
mod port;
mod state;

pub(crate) use port::Port;
pub(crate) use state::{Disk, Failure, Harm};
