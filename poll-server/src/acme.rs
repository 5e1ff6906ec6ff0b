//! Certificates by ACME (RFC 8555): obtained, kept, renewed.
//!
//! | file | what it does |
//! | --- | --- |
//! | `keeper` | looks after each name: its kept certificate, the first one, renewals, failures |
//! | `schedule` | when a certificate is renewed, and when a failure is tried again |
//! | `authority` | asks the authority for an account, an order and a renewal window |
//! | `connection` | the requests to the authority |
//! | `challenge` | the certificate that answers a challenge |
//! | `folder` | the files that are kept |
//! | `standing` | what `/readyz` tells |
//!
//! Why one order a name: a name that cannot be proved holds up no other.
//! Why `instant-acme`: it knows the protocol and neither clock, files, TLS nor sockets, which are ours here anyway.
//! Not here: answering a challenge in a handshake (`tls/obtained.rs`), settings (`config/acme.rs`).

mod authority;
mod challenge;
mod connection;
mod folder;
mod keeper;
mod schedule;
mod standing;

pub(crate) use self::keeper::Keeper;
pub(crate) use self::standing::Standing;
