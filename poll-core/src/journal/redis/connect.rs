//! Which servers a log has, and connections to them.

pub(crate) mod backoff;
pub(crate) mod connection;
pub(crate) mod durability;
pub(crate) mod refusal;
pub(crate) mod topology;
