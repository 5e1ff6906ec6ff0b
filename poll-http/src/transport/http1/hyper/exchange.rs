//! What the two sides of hyper tell each other about the request at hand.
//!
//! hyper says to nobody how far it has read a request, or whether it will keep the connection. The side below
//! ([`Framed`](super::framed::Framed)) gives it its input and so knows the first; the side above gives it the answer, in
//! which the second has to be said.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::transport::http1::hyper::framing::{Content, Framing};

/// Shared by both sides of one connection. Only the connection's own task looks, so the lock is always free.
#[derive(Debug, Default)]
pub(crate) struct Exchange(Mutex<State>);

#[derive(Debug)]
struct State {
    framing: Framing,
    content: Content,
    /// The head had a `Content-Length`.
    length: bool,
    /// The content was dropped before its end.
    abandoned: bool,
    /// The head of a next request has come and hyper does not have it.
    followed: bool,
    /// In this turn of the connection hyper has asked for input and waits for it.
    reading: bool,
}

impl Default for State {
    fn default() -> Self {
        let content = Content::Nothing;
        Self {
            framing: Framing::new(),
            content,
            length: false,
            abandoned: false,
            followed: false,
            reading: false,
        }
    }
}

impl Exchange {
    /// hyper has read a head.
    pub(crate) fn begin(&self, content: Content) {
        let mut state = self.state();
        state.length = state.framing.begin(content);
        state.content = content;
        state.abandoned = false;
    }

    /// How many of `bytes` hyper may be given now.
    ///
    /// # Errors
    /// Where they are malformed in a way that hyper does not see.
    pub(crate) fn admit(&self, bytes: &[u8]) -> io::Result<usize> {
        self.state().framing.admit(bytes)
    }

    /// The connection is polled again.
    pub(crate) fn turn(&self) {
        self.state().reading = false;
    }

    /// Whether hyper waits for input.
    pub(crate) fn set_reading(&self, reading: bool) {
        self.state().reading = reading;
    }

    /// Whether the head of a next request has come that hyper does not have.
    pub(crate) fn set_followed(&self, followed: bool) {
        self.state().followed = followed;
    }

    /// Whether there is another request to answer.
    pub(crate) fn is_followed(&self) -> bool {
        let state = self.state();
        state.followed || state.framing.is_followed()
    }

    /// Whether hyper would not notice that the peer leaves.
    pub(crate) fn is_blind(&self) -> bool {
        let state = self.state();
        !state.reading && (state.framing.is_whole() || state.is_given_up())
    }

    /// Whether nothing that still comes in will be looked at.
    pub(crate) fn is_given_up(&self) -> bool {
        self.state().is_given_up()
    }

    /// Whether hyper will read another request behind this one, as far as that is not up to its sender or the answer.
    pub(crate) fn keeps(&self) -> bool {
        self.state().keeps()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// hyper gives up on content that is not all there when nobody wants it, and closes behind one whose length is told
    /// twice (RFC 9112, section 6.1).
    fn keeps(&self) -> bool {
        let chunked = self.content == Content::Chunked;
        self.framing.is_whole() && !(chunked && (self.abandoned || self.length))
    }

    fn is_given_up(&self) -> bool {
        self.abandoned && !self.keeps()
    }
}

/// The content of a request that hyper reads.
#[derive(Debug)]
pub(crate) struct Http1Body {
    incoming: Incoming,
    ended: bool,
    exchange: Arc<Exchange>,
}

impl Http1Body {
    pub(crate) fn new(incoming: Incoming, exchange: Arc<Exchange>) -> Self {
        Self { incoming, ended: false, exchange }
    }
}

impl Body for Http1Body {
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

impl Drop for Http1Body {
    fn drop(&mut self) {
        if !self.ended && !self.incoming.is_end_stream() {
            self.exchange.state().abandoned = true;
        }
    }
}
