//! What poll-core promises, tested through its public face.
//!
//! The pure parts and the store are compared with plain models (`log_model`, `store_model`); every other module
//! tells one promise in tests that are named as it. Interleavings of threads are `tests/loom`'s business.
#![expect(clippy::unwrap_used, reason = "a test may panic, and so may what it is made of")]

mod clock;
mod fixture;
mod held_archive;
mod held_journal;
mod idempotency;
mod journal_contract;
mod late_answers;
mod log_model;
mod memory;
mod minted_elsewhere;
mod positions;
mod receipts;
mod retention;
mod shared_batches;
mod store_model;
mod waiting;
