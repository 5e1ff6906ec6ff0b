//! The follower against a plain model: several nodes and one Redis that loses things.

mod calm;
mod faults;
mod node;
mod redis;
