//! A connection, from its first byte to its end: HTTP/1.1 on hyper with a fast path below it, HTTP/2 on h2.
//!
//! | file | what it does |
//! | --- | --- |
//! | `connection` | tells the protocol by the first bytes (`preface`) and serves it |
//! | `http1` | HTTP/1.1 and 1.0 on hyper; `http1/fast` serves plain requests without it |
//! | `http2` | HTTP/2 on h2 |
//! | `timed_io` | the socket with its deadlines, below all of them |
//! | `connection_state` | what the socket and the protocol tell each other |
//! | `handle`, `context`, `settings`, `error` | what a connection is given, and how it ends |
//!
//! Uses `message`, and of `worker` the timers, the drain, the budget and the counters. No other wing uses it.

pub(crate) mod connection;
pub(crate) mod connection_state;
pub(crate) mod context;
mod date;
pub(crate) mod error;
pub(crate) mod handle;
pub(crate) mod http1;
pub(crate) mod http2;
pub(crate) mod parts;
pub(crate) mod preface;
pub(crate) mod settings;
pub(crate) mod timed_io;
