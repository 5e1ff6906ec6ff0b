//! One accepted connection, from its first byte to its end: which protocol it speaks, and what is known about it.
//!
//! A port speaks both protocols. HTTP/2 by prior knowledge opens with 24 fixed bytes (RFC 9113, section 3.4); the first
//! byte that differs makes it HTTP/1. What was read for that is replayed, so [`http1`] and [`http2`] see the stream
//! whole. Accepting sockets, TLS and the answers themselves are other people's business.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite};

use crate::transport::context::ConnectionContext;
use crate::transport::error::ConnectionError;
use crate::transport::handle::Handle;
use crate::transport::http1::{Direct, Http1, Turn};
use crate::transport::http2::Http2;
use crate::transport::settings::EarlyHintsHttp1;
use crate::transport::timed_io::{Sniffed, Watched};
use crate::worker::budget;
use crate::worker::drain::WaitDraining;

/// Serves one accepted connection to its end. `io` is a TCP stream or an in-memory pipe.
///
/// # Errors
/// When it did not end cleanly: the peer went away in the middle, broke the protocol or ran into a deadline. A
/// connection that was idle for too long, or drained, has ended cleanly.
pub fn serve<IO, H>(
    io: IO,
    peer: SocketAddr,
    handler: H,
    context: Arc<ConnectionContext>,
) -> impl Future<Output = Result<(), ConnectionError>> + Send
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handle,
{
    let io = Watched::new(io, Arc::clone(&context));
    let draining = WaitDraining::new(context.drain.clone());
    Connection { state: State::Sniffing(Some(Sniffing { io, peer, handler, context, draining })) }
}

/// A state machine by hand: an `async fn` would hold the socket, the handler and the protocol's future side by side.
struct Connection<IO, H: Handle> {
    state: State<IO, H>,
}

#[expect(
    clippy::large_enum_variant,
    reason = "nearly every connection is the largest for nearly all its life"
)]
enum State<IO, H: Handle> {
    /// `None` only on the way to another state.
    Sniffing(Option<Sniffing<IO, H>>),
    Direct(Direct<IO, H>),
    /// Boxed: the few connections whose requests are not plain.
    Http1(Box<Http1<IO, H>>),
    /// Boxed: it is large, and few connections carry many streams.
    Http2(Box<Http2<IO, H>>),
    /// Nothing was asked.
    Closing(Watched<IO>),
}

struct Sniffing<IO, H> {
    io: Watched<IO>,
    peer: SocketAddr,
    handler: H,
    context: Arc<ConnectionContext>,
    draining: WaitDraining,
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
        // Plain requests look for themselves.
        if !matches!(self.state, State::Direct(_)) {
            std::task::ready!(budget::poll_begin(cx));
        }
        loop {
            match &mut self.state {
                State::Direct(direct) => match std::task::ready!(direct.poll(cx))? {
                    Turn::Ended => return Poll::Ready(Ok(())),
                    Turn::Engine => self.go_to_engine(),
                },
                State::Http1(http1) => return Pin::new(&mut **http1).poll(cx),
                State::Http2(http2) => return Pin::new(&mut **http2).poll(cx),
                // There is nobody to answer, so nobody misses what does not get through.
                State::Closing(io) => return Pin::new(io).poll_shutdown(cx).map(|_| Ok(())),
                State::Sniffing(_) => std::task::ready!(self.poll_sniff(cx))?,
            }
        }
    }
}

impl<IO, H> Connection<IO, H>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handle,
{
    /// Ready when it is known how the connection goes on.
    #[inline(never)]
    fn poll_sniff(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectionError>> {
        let State::Sniffing(Some(sniffing)) = &mut self.state else { return Poll::Ready(Ok(())) };
        let sniffed = loop {
            match sniffing.io.poll_sniff(cx) {
                Poll::Ready(sniffed) => break sniffed?,
                Poll::Pending if sniffing.io.link().is_draining() => return Poll::Pending,
                Poll::Pending => std::task::ready!(Pin::new(&mut sniffing.draining).poll(cx)),
            }
            // A request may be under way.
            sniffing.io.link().drain();
        };
        let State::Sniffing(Some(Sniffing { io, peer, handler, context, draining })) = self.take() else {
            return Poll::Ready(Ok(()));
        };
        self.state = match sniffed {
            Sniffed::Closed => State::Closing(io),
            // Early hints are the engine's.
            Sniffed::Http1 if context.settings.early_hints_http1 == EarlyHintsHttp1::On => {
                State::Http1(Box::new(Http1::new(io, peer, handler, &context, draining)))
            }
            Sniffed::Http1 => State::Direct(Direct::new(io, peer, handler, context, draining)),
            Sniffed::Http2 => State::Http2(Box::new(Http2::new(io, peer, handler, context, draining))),
        };
        Poll::Ready(Ok(()))
    }

    #[inline(never)]
    fn go_to_engine(&mut self) {
        if let State::Direct(direct) = self.take() {
            self.state = State::Http1(Box::new(direct.into_engine()));
        }
    }

    fn take(&mut self) -> State<IO, H> {
        std::mem::replace(&mut self.state, State::Sniffing(None))
    }
}
