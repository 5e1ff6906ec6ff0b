//! A handler as hyper sees it, and its responses as hyper sends them.
//!
//! hyper does not announce whether a connection persists, so this adds it to responses (RFC 9112, section 9.3).

use std::convert::Infallible;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, Version, header};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use pin_project_lite::pin_project;

use crate::message::body::{Body, BodyError};
use crate::message::connection_info::{EarlyHints, Peer, Protocol};
use crate::message::early_hints::Preload;
use crate::message::reply::{Reply, Wants};
use crate::message::request as message;
use crate::message::request_body::RequestBody;
use crate::transport::connection_state::{Carries, ConnectionState};
use crate::transport::context::ConnectionContext;
use crate::transport::handle::{Handle, Panicked};
use crate::transport::http1::hyper::exchange::{Exchange, HyperBody};
use crate::transport::http1::hyper::framing::Content;
use crate::transport::http1::persistence::Persistence;
use crate::transport::parts::http1_info;
use crate::transport::settings::EarlyHintsHttp1;
use crate::worker::drain::Drain;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// hyper's view of a handler.
pub(crate) struct HyperService<H> {
    pub(crate) handler: H,
    pub(crate) peer: Peer,
    pub(crate) shared: Arc<Shared>,
}

/// What the responses of a connection share.
pub(crate) struct Shared {
    pub(crate) state: Arc<ConnectionState>,
    pub(crate) exchange: Arc<Exchange>,
    drain: Drain,
    early_hints: EarlyHints,
    /// The announced idle timeout.
    keep_alive: Option<HeaderValue>,
}

impl<H: Handle> hyper::service::Service<Request<Incoming>> for HyperService<H> {
    type Response = Response<Reported>;
    type Error = Infallible;
    type Future = Answering<H::Future>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let (protocol, early_hints) = match request.version() {
            Version::HTTP_10 => (Protocol::Http10, EarlyHints::None),
            _ => (Protocol::Http11, self.shared.early_hints),
        };
        let connection = http1_info(&self.peer, protocol, early_hints);
        let content = content_of(request.body());
        self.shared.exchange.begin(protocol, content);
        self.shared.state.begin(if content == Content::Nothing { Carries::Nothing } else { Carries::Body });
        let asked = Asked {
            protocol,
            early_hints,
            wants: Wants::of(&request),
            persistence: Persistence::of(request.headers()),
        };
        let (head, body) = request.into_parts();
        let body = match content {
            Content::Nothing => RequestBody::Empty,
            _ => RequestBody::stream(HyperBody::new(body, Arc::clone(&self.shared.exchange))),
        };
        let handle = || self.handler.handle(message::Request::new(&head, body), &connection);
        let answer = match catch_unwind(AssertUnwindSafe(handle)) {
            Ok(future) => Answer::Awaited { future },
            Err(_) => Answer::Announced { response: Some(Box::new(Panicked::reply().into_response())) },
        };
        Answering { answer, asked, shared: Arc::clone(&self.shared) }
    }
}

/// The content that a request's head announces, as read by hyper.
fn content_of(body: &Incoming) -> Content {
    match body.size_hint().exact() {
        _ if body.is_end_stream() => Content::Nothing,
        Some(length) => Content::Sized(length),
        None => Content::Chunked,
    }
}

/// The properties of a request that its response depends on.
#[derive(Clone, Copy)]
struct Asked {
    protocol: Protocol,
    early_hints: EarlyHints,
    wants: Wants,
    /// What the request asks for the connection.
    persistence: Persistence,
}

pin_project! {
    /// One response in the making.
    pub(crate) struct Answering<F> {
        #[pin]
        answer: Answer<F>,
        asked: Asked,
        shared: Arc<Shared>,
    }
}

pin_project! {
    #[project = AnswerProjected]
    enum Answer<F> {
        Awaited { #[pin] future: F },
        // Its 103 is being written. Boxed, because few have one.
        Announced { response: Option<Box<Response<Body>>> },
    }
}

impl<F: Future<Output: Into<Reply>>> Future for Answering<F> {
    type Output = Result<Response<Reported>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let state = &this.shared.state;
        let response = match this.answer.as_mut().project() {
            AnswerProjected::Awaited { future } => {
                this.shared.exchange.ask();
                match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
                    Ok(poll) => {
                        let mut reply: Reply = ready!(poll).into();
                        reply.leave_framing(this.asked.wants);
                        let response = reply.into_response();
                        if this.asked.early_hints == EarlyHints::Informational
                            && let Some(preload) = response.extensions().get::<Preload>()
                        {
                            state.offer_interim(preload.interim_head());
                            this.answer.set(Answer::Announced { response: Some(Box::new(response)) });
                            // The flush that follows writes it and wakes this.
                            ready!(state.poll_interim(cx));
                            return Poll::Pending;
                        }
                        response
                    }
                    Err(_) => Panicked::reply().into_response(),
                }
            }
            AnswerProjected::Announced { response } => {
                ready!(state.poll_interim(cx));
                // Polled after completion only by a bug in hyper.
                response.take().map_or_else(|| Panicked::reply().into_response(), |response| *response)
            }
        };
        Poll::Ready(Ok(this.shared.finished(response, *this.asked)))
    }
}

impl Shared {
    pub(crate) fn new(state: Arc<ConnectionState>, context: &ConnectionContext) -> Self {
        let settings = &context.settings;
        Self {
            state,
            exchange: Arc::default(),
            drain: context.drain.clone(),
            early_hints: match settings.early_hints_http1 {
                EarlyHintsHttp1::On => EarlyHints::Informational,
                EarlyHintsHttp1::Off => EarlyHints::None,
            },
            keep_alive: HeaderValue::try_from(format!("timeout={}", settings.keep_alive.as_secs())).ok(),
        }
    }

    /// The response, with its connection fields.
    fn finished(&self, mut response: Response<Body>, asked: Asked) -> Response<Reported> {
        let headers = response.headers_mut();
        let closes = asked.persistence == Persistence::Close
            || headers.contains_key(header::CONNECTION)
            || (self.drain.is_draining() && !self.exchange.has_next_request())
            || !self.exchange.keeps();
        match asked.protocol {
            // Closing is the default of HTTP/1.0, but hyper keeps the connection unless the response has that version too.
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
        response.map(|body| Reported { body, state: Arc::clone(&self.state) })
    }
}

/// A body whose end is reported to the connection's state.
pub(crate) struct Reported {
    body: Body,
    state: Arc<ConnectionState>,
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
        self.state.end_with(self.body.take_written());
    }
}
