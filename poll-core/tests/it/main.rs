//! What poll-core promises, tested through its public API.
//!
//! The pure parts and the store are compared with plain models (`log_model`, `store_model`); every other module is
//! about one promise, in tests named after it. Interleavings of threads are covered by `tests/loom`.
#![expect(clippy::unwrap_used, reason = "a test may panic, and so may what it is made of")]

mod clock;
#[path = "../contract/mod.rs"]
mod contract;
mod fake_log;
mod fake_node;
mod fixture;
mod following;
mod forks;
mod held_archive;
mod held_journal;
mod idempotency;
mod journal_contract;
mod journals;
mod late_answers;
mod life;
mod life_in_memory;
#[path = "../life/model.rs"]
mod life_model;
mod log_model;
mod memory;
mod positions;
mod receipts;
mod retention;
mod shared_batches;
mod shared_model;
mod store_model;
mod waiting;
