//! HTTP/1.1 and HTTP/1.0, on hyper's server with every option set on purpose.
//!
//! One chunk a piece, one write an answer, and a client that leaves drops its handler at once: hyper does these given
//! the right options, and the tests hold it to them. Timers are not here but in [`stall`](crate::transport::timed_io), which is
//! told through the [`Link`] when a request begins and ends.

pub(crate) mod fast;
pub(crate) mod hyper;

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use ::hyper::body::Incoming;
use ::hyper::server::conn::http1;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, Version, header};
use http_body::{Body as _, Frame, SizeHint};
use hyper_util::rt::TokioIo;
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::message::body::{Body, BodyError};
use crate::message::connection_info::{ConnectionInfo, EarlyHints, Protocol, PushPolicy, Unread};
use crate::message::early_hints::Preload;
use crate::message::reply::{Reply, Wants};
use crate::message::request as message;
use crate::message::request_body::RequestBody;
use crate::transport::connection_state::{Carries, Link};
use crate::transport::context::ConnectionContext;
use crate::transport::error::ConnectionError;
use crate::transport::handle::{Handle, Panicked};
use crate::transport::settings::{ConnectionSettings, EarlyHintsHttp1};
use crate::transport::timed_io::Watched;
use crate::worker::drain::{Drain, WaitDraining};
use fast::write_response::After;
use hyper::exchange::{Exchange, Http1Body};
use hyper::framed::Framed;

pub(crate) use fast::connection::{Direct, Turn};
pub(crate) use hyper::framing::Content;
#[cfg(fuzzing)]
pub(crate) use {fast::parse_request::read as read_plain, hyper::framing::Framing};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// What hyper buffers of a body before it writes, and the most it reads at once: large enough that a batch of many
/// messages needs few writes, small enough that ten thousand slow readers are affordable.
const BUFFER: usize = 16 * 1024;

/// One HTTP/1 connection.
pub(crate) struct Http1<IO, H: Handle> {
    connection: http1::Connection<TokioIo<Framed<IO>>, Requests<H>>,
    shared: Arc<Shared>,
    /// `None` once the connection was told.
    draining: Option<WaitDraining>,
}

impl<IO, H> Http1<IO, H>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handle,
{
    pub(crate) fn new(
        mut io: Watched<IO>,
        peer: SocketAddr,
        handler: H,
        context: &ConnectionContext,
        draining: WaitDraining,
    ) -> Self {
        let settings = &context.settings;
        let shared = Arc::new(Shared {
            link: io.share_link(),
            exchange: Arc::default(),
            drain: draining.drain().clone(),
            keep_alive: HeaderValue::try_from(format!("timeout={}", settings.keep_alive.as_secs())).ok(),
        });
        let early_hints = match settings.early_hints_http1 {
            EarlyHintsHttp1::On => EarlyHints::Informational,
            EarlyHintsHttp1::Off => EarlyHints::None,
        };
        let io = TokioIo::new(Framed::new(io, Arc::clone(&shared.exchange)));
        let requests = Requests { handler, peer, early_hints, shared: Arc::clone(&shared) };
        let connection = builder(settings).serve_connection(io, requests);
        Self { connection, shared, draining: Some(draining) }
    }
}

fn builder(settings: &ConnectionSettings) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        // A client that shuts its writing side down is taken for gone, so that a waiting poll is dropped at once.
        // With half-close a waiter would stay until its timeout.
        .half_close(false)
        // A poller asks again and again.
        .keep_alive(true)
        // Over it hyper answers 431.
        .max_header_size(settings.max_head_bytes)
        // Each is a slot on the stack while parsing; hyper's own default, said so that an upgrade does not change it.
        .max_headers(100)
        .max_buf_size(settings.max_head_bytes.max(BUFFER))
        // hyper has one knob for an idle connection and a slow head; the IO wrapper tells them apart.
        .header_read_timeout(None)
        // It would keep answers back while more requests are in the buffer, and a 103 with them.
        .pipeline_flush(false)
        // RFC 9110, section 6.6.1. Rendered once a second.
        .auto_date_header(true)
        // RFC 9112, section 3: one space. Leniency here is how requests are smuggled.
        .allow_multiple_spaces_in_request_line_delimiters(false)
        .ignore_invalid_headers(false)
        // Field names have no case; keeping it costs an allocation each.
        .preserve_header_case(false)
        .title_case_headers(false);
    // `writev` is left to what the socket says: TCP takes head and body in one vectored write without a copy.
    builder
}

/// Nothing in it is pinned in place.
impl<IO, H: Handle> Unpin for Http1<IO, H> {}

impl<IO, H> Future for Http1<IO, H>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handle,
{
    type Output = Result<(), ConnectionError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            self.shared.exchange.turn();
            // Before the drain is looked at, so that a request that is already here is answered.
            if let Poll::Ready(result) = Pin::new(&mut self.connection).poll(cx) {
                return Poll::Ready(result.map_err(ConnectionError::Http1));
            }
            let Some(draining) = &mut self.draining else { return Poll::Pending };
            ready!(Pin::new(draining).poll(cx));
            self.draining = None;
            // The next answer says `Connection: close`, and an idle connection is not idle for long. hyper's own way
            // would close it under a request that is under way.
            self.shared.link.drain();
        }
    }
}

