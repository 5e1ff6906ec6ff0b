//! What is kept in Redis, and the one script that changes it: no connection, no clock, no state.

pub(crate) mod announcement;
pub(crate) mod entry;
pub(crate) mod fields;
pub(crate) mod generation;
#[cfg(test)]
pub(crate) mod life;
pub(crate) mod partition;
pub(crate) mod script;
