//! Who may make requests, and how many: tokens, origins, client identity, and limits on waiting requests.
//!
//! Uses `message` alone.

pub(crate) mod administration;
pub(crate) mod admission;
pub(crate) mod authority;
pub(crate) mod client;
#[cfg(feature = "jwt")]
pub mod jwt;
pub(crate) mod origin;
pub(crate) mod pattern;
pub(crate) mod tokens;
