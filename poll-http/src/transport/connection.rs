//! One accepted connection, from its first byte to its end: which protocol it speaks, and what is known about it.
//!
//! A port speaks both protocols. HTTP/2 by prior knowledge opens with 24 fixed bytes (RFC 9113, section 3.4); the first
//! byte that differs makes it HTTP/1. What was read for that is replayed, so [`http1`] and [`http2`] see the stream
//! whole. Accepting sockets, TLS and the answers themselves are other people's business.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Request;
use poll_core::Memory;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::message::head::PlainRequest;
use crate::message::reply::Reply;
use crate::message::request_body::RequestBody;
use crate::transport::http1::{Direct, Http1, Turn};
use crate::transport::http2::Http2;
use crate::transport::timed_io::{Sniffed, Watched};
use crate::worker::drain::{Drain, WaitDraining};
use crate::worker::metrics::Cut;
use crate::worker::timer_wheel::Deadlines;
use crate::worker::turn;

/// What a connection serves. One instance a worker thread; clones are handles to it.
pub trait Handle: Clone + Send + 'static {
    /// Resolves to the answer, a `Response<Body>` or a [`Reply`]. It may be dropped at any moment, which must free
    /// everything it holds.
    type Future: Future<Output: Into<Reply>> + Send + Unpin + 'static;

    /// Answers one request.
    fn handle(&self, request: Request<RequestBody>, connection: &ConnectionInfo) -> Self::Future;

    /// Answers one request of HTTP/2; as any other, unless the answer is there at once.
    fn handle_stream(
        &self,
        request: Request<RequestBody>,
        connection: &ConnectionInfo,
    ) -> Handled<Self::Future> {
        Handled::Later(self.handle(request, connection))
    }

    /// Answers one request of HTTP/1.1 that was read without an engine; as any other, unless there is a quicker way.
    fn handle_plain(&self, request: PlainRequest<'_>, connection: &ConnectionInfo) -> Handled<Self::Future> {
        Handled::Later(self.handle(request.into_request(), connection))
    }

    /// The timers of the worker that this instance belongs to; the connection's own deadlines run on them.
    fn deadlines(&self) -> Deadlines;

    /// A connection is closed because it went over a limit: for whoever counts.
    fn cut(&self, _: Cut) {}

    /// The account of what peers make the server hold; one without a bound, if nothing else is said.
    fn memory(&self) -> Memory {
        Memory::new(0)
    }
}

/// An answer that is there, or one that is to come.
#[expect(clippy::large_enum_variant, reason = "lives for one call, and a box would cost each answer")]
pub enum Handled<F> {
    /// The answer.
    Now(Reply),
    /// Resolves to the answer.
    Later(F),
}

/// Facts about the connection that a request came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// The other end of the socket, which may be a proxy.
    pub peer: SocketAddr,
    /// Version of this request.
    pub protocol: Protocol,
    /// Whether this peer takes pushes.
    pub push: PushPolicy,
    /// Whether this request may be sent a 103 (RFC 8297).
    pub early_hints: EarlyHints,
    /// How much the peer leaves unread of earlier answers.
    pub unread: Unread,
}

/// Version of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.0: no chunks, so a body of unknown length ends with the connection.
    Http10,
    /// HTTP/1.1.
    Http11,
    /// HTTP/2.
    Http2,
}

/// Whether the peer takes PUSH_PROMISE (RFC 9113, section 8.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushPolicy {
    /// Its settings allow push; a single one may still not fit.
    Possible,
    /// HTTP/1, or switched off by its settings.
    Off,
}

/// Whether a peer takes what it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// It does, or what it leaves is not worth a word. In HTTP/1 an answer waits for the one before.
    Little,
    /// Earlier answers hold as much as one connection may: it is to be given nothing large.
    TooMuch,
}

/// Whether informational answers may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EarlyHints {
    /// They may.
    Informational,
    /// HTTP/1.0, or not switched on for HTTP/1.1.
    None,
}

/// Whether 103 is sent on HTTP/1.1 (it always is on HTTP/2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EarlyHintsHttp1 {
    /// Send it.
    On,
    /// Do not: nginx before 1.29 takes a 103 for the answer and hangs.
    #[default]
    Off,
}

