//! What the disk journal promises: acknowledged means kept.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fake;
mod faults;
mod fixture;
mod restarts;
