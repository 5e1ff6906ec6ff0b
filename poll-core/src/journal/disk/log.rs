//! The log that a publish is kept in first: append-only files, each record with a checksum.
//!
//! The writer appends a batch to the active segment and syncs it once; then its publishers are answered. Once a segment is
//! full, its messages are moved to the database in the background ([`indexer`](super::indexer)), and the file is removed.
//! What the database does not have yet is also in memory ([`recent`]), so no reader opens a segment: it is read back only
//! after a crash, or by a salvage ([`replay`]).
//!
//! Not here: the database behind the log, and what retention deletes.

mod change;
pub(super) mod forks;
pub(super) mod life;
pub(super) mod recent;
pub(super) mod record;
pub(super) mod replay;
pub(super) mod segment;
