//! What a connection asks of the service that answers its requests.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{HeaderValue, StatusCode, header};

use crate::message::body::Body;
use crate::message::connection_info::ConnectionInfo;
use crate::message::reply::Reply;
use crate::message::request::Request;

/// What a connection serves. One instance a worker thread; clones are handles to it.
pub trait Handle: Clone + Send + 'static {
    /// Resolves to the answer, a `Response<Body>` or a [`Reply`]. One that is there at once is ready when it is first
    /// polled. It may be dropped at any moment, which must free everything it holds.
    type Future: Future<Output: Into<Reply>> + Send + Unpin + 'static;

    /// Begins the answer to one request. What is borrowed in it is gone when this returns.
    fn handle(&self, request: Request<'_>, connection: &ConnectionInfo) -> Self::Future;
}

/// An answer that has begun.
#[expect(clippy::large_enum_variant, reason = "lives for one call, and a box would cost each answer")]
pub(crate) enum Begun<F> {
    Ready(Reply),
    Waiting(F),
}

/// The handler panicked.
pub(crate) struct Panicked;

/// Calls the handler and polls its response once. A pending one has to be polled again.
pub(crate) fn begin<H: Handle>(
    handler: &H,
    request: Request<'_>,
    connection: &ConnectionInfo,
    cx: &mut Context<'_>,
) -> Result<Begun<H::Future>, Panicked> {
    let begin = || {
        let mut future = handler.handle(request, connection);
        match Pin::new(&mut future).poll(cx) {
            Poll::Ready(answer) => Begun::Ready(answer.into()),
            Poll::Pending => Begun::Waiting(future),
        }
    };
    // One bad handler must end its own answer, not the worker.
    catch_unwind(AssertUnwindSafe(begin)).map_err(|_| Panicked)
}

impl Panicked {
    /// The response over HTTP/1. The connection closes, because the state of the handler is unknown.
    pub(crate) fn reply() -> Reply {
        let mut reply = Reply::new(StatusCode::INTERNAL_SERVER_ERROR, Body::empty());
        reply.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        reply
    }
}
