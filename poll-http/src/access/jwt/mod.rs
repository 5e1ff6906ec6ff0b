//! JSON Web Tokens (RFC 7519) in the compact form of JWS (RFC 7515), and the links that are signed with them.
//!
//! What: an [`JwtAuthority`] with [`VerifyingKey`]s, and a [`SigningKey`] that makes links. Cryptography is `ring`'s, as it
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
mod link;

pub use authority::JwtAuthority;
pub use claims::{LinkRight, Rules};
pub use jwks::{KeySetError, parse_jwks};
pub use key::{KeyError, VerifyingKey};
pub use link::{Link, SigningKey};
