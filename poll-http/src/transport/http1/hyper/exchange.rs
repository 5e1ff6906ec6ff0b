//! State of the current request, shared by the IO wrapper below hyper and the service above it.
//!
//! hyper does not report how far it has read a request. The wrapper ([`Framed`](super::framed::Framed)) passes it its input
//! and so knows; the service ([`service`](super::service)) needs it to announce whether the connection persists.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::message::connection_info::Protocol;
use crate::transport::http1::hyper::framing::{Content, Framing};

/// Shared by both sides of one connection. Only the connection's own task uses it, so the lock is always free.
#[derive(Debug, Default)]
pub(crate) struct Exchange(Mutex<Progress>);

#[derive(Debug)]
struct Progress {
    framing: Framing,
    content: Content,
    /// The head had a `Content-Length`.
    length: bool,
    /// The content was dropped before its end.
    abandoned: bool,
    /// The version of the head that hyper has read: it gets nothing after that request before [`Exchange::end`].
    begun: Option<Protocol>,
    /// The response is written, and hyper has tried to read the next head.
    next_awaited: bool,
    /// The head of the next request has arrived.
    followed: bool,
    /// The handler has not been polled yet.
    unasked: bool,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            framing: Framing::new(),
            content: Content::Nothing,
            length: false,
            abandoned: false,
            begun: None,
            next_awaited: false,
            followed: false,
            unasked: false,
        }
    }
}

impl Exchange {
    /// hyper has read a head.
    pub(crate) fn begin(&self, protocol: Protocol, content: Content) {
        let mut progress = self.progress();
        progress.length = progress.framing.begin(content);
        progress.content = content;
        (progress.abandoned, progress.begun) = (false, Some(protocol));
        progress.unasked = true;
    }

    /// The handler is polled.
    pub(crate) fn ask(&self) {
        self.progress().unasked = false;
    }

    /// Whether the handler has all of the request, and was not polled yet: what it answers at once is sent even to a peer
    /// that has shut down its sending side.
    pub(crate) fn is_unasked(&self) -> bool {
        let progress = self.progress();
        progress.unasked && progress.content == Content::Nothing
    }

    /// The version of the request at hand.
    pub(crate) fn begun(&self) -> Option<Protocol> {
        self.progress().begun
    }

    /// Lets hyper read the next request.
    pub(crate) fn end(&self) {
        let mut progress = self.progress();
        (progress.begun, progress.next_awaited) = (None, false);
    }

    /// hyper has tried to read the next head.
    pub(crate) fn await_next(&self) {
        self.progress().next_awaited = true;
    }

    /// Whether hyper has tried to read the next head.
    pub(crate) fn is_next_awaited(&self) -> bool {
        self.progress().next_awaited
    }

    /// How many of `bytes` hyper may read now.
    ///
    /// # Errors
    /// If they are malformed in a way that hyper does not detect.
    pub(crate) fn admit(&self, bytes: &[u8]) -> io::Result<usize> {
        self.progress().framing.admit(bytes)
    }

    /// Whether hyper has all of its request.
    pub(crate) fn is_whole(&self) -> bool {
        let progress = self.progress();
        progress.begun.is_some() && progress.framing.is_whole()
    }

    /// Records whether the head of the next request has arrived.
    pub(crate) fn set_followed(&self, followed: bool) {
        self.progress().followed = followed;
    }

    /// Whether there is another request to answer.
    pub(crate) fn has_next_request(&self) -> bool {
        self.progress().followed
    }

    /// Whether further input will be ignored, because the connection closes after the response.
    pub(crate) fn input_is_ignored(&self) -> bool {
        let progress = self.progress();
        progress.abandoned && !progress.keeps()
    }

    /// Whether hyper can read another request after this one, if its sender and the response permit it.
    pub(crate) fn keeps(&self) -> bool {
        self.progress().keeps()
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        // Nothing in here panics half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress {
    /// hyper closes after content that was dropped unread, and after chunked content that also has a `Content-Length` (RFC
    /// 9112, section 6.1).
    fn keeps(&self) -> bool {
        let chunked = self.content == Content::Chunked;
        self.framing.is_whole() && !(chunked && (self.abandoned || self.length))
    }
}

/// The content of a request that hyper reads.
#[derive(Debug)]
pub(crate) struct HyperBody {
    incoming: Incoming,
    ended: bool,
    exchange: Arc<Exchange>,
}

impl HyperBody {
    pub(crate) fn new(incoming: Incoming, exchange: Arc<Exchange>) -> Self {
        Self { incoming, ended: false, exchange }
    }
}

impl Body for HyperBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.incoming).poll_frame(cx));
        self.ended |= frame.is_none();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Drop for HyperBody {
    fn drop(&mut self) {
        if !self.ended && !self.incoming.is_end_stream() {
            self.exchange.progress().abandoned = true;
        }
    }
}
