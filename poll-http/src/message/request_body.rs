//! The only request body of the crate.

pub(crate) mod foreign;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use poll_core::{Kind, Memory, OverBudget};

use crate::message::request_body::foreign::ForeignBody;
use crate::transport::http1::Http1Body;
use crate::transport::http2::Http2Content;

/// A request's body, whichever protocol it came by.
#[derive(Debug)]
pub enum RequestBody {
    /// Known to have no bytes.
    Empty,
    /// From an HTTP/1 connection.
    Http1(Http1Body),
    /// From an HTTP/2 stream.
    Http2(Http2Content),
    /// At hand, as tests and embedders have it.
    Full(Bytes),
    /// From a connection of somebody else's server.
    Foreign(ForeignBody),
}

impl RequestBody {
    /// The content of a request that another server took.
    pub fn foreign<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        if body.is_end_stream() { Self::Empty } else { Self::Foreign(ForeignBody::new(body)) }
    }
}

impl RequestBody {
    /// What it may hold beside the other requests of its connection, where there are others.
    pub(crate) fn allowance(&self) -> Option<&Arc<Allowance>> {
        if let Self::Http2(content) = self { Some(content.allowance()) } else { None }
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
            Self::Http1(incoming) => {
                let frame = ready!(Pin::new(incoming).poll_frame(cx));
                frame.map(|frame| frame.map_err(RequestBodyError::Http1))
            }
            // Trailers are not looked at; dropping the stream lets go of them.
            Self::Http2(content) => ready!(content.poll_data(cx))
                .map(|data| data.map(Frame::data).map_err(RequestBodyError::Http2)),
            Self::Foreign(body) => ready!(body.poll_frame(cx)),
        };
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(bytes) => bytes.is_empty(),
            Self::Http1(incoming) => incoming.is_end_stream(),
            Self::Http2(content) => content.is_end_stream(),
            Self::Foreign(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Http1(incoming) => incoming.size_hint(),
            // h2 checks the length against Content-Length itself, but does not tell it.
            Self::Http2(_) => SizeHint::default(),
            Self::Foreign(body) => body.size_hint(),
        }
    }
}

/// How many bytes of content the requests of one connection may hold together: one peer must not use up the account.
#[derive(Debug)]
pub(crate) struct Allowance {
    most: u64,
    used: AtomicU64,
}

impl Allowance {
    /// The least: the largest content of all, and what a thousand streams take before any of theirs has come.
    const LEAST: u64 = 2 << 20;

    /// An eighth of what the account has for content.
    pub(crate) fn of(memory: &Memory) -> Arc<Self> {
        let most = Self::LEAST.max(memory.bound(Kind::Bodies) / 8);
        Arc::new(Self { most, used: AtomicU64::new(0) })
    }

    pub(crate) fn take(&self, bytes: u64) -> Result<(), OverBudget> {
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) <= self.most {
            return Ok(());
        }
        self.give(bytes);
        Err(OverBudget(Kind::Bodies))
    }

    pub(crate) fn give(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Why a request's body could not be read to its end.
#[derive(Debug)]
pub enum RequestBodyError {
    /// The connection broke, or the chunks were malformed.
    Http1(hyper::Error),
    /// The stream was reset, or the connection broke.
    Http2(h2::Error),
    /// Somebody else's server could not read it.
    Foreign(Box<dyn std::error::Error + Send + Sync>),
}

impl std::fmt::Display for RequestBodyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the request's body broke off")
    }
}

impl std::error::Error for RequestBodyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Http1(error) => Some(error),
            Self::Http2(error) => Some(error),
            Self::Foreign(error) => Some(error.as_ref()),
        }
    }
}
