//! HTTP/1.1 and HTTP/1.0 (RFC 9112): a fast path for plain requests, and hyper's server for all others.
//!
//! Most requests never reach hyper: while a connection's requests are plain, the [`fast`] path in front of it serves them.
//! The first other one, such as a HEAD, moves the connection to hyper with every byte that was read; it returns once the
//! response is written. With early hints on, hyper serves the whole connection.
//!
//! One chunk a piece, one write a response, and a client that leaves drops its handler at once: hyper does this with the
//! right options, each set on purpose and covered by tests. Timers are in [`timed_io`](crate::transport::timed_io), which
//! learns through the shared [state](crate::transport::connection_state) when a request begins and its response ends.

pub(crate) mod fast;
pub(crate) mod hyper;
pub(crate) mod persistence;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use ::hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::message::connection_info::{Peer, Protocol};
use crate::transport::context::ConnectionContext;
use crate::transport::error::ConnectionError;
use crate::transport::handle::Handle;
use crate::transport::parts::{Next, Parts};
use crate::transport::settings::{ConnectionSettings, EarlyHintsHttp1};
use crate::worker::budget;
use crate::worker::drain::WaitDraining;
use crate::worker::metrics::{Engine, Served};
use fast::connection::Fast;
use hyper::framed::Framed;
use hyper::service::{HyperService, Shared};

/// How much of a body hyper buffers before it writes, and the most it reads at once: large enough that a batch of many
/// messages needs few writes, small enough that ten thousand slow readers are affordable.
const BUFFER: usize = 16 * 1024;

/// One HTTP/1 connection.
pub(crate) struct Http1<IO, H: Handle> {
    engine: HttpEngine<IO, H>,
    /// Counts the connection by its engine.
    served: Served,
}

#[expect(
    clippy::large_enum_variant,
    reason = "nearly every connection is on the fast path, the larger variant, nearly all the time"
)]
enum HttpEngine<IO, H: Handle> {
    Fast(Fast<IO, H>),
    /// Boxed: the few connections whose requests are not plain.
    Hyper(Box<HyperConnection<IO, H>>),
    /// On the way from one to the other.
    Switching,
}

impl<IO, H> Http1<IO, H>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handle,
{
    pub(crate) fn new(parts: Parts<IO, H>) -> Self {
        let connections = parts.context.metrics.connections();
        if parts.context.settings.early_hints_http1 == EarlyHintsHttp1::On {
            let served = connections.serve(Engine::Hyper);
            return Self { engine: HttpEngine::Hyper(Box::new(HyperConnection::new(parts))), served };
        }
        Self { served: connections.serve(Engine::Fast), engine: HttpEngine::Fast(Fast::new(parts)) }
    }

    /// Ready when the connection has ended.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectionError>> {
        loop {
            let next = match &mut self.engine {
                HttpEngine::Fast(fast) => ready!(fast.poll(cx))?,
                HttpEngine::Hyper(hyper) => {
                    ready!(budget::poll_begin(cx));
                    ready!(hyper.poll(cx))?
                }
                HttpEngine::Switching => Next::End,
            };
            if next == Next::End {
                return Poll::Ready(Ok(()));
            }
            self.switch();
        }
    }

    #[inline(never)]
    fn switch(&mut self) {
        let (parts, engine) = match std::mem::replace(&mut self.engine, HttpEngine::Switching) {
            HttpEngine::Fast(fast) => (fast.into_parts(), Engine::Hyper),
            HttpEngine::Hyper(hyper) => (hyper.into_parts(), Engine::Fast),
            HttpEngine::Switching => return,
        };
        parts.context.metrics.connections().switch(&mut self.served, engine);
        self.engine = match engine {
            Engine::Hyper => HttpEngine::Hyper(Box::new(HyperConnection::new(parts))),
            _ => HttpEngine::Fast(Fast::new(parts)),
        };
    }
}

