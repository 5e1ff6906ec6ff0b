//! A socket as hyper reads it: one request, and nothing after it before its response is written.
//!
//! hyper's input is cut by [`framing`](super::framing). Further input is kept here, for whichever engine serves the
//! connection next, and this is where the peer's leaving is noticed.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use memchr::memmem;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::message::head::HEAD_END;
use crate::transport::connection_state::Phase;
use crate::transport::http1::hyper::exchange::Exchange;
use crate::transport::timed_io::TimedIo;

/// Read at once to see whether the peer is still there.
const READ: usize = 4096;
/// How much further input is kept; more stays in the socket.
const AHEAD: usize = 4096;
/// How much ignored content is discarded, to notice when the peer leaves.
const UNWANTED: usize = 256 * 1024;

/// A socket below hyper.
pub(crate) struct Framed<IO> {
    io: TimedIo<IO>,
    exchange: Arc<Exchange>,
    /// Read, but not passed to hyper.
    ahead: Bytes,
    /// Bytes that may still be discarded.
    unwanted: usize,
}

/// The state of the peer, as seen by a read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Peer {
    /// More may come.
    Open,
    Left,
}

impl<IO> Framed<IO> {
    pub(crate) fn new(io: TimedIo<IO>, exchange: Arc<Exchange>) -> Self {
        Self { io, exchange, ahead: Bytes::new(), unwanted: UNWANTED }
    }

    /// The socket, with unused input to be read again.
    pub(crate) fn into_inner(self) -> TimedIo<IO> {
        let Self { mut io, ahead, .. } = self;
        io.unread(ahead);
        io
    }

    /// Keeps input that hyper may not read yet.
    fn keep(&mut self, ahead: Bytes) {
        self.exchange.set_followed(memmem::find(&ahead, HEAD_END).is_some());
        self.ahead = ahead;
    }
}

impl<IO: AsyncRead + Unpin> Framed<IO> {
    /// Reads further input while a request is answered, within limits.
    fn look(&mut self, cx: &mut Context<'_>) -> io::Result<Peer> {
        let mut space = [const { MaybeUninit::uninit() }; READ];
        loop {
            let ignored = self.exchange.input_is_ignored();
            let room = if ignored { self.unwanted } else { AHEAD.saturating_sub(self.ahead.len()) };
            if room == 0 {
                return Ok(Peer::Open);
            }
            let mut read = ReadBuf::uninit(&mut space);
            match Pin::new(&mut self.io).poll_read(cx, &mut read) {
                Poll::Pending => return Ok(Peer::Open),
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Ready(Ok(())) => {}
            }
            let read = read.filled();
            if read.is_empty() {
                return Ok(Peer::Left);
            }
            if ignored {
                self.unwanted = self.unwanted.saturating_sub(read.len());
            } else {
                self.keep([&self.ahead, read].concat().into());
            }
        }
    }

    /// While the server drains, a response is announced as the last unless another request has arrived.
    fn look_ahead(&mut self, cx: &mut Context<'_>) {
        if self.io.state().is_draining() && !self.exchange.has_next_request() {
            // Anything else shows again at the next read.
            let _ = self.look(cx);
        }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Framed<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.exchange.is_whole() {
            if this.io.state().is_between_requests() {
                this.exchange.await_next();
                return Poll::Pending;
            }
            // hyper polls the handler before it flushes, and the flush looks.
            if this.exchange.is_unasked() {
                return Poll::Pending;
            }
            // Zero bytes would mean the end to hyper.
            return if this.look(cx)? == Peer::Left { Poll::Ready(Ok(())) } else { Poll::Pending };
        }
        let before = buf.filled().len();
        if this.ahead.is_empty() {
            ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
        } else {
            let count = buf.remaining().min(this.ahead.len());
            buf.put_slice(&this.ahead.split_to(count));
        }
        let read = &buf.filled()[before..];
        if !read.is_empty() {
            let count = this.exchange.admit(read)?;
            let rest = [&read[count..], &this.ahead].concat();
            this.keep(rest.into());
            buf.set_filled(before + count);
            this.look_ahead(cx);
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Framed<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    /// hyper ends each poll with a flush, unless bytes wait to be written. If hyper does not watch its peer then, this does.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.io).poll_flush(cx))?;
        let busy = this.io.state().stay().phase() == Phase::Busy;
        if busy
            && (this.exchange.is_whole() || this.exchange.input_is_ignored())
            && this.look(cx)? == Peer::Left
        {
            let left = "the peer left before its response";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, left)));
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.expect_content();
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
