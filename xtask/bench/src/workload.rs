//! The workloads: what the load does to a server in one round, and what it counts.
//!
//! Each is the same for every server and takes a fresh one. What is counted lies between two moments at which the
//! server is idle and everybody who reads is waiting, so that asking again is part of a delivery.

pub(crate) mod channels;
pub(crate) mod fan_out;
pub(crate) mod http2;
pub(crate) mod idle;
pub(crate) mod publish;
pub(crate) mod short;
pub(crate) mod stopwatch;
pub(crate) mod streams;
pub(crate) mod tail;