/// A connection under hyper.
struct HyperConnection<IO, H: Handle> {
    connection: http1::Connection<TokioIo<Framed<IO>>, HyperService<H>>,
    shared: Arc<Shared>,
    peer: Peer,
    context: Arc<ConnectionContext>,
    draining: WaitDraining,
}

impl<IO, H> HyperConnection<IO, H>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handle,
{
    fn new(Parts { mut io, peer, handler, context, draining }: Parts<IO, H>) -> Self {
        let shared = Arc::new(Shared::new(io.share_state(), &context));
        let io = TokioIo::new(Framed::new(io, Arc::clone(&shared.exchange)));
        let service = HyperService { handler, peer: peer.clone(), shared: Arc::clone(&shared) };
        let connection = options(&context.settings).serve_connection(io, service);
        Self { connection, shared, peer, context, draining }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Next, ConnectionError>> {
        let (state, exchange) = (&self.shared.state, &self.shared.exchange);
        let early_hints = self.context.settings.early_hints_http1;
        let mut polled_again = false;
        loop {
            // Before the drain is looked at, so that a request that is already here is answered.
            if let Poll::Ready(result) = Pin::new(&mut self.connection).poll(cx) {
                return Poll::Ready(result.map(|()| Next::End).map_err(ConnectionError::Http1));
            }
            let between = state.is_between_requests();
            if let Some(protocol) = exchange.begun().filter(|_| between) {
                if exchange.is_next_awaited() {
                    // A client of HTTP/1.0 sends nothing that is plain, and hyper remembers what it speaks.
                    if protocol == Protocol::Http11 && early_hints == EarlyHintsHttp1::Off {
                        return Poll::Ready(Ok(Next::Switch));
                    }
                    exchange.end();
                    polled_again = false;
                    continue;
                }
                // It looks for a next head once it finds that the response was written, unless it closes.
                if !std::mem::replace(&mut polled_again, true) {
                    continue;
                }
            }
            if state.is_draining() {
                return Poll::Pending;
            }
            ready!(Pin::new(&mut self.draining).poll(cx));
            // The next response has `Connection: close`, and an idle connection is closed soon. hyper's own shutdown would
            // close it under a request that is on its way.
            state.drain();
        }
    }

    /// The connection without hyper, with every byte that hyper has not read.
    fn into_parts(self) -> Parts<IO, H> {
        let Self { connection, peer, context, draining, .. } = self;
        let http1::Parts { io, read_buf, service, .. } = connection.into_parts();
        let mut io = io.into_inner().into_inner();
        io.unread(read_buf);
        Parts { io, peer, handler: service.handler, context, draining }
    }
}

/// hyper's options.
fn options(settings: &ConnectionSettings) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        // A client that shuts down its sending side counts as gone, and its waiting poll is dropped at once. With half-close
        // it would wait until its timeout.
        .half_close(false)
        // Polling clients send one request after another.
        .keep_alive(true)
        // Over it hyper answers 431.
        .max_header_size(settings.max_head_bytes)
        // Each is a slot on the stack while parsing. hyper's own default, set so that an upgrade does not change it.
        .max_headers(100)
        .max_buf_size(settings.max_head_bytes.max(BUFFER))
        // hyper has one timeout for an idle connection and a slow head; the IO wrapper distinguishes them.
        .header_read_timeout(None)
        // It would hold responses back while more requests are in the buffer, and a 103 with them.
        .pipeline_flush(false)
        // RFC 9110, section 6.6.1. Rendered once a second.
        .auto_date_header(true)
        // RFC 9112, section 3: one space. Leniency here is how requests are smuggled.
        .allow_multiple_spaces_in_request_line_delimiters(false)
        .ignore_invalid_headers(false)
        // Field names have no case; keeping it costs an allocation each.
        .preserve_header_case(false)
        .title_case_headers(false);
    // `writev` depends on the socket: TCP accepts head and body in one vectored write without a copy.
    builder
}
