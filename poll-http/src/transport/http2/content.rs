//! The content of an HTTP/2 request, and whether all of it came.
//!
//! Flow-control windows open as the data is read: a reader that polls for more has room for what came before.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http_body::{Body, Frame, SizeHint};

/// Content that is read from its stream.
#[derive(Debug)]
pub(super) struct Content {
    stream: RecvStream,
    came: Came,
    /// Bytes passed on and not released yet.
    owed: usize,
}

/// Tells the answer's side whether the request has ended.
#[derive(Clone, Debug, Default)]
pub(super) struct Came(Arc<AtomicBool>);

impl Content {
    pub(super) fn new(stream: RecvStream, came: Came) -> Self {
        Self { stream, came, owed: 0 }
    }

    fn release(&mut self) {
        let owed = std::mem::take(&mut self.owed);
        if owed > 0 {
            // An error means that the stream is gone, which the next poll reports better.
            let _ = self.stream.flow_control().release_capacity(owed);
        }
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = h2::Error;

    /// Trailers are not looked at; dropping the stream lets go of them.
    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        self.release();
        let data = ready!(self.stream.poll_data(cx));
        if let Some(Ok(bytes)) = &data {
            self.owed = bytes.len();
        }
        Poll::Ready(data.map(|data| data.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    /// h2 checks the length against `Content-Length` itself, but does not expose it.
    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

impl Drop for Content {
    fn drop(&mut self) {
        // The window of the connection is the others' as well, whatever becomes of this stream.
        self.release();
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
