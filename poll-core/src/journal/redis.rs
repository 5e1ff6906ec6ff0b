//! The journal in Redis or Valkey, which several servers share.
//!
//! `partition` says where a channel is kept, `script` what can be done with it in one atomic step, `entry` and
//! `announcement` how messages are written, `generation` how a Redis that lost something is recognised, `refusal` which
//! errors prove that nothing happened, and `follower` how what is written becomes visible on this node, in order.

#![allow(dead_code, unused_imports, reason = "the connections that use it are being built")]

mod announcement;
mod entry;
mod fields;
mod follower;
mod generation;
mod life;
mod options;
mod partition;
mod refusal;
mod script;
mod url;

pub use options::{Durability, DurabilityError, Options};
pub use url::{RedisUrl, RedisUrlError};
