//! A socket as h2 sees it, with every frame counted on its way and trailer sections marked.
//!
//! Counting and marking are done by [`traffic`](super::traffic).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::transport::http2::traffic::{Allowed, Traffic};
use crate::transport::preface::PREFACE;
use crate::transport::timed_io::TimedIo;

/// A socket below h2.
pub(super) struct FrameIo<IO> {
    io: TimedIo<IO>,
    traffic: Traffic,
    /// What h2 reads before anything else.
    ahead: Bytes,
}

impl<IO> FrameIo<IO> {
    /// Of a socket whose peer has sent the preface, which h2 reads again. The peer may send `rate` control frames a second
    /// for nothing; zero is no bound.
    pub(super) fn new(io: TimedIo<IO>, rate: u32) -> Self {
        io.state().leave_reads_untimed();
        Self { io, traffic: Traffic::new(rate), ahead: Bytes::from_static(PREFACE) }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for FrameIo<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { io, traffic, ahead } = self.get_mut();
        let before = buf.filled().len();
        while ahead.is_empty() {
            if io.state().is_overrun() {
                // Further input is ignored. The connection sends GOAWAY in this very poll.
                return Poll::Pending;
            }
            ready!(Pin::new(&mut *io).poll_read(cx, buf))?;
            if buf.filled().len() == before {
                return Poll::Ready(Ok(()));
            }
            let received = traffic.receive(&buf.filled()[before..], io.state().push());
            received.push.into_iter().for_each(|push| io.state().set_push(push));
            if received.frames == Allowed::No {
                io.state().overrun();
            }
            buf.set_filled(before + received.plain);
            *ahead = received.rest.into();
            // With nothing to read, it was a part of a frame's head, which is kept until it is whole.
            if received.plain > 0 {
                return Poll::Ready(Ok(()));
            }
        }
        let count = buf.remaining().min(ahead.len());
        buf.put_slice(&ahead.split_to(count));
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for FrameIo<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Self { io, traffic, .. } = self.get_mut();
        let count = ready!(Pin::new(&mut *io).poll_write(cx, bytes))?;
        io.state().wrote_promises(traffic.send(&bytes[..count]));
        Poll::Ready(Ok(count))
    }

    /// Where it may, h2 sends every DATA frame of 256 bytes or more in a write of its own instead of joining the frames of
    /// many streams.
    fn is_write_vectored(&self) -> bool {
        false
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
