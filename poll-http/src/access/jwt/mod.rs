//! JSON Web Tokens (RFC 7519) in the compact form of JWS (RFC 7515), signed links among them.
//!
//! What: an [`JwtAuthority`] with [`VerifyingKey`]s; what makes links is poll-core's, and named here too. Cryptography is `ring`'s, as it
//! is for TLS. No layer of another library: one that takes its cryptography from outside keeps it for the whole process,
//! which a library must not decide for its embedder, reads the system's clock, and would need as much code around it.
//! Not here: reading files and fetching keys; encrypted tokens.

mod authority;
mod claims;
mod der;
mod judged;
mod jwks;
mod jws;
mod key;

pub use authority::JwtAuthority;
pub use claims::Rules;
pub use jwks::{KeySetError, parse_jwks};
pub use key::VerifyingKey;
pub use poll_core::link::{KeyError, Link, LinkRight, SigningKey};
