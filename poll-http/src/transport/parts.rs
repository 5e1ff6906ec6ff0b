//! What a connection consists of, whichever engine serves it.

use std::sync::Arc;

use crate::message::connection_info::{ConnectionInfo, EarlyHints, Peer, Protocol, PushPolicy, Unread};
use crate::transport::context::ConnectionContext;
use crate::transport::timed_io::TimedIo;
use crate::worker::drain::WaitDraining;

/// A connection without an engine.
pub(crate) struct Parts<IO, H> {
    pub(crate) io: TimedIo<IO>,
    pub(crate) peer: Peer,
    pub(crate) handler: H,
    pub(crate) context: Arc<ConnectionContext>,
    pub(crate) draining: WaitDraining,
}

/// What an engine does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing: the connection has ended.
    End,
    /// Another engine is to go on.
    Switch,
}

/// What a response over HTTP/1 may depend on of its connection.
pub(crate) fn http1_info(peer: &Peer, protocol: Protocol, early_hints: EarlyHints) -> ConnectionInfo {
    // In HTTP/1 a response waits until the one before has been taken.
    ConnectionInfo {
        peer: peer.address,
        secured: peer.secured.clone(),
        protocol,
        push: PushPolicy::Off,
        early_hints,
        unread: Unread::Little,
        record: peer.record.clone(),
    }
}