/// hyper's view of a handler.
struct Requests<H> {
    handler: H,
    peer: SocketAddr,
    early_hints: EarlyHints,
    shared: Arc<Shared>,
}

/// What the answers of a connection have to know of it.
struct Shared {
    link: Arc<Link>,
    exchange: Arc<Exchange>,
    drain: Drain,
    /// What is promised of an idle connection.
    keep_alive: Option<HeaderValue>,
}

impl<H: Handle> ::hyper::service::Service<Request<Incoming>> for Requests<H> {
    type Response = Response<Reported>;
    type Error = Infallible;
    type Future = Answering<H::Future>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let (protocol, early_hints) = match request.version() {
            Version::HTTP_10 => (Protocol::Http10, EarlyHints::None),
            _ => (Protocol::Http11, self.early_hints),
        };
        let (push, unread) = (PushPolicy::Off, Unread::Little);
        let connection = ConnectionInfo { peer: self.peer, protocol, push, early_hints, unread };
        let content = content_of(request.body());
        self.shared.exchange.begin(content);
        self.shared.link.begin(if content == Content::Nothing { Carries::Nothing } else { Carries::Body });
        let asked = Asked { connection, wants: Wants::of(&request), after: After::of(request.headers()) };
        let (head, body) = request.into_parts();
        let body = match content {
            Content::Nothing => RequestBody::Empty,
            _ => RequestBody::stream(Http1Body::new(body, Arc::clone(&self.shared.exchange))),
        };
        let handle = || self.handler.handle(message::Request::new(&head, body), &connection);
        let stage = match catch_unwind(AssertUnwindSafe(handle)) {
            Ok(future) => Answer::Awaited { future },
            Err(_) => Answer::Announced { response: Some(Box::new(Panicked::reply().into_response())) },
        };
        Answering { stage, asked, shared: Arc::clone(&self.shared) }
    }
}

/// What a request carries, as hyper has read it from its head.
fn content_of(body: &Incoming) -> Content {
    match body.size_hint().exact() {
        _ if body.is_end_stream() => Content::Nothing,
        Some(length) => Content::Sized(length),
        None => Content::Chunked,
    }
}

/// How a request was made.
#[derive(Clone, Copy)]
struct Asked {
    connection: ConnectionInfo,
    wants: Wants,
    /// What it says of the connection.
    after: After,
}

pin_project! {
    /// One answer in the making.
    struct Answering<F> {
        #[pin]
        stage: Answer<F>,
        asked: Asked,
        shared: Arc<Shared>,
    }
}

pin_project! {
    #[project = AnswerProjected]
    enum Answer<F> {
        Awaited { #[pin] future: F },
        // It waits until its 103 is written. Boxed, because few do.
        Announced { response: Option<Box<Response<Body>>> },
    }
}

impl<F: Future<Output: Into<Reply>>> Future for Answering<F> {
    type Output = Result<Response<Reported>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let link = &this.shared.link;
        let response = match this.stage.as_mut().project() {
            AnswerProjected::Awaited { future } => {
                match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
                    Ok(poll) => {
                        let mut reply: Reply = ready!(poll).into();
                        reply.leave_framing(this.asked.wants);
                        let response = reply.into_response();
                        if this.asked.connection.early_hints == EarlyHints::Informational
                            && let Some(preload) = response.extensions().get::<Preload>()
                        {
                            link.offer_interim(preload.interim_head());
                            this.stage.set(Answer::Announced { response: Some(Box::new(response)) });
                            // The wrapper writes it in the flush that follows and wakes this up again.
                            ready!(link.poll_interim(cx));
                            return Poll::Pending;
                        }
                        response
                    }
                    Err(_) => Panicked::reply().into_response(),
                }
            }
            AnswerProjected::Announced { response } => {
                ready!(link.poll_interim(cx));
                // Polled after completion only by a bug of hyper's.
                response.take().map_or_else(|| Panicked::reply().into_response(), |response| *response)
            }
        };
        Poll::Ready(Ok(this.shared.finished(response, *this.asked)))
    }
}

impl Shared {
    /// Says what is to become of the connection.
    fn finished(&self, mut response: Response<Body>, asked: Asked) -> Response<Reported> {
        let headers = response.headers_mut();
        let closes = asked.after == After::Close
            || headers.contains_key(header::CONNECTION)
            || (self.drain.is_draining() && !self.exchange.is_followed())
            || !self.exchange.keeps();
        match asked.connection.protocol {
            // There it is the default, but hyper keeps what it may unless the answer is of that version as well.
            Protocol::Http10 if closes => {
                headers.remove(header::CONNECTION);
                *response.version_mut() = Version::HTTP_10;
            }
            Protocol::Http10 => {}
            _ if closes => drop(headers.insert(header::CONNECTION, HeaderValue::from_static("close"))),
            _ => {
                let keep_alive = self.keep_alive.iter().cloned();
                headers.extend(keep_alive.map(|keep_alive| (KEEP_ALIVE, keep_alive)));
            }
        }
        response.map(|body| Reported { body, link: Arc::clone(&self.link) })
    }
}

/// A body whose end is reported to the IO wrapper: from then on the connection is idle.
pub(crate) struct Reported {
    body: Body,
    link: Arc<Link>,
}

impl http_body::Body for Reported {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Reported {
    fn drop(&mut self) {
        self.link.end_with(self.body.take_written());
    }
}
