//! One accepted connection, from its first byte to its end.
//!
//! [`preface`](crate::transport::preface) tells the protocol, and [`http1`](crate::transport::http1) or
//! [`http2`](crate::transport::http2) serves it. Accepting sockets and TLS are the caller's, responses the handler's.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite};

use crate::message::connection_info::Peer;
use crate::transport::context::ConnectionContext;
use crate::transport::error::ConnectionError;
use crate::transport::handle::Handle;
use crate::transport::http1::Http1;
use crate::transport::http2::Http2;
use crate::transport::parts::Parts;
use crate::transport::preface::{Detected, Preface};
use crate::transport::timed_io::TimedIo;
use crate::worker::budget;
use crate::worker::drain::WaitDraining;

/// Serves one accepted connection to its end. `io` is a TCP stream, one with TLS on it, or an in-memory pipe. Where `io`
/// buffers what is written to it, it flushes only when the socket below has all of that.
///
/// # Errors
/// When it did not end cleanly: the peer went away in the middle, broke the protocol or ran into a deadline. A
/// connection that was idle for too long, or drained, has ended cleanly.
pub fn serve<IO, H>(
    io: IO,
    peer: impl Into<Peer>,
    handler: H,
    context: Arc<ConnectionContext>,
) -> impl Future<Output = Result<(), ConnectionError>> + Send + Unpin
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handle,
{
    let io = TimedIo::new(io, Arc::clone(&context));
    let draining = WaitDraining::new(context.drain.clone());
    let peer = peer.into();
    peer.begin();
    let parts = Parts { io, peer, handler, context, draining };
    Connection { protocol: Protocol::Unknown(Some(Unknown { parts, preface: Preface::default() })) }
}

/// A state machine by hand: an `async fn` would hold the socket, the handler and the protocol's future side by side.
struct Connection<IO, H: Handle> {
    protocol: Protocol<IO, H>,
}

#[expect(
    clippy::large_enum_variant,
    reason = "nearly every connection is the largest for nearly all its life"
)]
enum Protocol<IO, H: Handle> {
    /// `None` only on the way to another protocol.
    Unknown(Option<Unknown<IO, H>>),
    Http1(Http1<IO, H>),
    /// Boxed: it is large, and few connections carry many streams.
    Http2(Box<Http2<IO, H>>),
    /// Nothing was asked.
    Closing(TimedIo<IO>),
}

struct Unknown<IO, H> {
    parts: Parts<IO, H>,
    preface: Preface,
}

/// Nothing in it is pinned in place.
impl<IO, H: Handle> Unpin for Connection<IO, H> {}

impl<IO, H> Future for Connection<IO, H>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handle,
{
    type Output = Result<(), ConnectionError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match &mut self.protocol {
                Protocol::Http1(http1) => return http1.poll(cx),
                Protocol::Http2(http2) => {
                    ready!(budget::poll_begin(cx));
                    return Pin::new(&mut **http2).poll(cx);
                }
                // There is no request to answer, so what does not get through is not missed.
                Protocol::Closing(io) => return Pin::new(io).poll_shutdown(cx).map(|_| Ok(())),
                Protocol::Unknown(_) => ready!(self.poll_detect(cx))?,
            }
        }
    }
}

impl<IO, H> Connection<IO, H>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handle,
{
    /// Ready when the protocol is known.
    #[inline(never)]
    fn poll_detect(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectionError>> {
        let Protocol::Unknown(Some(Unknown { parts, preface })) = &mut self.protocol else {
            return Poll::Ready(Ok(()));
        };
        ready!(budget::poll_begin(cx));
        let detected = loop {
            match preface.poll_detect(&mut parts.io, cx) {
                Poll::Ready(detected) => break detected.map_err(ConnectionError::Preface)?,
                Poll::Pending if parts.io.state().is_draining() => return Poll::Pending,
                Poll::Pending => ready!(Pin::new(&mut parts.draining).poll(cx)),
            }
            // A request may be under way.
            parts.io.state().drain();
        };
        let unknown = std::mem::replace(&mut self.protocol, Protocol::Unknown(None));
        let Protocol::Unknown(Some(Unknown { parts, .. })) = unknown else { return Poll::Ready(Ok(())) };
        self.protocol = match detected {
            Detected::Closed => Protocol::Closing(parts.io),
            Detected::Http1 => Protocol::Http1(Http1::new(parts)),
            Detected::Http2 => Protocol::Http2(Box::new(Http2::new(parts))),
        };
        Poll::Ready(Ok(()))
    }
}
