//! One HTTP/1.1 connection on the fast path: a small state machine that keeps nothing while a client waits.
//!
//! The first request that is not plain hands the connection to hyper with every byte that was read. Timers are
//! [`timed_io`](crate::transport::timed_io)'s, as they are under hyper.

use std::io;
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http_body::Body as _;
use memchr::memmem;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::message::body::Body;
use crate::message::connection_info::{EarlyHints, Protocol};
use crate::message::head::{HEAD_END, Head};
use crate::message::reply::{Reply, Wants};
use crate::message::request::{Content, Request};
use crate::transport::connection_state::Carries;
use crate::transport::error::ConnectionError;
use crate::transport::handle::{Begun, Handle, Panicked, begin};
use crate::transport::http1::fast::write_response::{Framing, ResponseBuffer};
use crate::transport::http1::fast::{buffer_pool, parse_request};
use crate::transport::http1::persistence::Persistence;
use crate::transport::parts::{Next, Parts, http1_info};
use crate::transport::timed_io::TimedIo;
use crate::worker::budget;

/// The most that is read at once, on the stack. A longer request is not plain: one for a hundred channels has 6 KiB and more,
/// and would keep all of hyper's buffers while it waits.
const READ: usize = 16 * 1024;
/// How much of further requests is read before a response is written; more stays in the socket.
const AHEAD: usize = 4096;
/// How much of a body is buffered for the socket: a part of a large batch, not all of it.
const GATHERED: usize = 64 * 1024;

/// A connection on the fast path.
pub(crate) struct Fast<IO, H: Handle> {
    parts: Parts<IO, H>,
    /// Read and not parsed yet.
    unread: Vec<u8>,
    phase: ResponsePhase<H::Future>,
}

#[expect(
    clippy::large_enum_variant,
    reason = "each response is here for a moment, and a box would cost an allocation"
)]
enum ResponsePhase<F> {
    /// Between requests.
    Idle,
    /// The handler has not answered yet.
    Awaited(F),
    Sending(Sending),
    /// All is handed to the socket.
    Written(Persistence),
    Closing,
}

/// A response on its way to the socket.
struct Sending {
    body: Body,
    framing: Framing,
    out: ResponseBuffer,
    persistence: Persistence,
    socket: Socket,
}

/// Whether the socket has accepted everything written. Until then the body is not polled.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Socket {
    Free,
    Full,
}

/// Whether a request was answered since the connection's task was woken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answered {
    Some,
    None,
}

/// The state of the peer, as seen by a read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Peer {
    Sent,
    Left,
}

impl<IO, H> Fast<IO, H>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handle,
{
    pub(crate) fn new(parts: Parts<IO, H>) -> Self {
        Self { parts, unread: Vec::new(), phase: ResponsePhase::Idle }
    }

    /// The connection, with every byte that was read and not answered.
    pub(crate) fn into_parts(self) -> Parts<IO, H> {
        let Self { mut parts, unread, .. } = self;
        parts.io.unread(unread.into());
        parts
    }

