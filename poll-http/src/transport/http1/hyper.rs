//! What stands on both sides of hyper: a handler as it sees one ([`service`]), and a socket as it reads one ([`framed`]).

pub(crate) mod exchange;
pub(crate) mod framed;
pub(crate) mod framing;
pub(crate) mod service;
