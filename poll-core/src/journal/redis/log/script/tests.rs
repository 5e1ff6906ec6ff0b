//! Tests of the script on a real Redis.

mod fixture;
mod forget;
mod keys;
mod lives;
mod losses;
mod model;
mod reading;
mod tables;