    /// Ready when the connection has ended or a request is not plain.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Next, ConnectionError>> {
        let mut answered = Answered::None;
        loop {
            match &mut self.phase {
                ResponsePhase::Idle => {
                    // Several may have arrived together.
                    match answered {
                        Answered::Some => ready!(budget::poll_go_on(cx)),
                        Answered::None => ready!(budget::poll_begin(cx)),
                    }
                    if let Some(next) = ready!(self.poll_request(cx))? {
                        return Poll::Ready(Ok(next));
                    }
                }
                ResponsePhase::Awaited(_) => ready!(self.poll_awaited(cx))?,
                ResponsePhase::Sending(sending) => {
                    let Poll::Ready(written) = sending.poll(&mut self.parts.io, cx) else {
                        return self.poll_left(cx);
                    };
                    let persistence = written.map_err(ConnectionError::Fast)?;
                    self.phase = ResponsePhase::Written(persistence);
                }
                ResponsePhase::Written(persistence) => {
                    ready!(self.parts.io.poll_written(cx)).map_err(ConnectionError::Fast)?;
                    self.phase = if *persistence == Persistence::Keep {
                        ResponsePhase::Idle
                    } else {
                        ResponsePhase::Closing
                    };
                    answered = Answered::Some;
                }
                ResponsePhase::Closing => {
                    let closed = ready!(Pin::new(&mut self.parts.io).poll_shutdown(cx));
                    return Poll::Ready(closed.map(|()| Next::End).map_err(ConnectionError::Fast));
                }
            }
        }
    }

    /// Begins to answer the next request if it is plain; else returns whether the connection ends or switches.
    #[inline(never)]
    fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Next>, ConnectionError>> {
        if self.unread.is_empty() {
            match self.poll_peer(cx)? {
                Poll::Ready(Peer::Sent) => {}
                Poll::Ready(Peer::Left) if self.parts.io.state().is_draining() => {
                    self.phase = ResponsePhase::Closing;
                    return Poll::Ready(Ok(None));
                }
                Poll::Ready(Peer::Left) => return Poll::Ready(Ok(Some(Next::End))),
                Poll::Pending if self.parts.io.state().is_draining() => return Poll::Pending,
                Poll::Pending => {
                    ready!(Pin::new(&mut self.parts.draining).poll(cx));
                    // The next request may be on its way; its response announces the close.
                    self.parts.io.state().drain();
                    return Poll::Ready(Ok(None));
                }
            }
        }
        let bytes = std::mem::take(&mut self.unread);
        let Some((plain, end)) = parse_request::read(&bytes, self.parts.context.settings.max_head_bytes)
        else {
            self.unread = bytes;
            return Poll::Ready(Ok(Some(Next::Switch)));
        };
        if end < bytes.len() {
            self.unread = bytes[end..].to_vec();
        }
        let request = Request { head: Head::Plain(&plain.head()), content: Content::Here(plain.content) };
        let begun = self.begin(request, Carries::of(plain.content), cx);
        buffer_pool::give(bytes);
        ready!(begun)?;
        Poll::Ready(Ok(None))
    }

    /// Takes the response as soon as the handler has it.
    #[inline(never)]
    fn poll_awaited(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectionError>> {
        let ResponsePhase::Awaited(future) = &mut self.phase else { return Poll::Ready(Ok(())) };
        let reply = match catch_unwind(AssertUnwindSafe(|| Pin::new(future).poll(cx))) {
            Ok(Poll::Pending) => return self.poll_left(cx),
            Ok(Poll::Ready(answer)) => answer.into(),
            Err(_) => Panicked::reply(),
        };
        self.answer(reply, cx);
        Poll::Ready(Ok(()))
    }

    fn begin(
        &mut self,
        request: Request<'_>,
        carries: Carries,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), ConnectionError>> {
        self.parts.io.state().begin(carries);
        let connection = http1_info(&self.parts.peer, Protocol::Http11, EarlyHints::None);
        match begin(&self.parts.handler, request, &connection, cx) {
            Ok(Begun::Ready(reply)) => {
                self.answer(reply, cx);
                if self.unread.is_empty() {
                    // Other requests are answered before this response is written: see "Optimisations that pay".
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
            Ok(Begun::Waiting(future)) => {
                self.phase = ResponsePhase::Awaited(future);
                return self.poll_left(cx);
            }
            Err(Panicked) => self.answer(Panicked::reply(), cx),
        }
        Poll::Ready(Ok(()))
    }

    /// Makes a response ready to be sent.
    fn answer(&mut self, mut reply: Reply, cx: &mut Context<'_>) {
        reply.leave_framing(Wants::Body);
        // Drops the handler's future before anything of its response is sent.
        self.phase = ResponsePhase::Idle;
        let framing = Framing::of(reply.status, reply.body.exact_length());
        let persistence =
            if self.parts.draining.is_draining() { self.persistence_in_drain(cx) } else { Persistence::Keep };
        let mut out = ResponseBuffer::default();
        let persistence = out.head(&reply, framing, self.parts.context.settings.keep_alive, persistence);
        let sending = Sending { body: reply.body, framing, out, persistence, socket: Socket::Free };
        self.phase = ResponsePhase::Sending(sending);
    }

    /// While the server drains, a connection ends with the response to the last request whose head has arrived.
    #[inline(never)]
    fn persistence_in_drain(&mut self, cx: &mut Context<'_>) -> Persistence {
        self.parts.io.state().drain();
        loop {
            if memmem::find(&self.unread, HEAD_END).is_some() {
                return Persistence::Keep;
            }
            // An error or the end shows again at the next read.
            let more = self.unread.len() < AHEAD && matches!(self.poll_peer(cx), Poll::Ready(Ok(Peer::Sent)));
            if !more {
                return Persistence::Close;
            }
        }
    }

    /// Ready, with an error, when the peer has left before it has its response.
    fn poll_left<T>(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, ConnectionError>> {
        while self.unread.len() < AHEAD {
            if ready!(self.poll_peer(cx))? == Peer::Left {
                let left = io::Error::new(io::ErrorKind::UnexpectedEof, "the peer left before its response");
                return Poll::Ready(Err(ConnectionError::Fast(left)));
            }
        }
        Poll::Pending
    }

    /// Reads once.
    fn poll_read(
        &mut self,
        read: &mut ReadBuf<'_>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Peer, ConnectionError>> {
        ready!(Pin::new(&mut self.parts.io).poll_read(cx, read)).map_err(ConnectionError::Fast)?;
        Poll::Ready(Ok(if read.filled().is_empty() { Peer::Left } else { Peer::Sent }))
    }

    /// Reads once, into `unread`: a request, or a little of what follows one.
    #[inline(never)]
    fn poll_peer(&mut self, cx: &mut Context<'_>) -> Poll<Result<Peer, ConnectionError>> {
        let mut space = [const { MaybeUninit::uninit() }; READ];
        let most = if matches!(self.phase, ResponsePhase::Idle) { READ } else { AHEAD };
        let mut read = ReadBuf::uninit(&mut space[..most]);
        if ready!(self.poll_read(&mut read, cx))? == Peer::Left {
            return Poll::Ready(Ok(Peer::Left));
        }
        let read = read.filled();
        if matches!(self.phase, ResponsePhase::Idle) && self.unread.capacity() == 0 {
            self.unread = buffer_pool::take();
        }
        // Exactly its size: a connection that waits keeps it.
        self.unread.reserve_exact(read.len());
        self.unread.extend_from_slice(read);
        Poll::Ready(Ok(Peer::Sent))
    }
}

impl Sending {
    /// Ready when the socket has all of it, with whether the connection persists.
    fn poll<IO: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &mut self,
        io: &mut TimedIo<IO>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Persistence>> {
        let whole = |body: &Body, framing| framing == Framing::Bodiless || body.is_ended();
        loop {
            let more = match self.socket {
                Socket::Free if !whole(&self.body, self.framing) => self.gather(cx)?,
                Socket::Free | Socket::Full => Poll::Ready(()),
            };
            self.socket = Socket::Full;
            ready!(self.out.poll_write(io, cx))?;
            self.socket = Socket::Free;
            if more.is_pending() {
                // Data that a socket buffers itself, as one with TLS does, must not wait for the next piece. Until it is
                // flushed, the socket wakes this task as the next piece would.
                if Pin::new(&mut *io).poll_flush(cx)?.is_ready() {
                    self.body.hand_over(&mut || io.share(), cx.waker());
                }
                return Poll::Pending;
            }
            if whole(&self.body, self.framing) {
                io.state().end_with(self.body.take_written());
                return Poll::Ready(Ok(self.persistence));
            }
        }
    }

    /// Buffers the available part of the body, within limits; pending if there is nothing more for now.
    fn gather(&mut self, cx: &mut Context<'_>) -> io::Result<Poll<()>> {
        if self.body.take_whole(|bytes| self.out.framed(bytes)) {
            return Ok(Poll::Ready(()));
        }
        let rest = self.body.take_back();
        if !rest.is_empty() {
            self.out.framed(rest);
        }
        while !self.body.is_ended() && self.out.len() < GATHERED {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(bytes) = frame.into_data() {
                        self.out.piece(bytes, self.framing);
                    }
                }
                // Aborted: the peer must not mistake it for the end.
                Poll::Ready(Some(Err(error))) => return Err(io::Error::other(error)),
                Poll::Ready(None) => self.out.end(self.framing),
            }
        }
        Ok(Poll::Ready(()))
    }
}
