//! HTTP/2 (being written).
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::connection::{ConnectionError, ConnectionSettings, Handle};
use crate::drain::WaitDraining;
use crate::stall::Watched;

pub(crate) struct Http2<IO, H: Handle> {
    _io: Watched<IO>,
    _handler: H,
}

impl<IO, H: Handle> Http2<IO, H> {
    pub(crate) fn new(
        io: Watched<IO>,
        _peer: SocketAddr,
        handler: H,
        _settings: Arc<ConnectionSettings>,
        _draining: WaitDraining,
    ) -> Self {
        Self { _io: io, _handler: handler }
    }
}
impl<IO, H: Handle> Unpin for Http2<IO, H> {}
impl<IO, H: Handle> Future for Http2<IO, H> {
    type Output = Result<(), ConnectionError>;
    fn poll(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(Ok(()))
    }
}
