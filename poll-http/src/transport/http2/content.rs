//! The content of an HTTP/2 request, and whether all of it came.
//!
//! Flow-control windows open as the data is taken: whoever asks for more has found room for what came before.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;

use crate::message::request_body::Allowance;

/// Content that is read from its stream.
#[derive(Debug)]
pub struct Http2Content {
    stream: RecvStream,
    came: Came,
    /// Bytes that were given and are not released yet.
    owed: usize,
    allowance: Arc<Allowance>,
}

/// Tells the answer's side whether the request has ended.
#[derive(Clone, Debug, Default)]
pub(super) struct Came(Arc<AtomicBool>);

impl Http2Content {
    pub(super) fn new(stream: RecvStream, came: Came, allowance: Arc<Allowance>) -> Self {
        Self { stream, came, owed: 0, allowance }
    }

    pub(crate) fn allowance(&self) -> &Arc<Allowance> {
        &self.allowance
    }

    pub(crate) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, h2::Error>>> {
        self.release();
        let data = ready!(self.stream.poll_data(cx));
        if let Some(Ok(bytes)) = &data {
            self.owed = bytes.len();
        }
        Poll::Ready(data)
    }

    fn release(&mut self) {
        let owed = std::mem::take(&mut self.owed);
        if owed > 0 {
            // An error means that the stream is gone, which the next poll says better.
            let _ = self.stream.flow_control().release_capacity(owed);
        }
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }
}

impl Drop for Http2Content {
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
