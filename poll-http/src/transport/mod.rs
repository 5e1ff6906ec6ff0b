//! A connection, from its first byte to its end: HTTP/1.1 on hyper with a fast path below it, HTTP/2 on h2.
//!
//! Uses `message`, and of `worker` the timers, the drain, the metrics, the clock and the budget. No other wing uses it.

pub(crate) mod connection;
pub(crate) mod connection_state;
pub(crate) mod context;
mod date;
pub(crate) mod error;
pub(crate) mod handle;
pub(crate) mod http1;
pub(crate) mod http2;
pub(crate) mod settings;
pub(crate) mod timed_io;
