//! The body of a request, whichever protocol or server it came by.
//!
//! What is at hand is bytes; what comes piece by piece is any [`Body`], boxed, so that nothing here knows an engine. How
//! it is read and bounded is the service's business.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::message::allowance::Allowance;

/// A request's body.
#[derive(Debug)]
pub enum RequestBody {
    /// Known to have no bytes.
    Empty,
    /// At hand.
    Full(Bytes),
    /// Comes piece by piece.
    Stream(BodyStream),
}

/// Content that comes piece by piece.
pub struct BodyStream {
    body: Pin<Box<dyn Body<Data = Bytes, Error = RequestBodyError> + Send>>,
    /// What it may hold beside the other requests of its connection, where there are others.
    allowance: Option<Arc<Allowance>>,
}

pin_project! {
    /// A body whose errors are ours.
    struct Erased<B> {
        #[pin]
        body: B,
    }
}

impl RequestBody {
    /// Content that another implementation, such as hyper, reads off the wire.
    pub fn stream<B>(body: B) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        Self::stream_within(body, None)
    }

    /// The same, within what its connection may hold.
    pub(crate) fn stream_within<B>(body: B, allowance: Option<Arc<Allowance>>) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        if body.is_end_stream() {
            return Self::Empty;
        }
        Self::Stream(BodyStream { body: Box::pin(Erased { body }), allowance })
    }

    /// A copy of what is at hand.
    pub(crate) fn copied(content: &[u8]) -> Self {
        if content.is_empty() { Self::Empty } else { Self::Full(Bytes::copy_from_slice(content)) }
    }

    pub(crate) fn allowance(&self) -> Option<&Arc<Allowance>> {
        if let Self::Stream(stream) = self { stream.allowance.as_ref() } else { None }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        let frame = match &mut *self {
            Self::Empty => None,
            Self::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = Self::Empty;
                (!bytes.is_empty()).then(|| Ok(Frame::data(bytes)))
            }
            Self::Stream(stream) => ready!(stream.body.as_mut().poll_frame(cx)),
        };
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(bytes) => bytes.is_empty(),
            Self::Stream(stream) => stream.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(stream) => stream.body.size_hint(),
        }
    }
}

impl<B> Body for Erased<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        let ours = |frame: Result<_, B::Error>| frame.map_err(|error| RequestBodyError(error.into()));
        self.project().body.poll_frame(cx).map(|frame| frame.map(ours))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl std::fmt::Debug for BodyStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BodyStream").finish_non_exhaustive()
    }
}

/// Why a request's body could not be read to its end: the connection broke, the stream was reset, or the chunks were
/// malformed.
#[derive(Debug)]
pub struct RequestBodyError(Box<dyn Error + Send + Sync>);

impl std::fmt::Display for RequestBodyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the request's body broke off")
    }
}

impl Error for RequestBodyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.0.as_ref())
    }
}
