//! A socket as hyper reads it: one request, and nothing behind it before its response is written.
//!
//! What hyper is given is cut by [`framing`](super::framing). What comes meanwhile is kept here, for hyper or whoever
//! serves the connection next, and here it shows that the peer has left.

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
/// Kept of what comes meanwhile; more stays in the socket.
const AHEAD: usize = 4096;
/// Thrown away of content that nobody wants, so that the peer's leaving shows behind it.
const UNWANTED: usize = 256 * 1024;

/// A socket below hyper.
pub(crate) struct Framed<IO> {
    io: TimedIo<IO>,
    exchange: Arc<Exchange>,
    /// Read and not given out.
    ahead: Bytes,
    /// Bytes that may still be thrown away.
    unwanted: usize,
}

/// What a look at the socket shows.
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

    /// The socket, with what was not given out to be read again.
    pub(crate) fn into_inner(self) -> TimedIo<IO> {
        let Self { mut io, ahead, .. } = self;
        io.unread(ahead);
        io
    }

    /// Keeps what hyper is not given yet.
    fn keep(&mut self, ahead: Bytes) {
        self.exchange.set_followed(memmem::find(&ahead, HEAD_END).is_some());
        self.ahead = ahead;
    }
}

impl<IO: AsyncRead + Unpin> Framed<IO> {
    /// Reads what comes while a request is answered, within bounds.
    fn look(&mut self, cx: &mut Context<'_>) -> io::Result<Peer> {
        let mut space = [const { MaybeUninit::uninit() }; READ];
        loop {
            let given_up = self.exchange.is_given_up();
            let room = if given_up { self.unwanted } else { AHEAD.saturating_sub(self.ahead.len()) };
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
            if given_up {
                self.unwanted = self.unwanted.saturating_sub(read.len());
            } else {
                self.keep([&self.ahead, read].concat().into());
            }
        }
    }

    /// While the server drains, a response says whether it is the last, which is when no other request has come.
    fn look_ahead(&mut self, cx: &mut Context<'_>) {
        if self.io.state().is_draining() && !self.exchange.is_followed() {
            // What else the look shows is shown again.
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
            // hyper takes no bytes for the end.
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

    /// hyper ends each poll with it, unless bytes wait to be written. Where hyper does not look at its peer, this does.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.io).poll_flush(cx))?;
        let busy = this.io.state().stay().phase() == Phase::Busy;
        if busy && (this.exchange.is_whole() || this.exchange.is_given_up()) && this.look(cx)? == Peer::Left {
            let left = "the peer left before its response";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, left)));
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
