//! The content of an HTTP/2 request, and whether all of it came.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;

/// Content that is read from its stream.
#[derive(Debug)]
pub struct Http2Content {
    stream: RecvStream,
    came: Came,
}

/// Tells the answer's side whether the request has ended.
#[derive(Clone, Debug, Default)]
pub(super) struct Came(Arc<AtomicBool>);

impl Http2Content {
    pub(super) fn new(stream: RecvStream, came: Came) -> Self {
        Self { stream, came }
    }

    pub(crate) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, h2::Error>>> {
        let data = ready!(self.stream.poll_data(cx));
        if let Some(Ok(bytes)) = &data {
            // The caller holds the bytes now and bounds them itself; the peer may send as many again.
            // An error means that the stream is gone, which the next poll says better.
            let _ = self.stream.flow_control().release_capacity(bytes.len());
        }
        Poll::Ready(data)
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }
}

impl Drop for Http2Content {
    fn drop(&mut self) {
        if self.stream.is_end_stream() {
            self.came.0.store(true, Ordering::Relaxed);
        }
    }
}

impl Came {
    pub(super) fn is_whole(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
