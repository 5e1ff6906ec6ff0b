//! The content of a request that came by somebody else's server, as a [`RequestBody`](crate::RequestBody).
//!
//! Boxed, so that one service takes every server's body; how it is read and bounded is `intake`'s business.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::message::request_body::RequestBodyError;

/// Any body that gives [`Bytes`].
pub struct ForeignBody(Pin<Box<dyn Body<Data = Bytes, Error = RequestBodyError> + Send>>);

pin_project! {
    /// A body whose errors are ours.
    struct Told<B> {
        #[pin]
        body: B,
    }
}

impl ForeignBody {
    pub(crate) fn new<B>(body: B) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        Self(Box::pin(Told { body }))
    }

    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        self.0.as_mut().poll_frame(cx)
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

impl<B> Body for Told<B>
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
        let told =
            |frame: Result<_, B::Error>| frame.map_err(|error| RequestBodyError::Foreign(error.into()));
        self.project().body.poll_frame(cx).map(|frame| frame.map(told))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl std::fmt::Debug for ForeignBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ForeignBody").finish_non_exhaustive()
    }
}
