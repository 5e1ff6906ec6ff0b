//! A connection, from its first byte to its end: HTTP/1.1 on a fast path and on hyper, HTTP/2 on h2.
//!
//! | file | what it does |
//! | --- | --- |
//! | `connection` | detects the protocol by the first bytes (`preface`) and serves it |
//! | `http1` | HTTP/1.1 and 1.0: `http1/fast` serves plain requests, hyper all others, HEAD included |
//! | `http2` | HTTP/2 on h2 |
//! | `timed_io` | the socket with its deadlines, below all of them |
//! | `connection_state` | state shared by the socket and the protocol |
//! | `handle`, `context`, `settings`, `error` | a connection's handler and settings, and how it ends |
//!
//! Uses `message`, and of `worker` the timers, the drain, the budget and the counters. No other module uses it.

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
