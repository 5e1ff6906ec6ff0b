//! A socket as hyper sees it: one request at a time, and never past the end of one that is not read yet.
//!
//! What hyper is given is cut by [`framing`](super::framing). It also has no eye on a peer while bytes of a next request
//! lie in its buffer, or once it has given up on content that nobody wants: then the peer's leaving is noticed here.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use memchr::memmem;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::transport::connection_state::Stage;
use crate::transport::http1::fast::parse_request::EMPTY_LINE;
use crate::transport::http1::hyper::exchange::Exchange;
use crate::transport::timed_io::Watched;

/// Read at once to see whether the peer is still there.
const READ: usize = 4096;
/// Kept of what comes meanwhile; more stays in the socket.
const AHEAD: usize = 4096;
/// Thrown away of content that nobody wants, so that the peer's leaving shows behind it.
const UNWANTED: usize = 256 * 1024;

/// A socket below hyper.
pub(crate) struct Framed<IO> {
    io: Watched<IO>,
    exchange: Arc<Exchange>,
    /// Read and not given out.
    ahead: Bytes,
    /// Bytes that may still be thrown away.
    unwanted: usize,
}

impl<IO> Framed<IO> {
    pub(crate) fn new(io: Watched<IO>, exchange: Arc<Exchange>) -> Self {
        Self { io, exchange, ahead: Bytes::new(), unwanted: UNWANTED }
    }

    /// Keeps what hyper is not given yet.
    fn keep(&mut self, ahead: Bytes) {
        self.exchange.set_followed(memmem::find(&ahead, EMPTY_LINE).is_some());
        self.ahead = ahead;
    }
}

impl<IO: AsyncRead + Unpin> Framed<IO> {
    /// Fails once the peer has left while its request is answered and hyper does not look.
    fn poll_left(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.io.link().phase().stage() != Stage::Busy || !self.exchange.is_blind() {
            return Ok(());
        }
        let mut space = [const { MaybeUninit::uninit() }; READ];
        loop {
            let given_up = self.exchange.is_given_up();
            let room = if given_up { self.unwanted } else { AHEAD.saturating_sub(self.ahead.len()) };
            if room == 0 {
                return Ok(());
            }
            let mut read = ReadBuf::uninit(&mut space);
            match Pin::new(&mut self.io).poll_read(cx, &mut read) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Ready(Ok(())) => {}
            }
            let read = read.filled();
            if read.is_empty() {
                let left = "the peer left before its answer";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, left));
            }
            if given_up {
                self.unwanted = self.unwanted.saturating_sub(read.len());
            } else {
                self.keep([&self.ahead, read].concat().into());
                // hyper may wait for it.
                cx.waker().wake_by_ref();
            }
        }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Framed<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.ahead.is_empty() {
            this.exchange.set_reading(false);
            let there = buf.remaining().min(this.ahead.len());
            let count = this.exchange.admit(&this.ahead[..there])?;
            buf.put_slice(&this.ahead[..count]);
            let rest = this.ahead.slice(count..);
            this.keep(rest);
            this.look_ahead(cx);
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut this.io).poll_read(cx, buf);
        this.exchange.set_reading(read.is_pending());
        ready!(read)?;
        let read = &buf.filled()[before..];
        if !read.is_empty() {
            let count = this.exchange.admit(read)?;
            if count < read.len() {
                let rest = Bytes::copy_from_slice(&read[count..]);
                this.keep(rest);
            }
            buf.set_filled(before + count);
            this.look_ahead(cx);
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncRead + Unpin> Framed<IO> {
    /// While the server drains, an answer says whether it is the last, which is when no other request has come.
    fn look_ahead(&mut self, cx: &mut Context<'_>) {
        if !self.io.link().is_draining() {
            return;
        }
        let mut space = [const { MaybeUninit::uninit() }; READ];
        while memmem::find(&self.ahead, EMPTY_LINE).is_none() && self.ahead.len() < AHEAD {
            let mut read = ReadBuf::uninit(&mut space);
            match Pin::new(&mut self.io).poll_read(cx, &mut read) {
                Poll::Ready(Ok(())) if !read.filled().is_empty() => {
                    self.keep([&self.ahead, read.filled()].concat().into());
                }
                // The next look has it again.
                _ => return,
            }
        }
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

    /// hyper ends each of its turns with it, unless bytes wait to be written.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.io).poll_flush(cx))?;
        Poll::Ready(this.poll_left(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
