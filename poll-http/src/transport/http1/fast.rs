//! Plain requests of HTTP/1.1, served without hyper.
//!
//! **What it serves.** A whole GET, or a POST whose body came with its head, in HTTP/1.1, that asks nothing of its
//! connection but to be kept: see [`parse_request`]. Everything else (another method or version, chunks, `Expect`,
//! `Upgrade`, a head in pieces, over 4 KiB or broken) is hyper's, request by request. So nothing that is easy to get wrong
//! about HTTP is decided twice, and `tests/it/transport_engines.rs` holds both to the same bytes.
//!
//! **Why.** hyper keeps two 8 KiB buffers for every connection, of which a waiting one has touched a page, and spends about
//! ten thousand instructions on a plain request and its response: a third of a delivery's user time, and two thirds of a
//! waiter's memory.
//!
//! **What it costs.** The four files below: a state machine ([`connection`]), a reader and a writer. To go to hyper and back
//! adds a quarter to a request that is not plain, which the next plain one saves again.
//!
//! **How to take it out.** Delete this folder, and in [`http1`](super) the variant `Fast` with the arms that name it.

pub(crate) mod buffer_pool;
pub(crate) mod connection;
pub(crate) mod parse_request;
pub(crate) mod write_response;