/// The connection's limits. Each default is what the documentation promises.
#[derive(Clone, Debug)]
pub struct ConnectionSettings {
    /// Largest request head in bytes; over it 431. 16 KiB: cookies and a long URL, no more.
    pub max_head_bytes: usize,
    /// From the first byte of a head to its end. 10 s: a slow phone makes it, a slow-head attack does not pay.
    pub head: Duration,
    /// How long a connection without a request is kept. 75 s: longer than the longest poll and the usual proxy's 60 s.
    pub keep_alive: Duration,
    /// In which a peer must take 4 KiB of a write, or what is left of it. 30 s: a reader that takes less costs memory for
    /// that long.
    pub stall: Duration,
    /// HTTP/2 streams that a peer may have open at once; one more is refused.
    pub max_streams: u32,
    /// HTTP/2 control frames (SETTINGS, PING, WINDOW_UPDATE, PRIORITY and whatever else asks for nothing) that a peer may
    /// send a second, ten seconds' worth at once; zero is no bound. What answers a frame of ours does not count. Over it
    /// the connection is closed with ENHANCE_YOUR_CALM. 100: a client that measures its round trip all the time sends a
    /// few.
    pub max_control_frames: u32,
    /// How often an HTTP/2 peer must be heard of; if it is not, it is sent a PING. Twice this and
    /// [`ping_timeout`](Self::ping_timeout) are together no more than [`stall`](Self::stall), so that a dead peer is
    /// found within it.
    pub ping_interval: Duration,
    /// How long the answer to a PING may take.
    pub ping_timeout: Duration,
    /// 103 on HTTP/1.1.
    pub early_hints_http1: EarlyHintsHttp1,
}

impl Default for ConnectionSettings {
    fn default() -> Self {
        Self {
            max_head_bytes: 16 * 1024,
            head: Duration::from_secs(10),
            keep_alive: Duration::from_secs(75),
            stall: Duration::from_secs(30),
            max_streams: 1000,
            max_control_frames: 100,
            ping_interval: Duration::from_secs(10),
            ping_timeout: Duration::from_secs(10),
            early_hints_http1: EarlyHintsHttp1::Off,
        }
    }
}

/// Serves one accepted connection to its end. `io` is a TCP stream or an in-memory pipe.
///
/// # Errors
/// When it did not end cleanly: the peer went away in the middle, broke the protocol or ran into a deadline. A
/// connection that was idle for too long, or drained, has ended cleanly.
pub fn serve<IO, H>(
    io: IO,
    peer: SocketAddr,
    handler: H,
    settings: Arc<ConnectionSettings>,
    drain: Drain,
) -> impl Future<Output = Result<(), ConnectionError>> + Send
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handle,
{
    let io = Watched::new(io, Arc::clone(&settings), &handler.deadlines());
    let draining = WaitDraining::new(drain);
    Connection { state: State::Sniffing(Some(Sniffing { io, peer, handler, settings, draining })) }
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
    settings: Arc<ConnectionSettings>,
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
            std::task::ready!(turn::poll_begin(cx));
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
        let State::Sniffing(Some(Sniffing { io, peer, handler, settings, draining })) = self.take() else {
            return Poll::Ready(Ok(()));
        };
        self.state = match sniffed {
            Sniffed::Closed => State::Closing(io),
            // Early hints are the engine's.
            Sniffed::Http1 if settings.early_hints_http1 == EarlyHintsHttp1::On => {
                State::Http1(Box::new(Http1::new(io, peer, handler, &settings, draining)))
            }
            Sniffed::Http1 => State::Direct(Direct::new(io, peer, handler, settings, draining)),
            Sniffed::Http2 => State::Http2(Box::new(Http2::new(io, peer, handler, &settings, draining))),
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

/// Why a connection did not end cleanly. For logs: the peer is gone, so there is nobody to tell.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectionError {
    /// Before the protocol was known.
    Sniff(io::Error),
    /// In HTTP/1.1, between or in plain requests.
    Direct(io::Error),
    /// In HTTP/1.
    Http1(hyper::Error),
    /// In HTTP/2.
    Http2(h2::Error),
    /// An HTTP/2 peer did not answer a PING, or never sent its settings.
    Silent,
    /// An HTTP/2 peer sent more control frames than it may.
    ControlFrames,
    /// An HTTP/2 peer took back windows that it had given, and takes nothing.
    Stuck,
}

impl From<io::Error> for ConnectionError {
    fn from(error: io::Error) -> Self {
        Self::Sniff(error)
    }
}

impl std::fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Sniff(_) => "the connection broke before its first request",
            Self::Direct(_) | Self::Http1(_) => "the HTTP/1 connection broke off",
            Self::Http2(_) => "the HTTP/2 connection broke off",
            Self::Silent => "the HTTP/2 peer fell silent",
            Self::ControlFrames => "the HTTP/2 peer sent too many control frames",
            Self::Stuck => "the HTTP/2 peer takes back its windows",
        })
    }
}

impl std::error::Error for ConnectionError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Sniff(error) | Self::Direct(error) => Some(error),
            Self::Http1(error) => Some(error),
            Self::Http2(error) => Some(error),
            Self::Silent | Self::ControlFrames | Self::Stuck => None,
        }
    }
}
