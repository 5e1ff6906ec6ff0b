//! The disk journal's promise: acknowledged means stored.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod backups;
mod behind;
mod bounds;
#[path = "../contract/mod.rs"]
mod contract;
mod crashes;
mod damage;
mod doubt;
mod fake;
#[expect(dead_code, reason = "the simulation does some of it")]
#[path = "../fake_disk/mod.rs"]
mod fake_disk;
mod faults;
mod fixture;
mod flips;
mod forks;
mod journal;
mod life;
#[path = "../life/model.rs"]
mod life_model;
mod like_memory;
mod listing;
mod lists;
mod outages;
mod parts;
mod restarts;
mod room;
mod salvage;
mod seeded;
mod size;
mod slow;
mod unreadable;
