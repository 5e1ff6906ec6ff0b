//! The crate's integration tests, one binary.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod examples;
mod mount;
mod transport_deadline;
mod transport_drain;
mod transport_http1;
mod transport_http2;
mod transport_push;
mod transport_sniff;
mod transport_toy;
