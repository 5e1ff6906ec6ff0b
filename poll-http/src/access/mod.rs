//! Who may ask, and how often: tokens, origins, the client behind an address, and the bounds on those who wait.
//!
//! Uses `message` alone.

pub(crate) mod admission;
pub(crate) mod client;
pub(crate) mod origin;
pub(crate) mod tokens;
