//! The crate's integration tests, one binary.

mod transport_deadline;
mod transport_drain;
mod transport_http1;
mod transport_http2;
mod transport_push;
mod transport_sniff;
mod transport_toy;
