//! Which protocol a connection speaks.
//!
//! A port speaks both. HTTP/2 with prior knowledge opens with 24 fixed bytes (RFC 9113, section 3.4); the first byte that
//! differs makes it HTTP/1.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, ReadBuf};

use crate::transport::timed_io::TimedIo;

/// Opens every HTTP/2 connection.
pub(crate) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// As much of the preface as has come.
#[derive(Default)]
pub(crate) struct Preface {
    bytes: [u8; PREFACE.len()],
    filled: usize,
}

/// What the first bytes show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detected {
    Http1,
    Http2,
    /// The peer left, or was silent for too long.
    Closed,
}

impl Preface {
    /// Reads until the protocol is known. What was read of HTTP/1 is given back to be read again; of HTTP/2 it is exactly
    /// the [`PREFACE`].
    pub(crate) fn poll_detect<IO: AsyncRead + Unpin>(
        &mut self,
        io: &mut TimedIo<IO>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Detected>> {
        loop {
            // No further than the preface: what comes behind it is the engine's to read.
            let mut buf = ReadBuf::new(&mut self.bytes[self.filled..]);
            ready!(Pin::new(&mut *io).poll_read(cx, &mut buf))?;
            let read = buf.filled().len();
            if read == 0 {
                // What has come is no whole request, so there is nothing to answer.
                return Poll::Ready(Ok(Detected::Closed));
            }
            self.filled += read;
            let begun = &self.bytes[..self.filled];
            if begun != &PREFACE[..self.filled] {
                io.unread(Bytes::copy_from_slice(begun));
                return Poll::Ready(Ok(Detected::Http1));
            }
            if self.filled == PREFACE.len() {
                return Poll::Ready(Ok(Detected::Http2));
            }
        }
    }
}
