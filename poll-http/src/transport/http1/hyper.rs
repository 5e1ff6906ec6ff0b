//! What stands between hyper and the socket.

pub(crate) mod exchange;
pub(crate) mod framed;
pub(crate) mod framing;
