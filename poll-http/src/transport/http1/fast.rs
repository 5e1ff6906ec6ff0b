//! The fast path in front of hyper: plain HTTP/1.1 requests, which are most.
//!
//! **What it serves.** A complete GET, or a POST whose body arrived with its head, in HTTP/1.1, on a connection that is to
//! persist: see [`parse_request`]. Everything else (another method, HEAD included, or version, chunks, `Expect`, `Upgrade`, a
//! head in pieces, over 16 KiB or malformed) goes to hyper, request by request. So the subtle parts of HTTP are implemented
//! once, and `tests/it/transport_engines.rs` checks that both produce the same bytes.
//!
//! **Why.** hyper keeps two 8 KiB buffers for every connection, of which a waiting one has touched a page, and spends about
//! ten thousand instructions on a plain request and its response: a third of a delivery's user time, and two thirds of a
//! waiter's memory.
//!
//! **What it costs.** The four files below: a state machine ([`connection`]), a parser, a writer and a buffer pool. Switching
//! to hyper and back adds a quarter to a request that is not plain, which the next plain one saves again.
//!
//! **How to remove it.** Delete this folder, and:
//!
//! - in `http1.rs`, `HttpEngine::Fast`, `switch`, the default in `Http1::new`, and what makes hyper return `Next::Switch`;
//! - in `transport/error.rs`, `ConnectionError::Fast`; in `worker/metrics/connections.rs`, `Engine::Fast` and its label, and
//!   the counter of switches;
//! - in `fuzzing.rs`, `plain`, with `fuzz/fuzz_targets/plain.rs`;
//! - the tests of switching (`tests/it/transport_switch.rs`), of both engines, and of the metrics
//!   (`poll-server/tests/it/serving.rs`).
//!
//! That leaves unused: `Head::Plain`, `date::with_common_fields`, and the broadcast, which reaches no reader on hyper or
//! HTTP/2.

pub(crate) mod buffer_pool;
pub(crate) mod connection;
pub(crate) mod parse_request;
pub(crate) mod write_response;
