//! Adapters on both sides of hyper: the handler above it ([`service`]), and the socket below it ([`framed`]).

pub(crate) mod exchange;
pub(crate) mod framed;
pub(crate) mod framing;
pub(crate) mod service;
