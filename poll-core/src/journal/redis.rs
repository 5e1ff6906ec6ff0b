//! The journal in Redis or Valkey, which several servers share.

mod options;
mod url;

pub use options::{Durability, DurabilityError, Options};
pub use url::{RedisUrl, RedisUrlError};
