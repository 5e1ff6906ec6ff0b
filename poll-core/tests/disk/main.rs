//! What the disk journal promises: acknowledged means kept.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod backups;
mod bounds;
mod crashes;
mod damage;
mod doubt;
mod fake;
mod faults;
mod fixture;
mod flips;
mod like_memory;
mod outages;
mod restarts;
mod salvage;
mod seeded;
mod size;
mod unreadable;
