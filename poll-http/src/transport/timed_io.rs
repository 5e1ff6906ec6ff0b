//! A socket with deadlines: the only place that knows whether bytes move.
//!
//! hyper, h2 and the fast path read and write through [`TimedIo`]. It closes a connection that is idle for too long, whose
//! head takes too long, or whose peer accepts no bytes while some wait to be written. The deadlines are here because a body
//! is polled only while the socket accepts bytes: nothing above would wake up to notice. hyper's one header timeout does not
//! distinguish an idle connection from a slow head, so both are measured here.
//!
//! A request costs no timer: it is a few stores into the [`ConnectionState`] that both sides share, and the clock is read
//! only when a read finds nothing.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::message::shared_writer::{ShareableIo, SharedWriter};
use crate::transport::connection_state::{ConnectionState, Phase, Stay};
use crate::transport::context::ConnectionContext;
use crate::worker::budget::{self, cost};
use crate::worker::timer_wheel::Timer;

/// How long, and how much, is still read after the last byte written: closing a socket with unread bytes resets it, and the
/// peer may lose what was written (RFC 9112, section 9.6).
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: u32 = 256 * 1024;
/// The same where it may be the content of a request: a client that sends a file to the wrong place still reads the 413.
const LINGER_CONTENT_BYTES: u32 = 16 << 20;

/// How long a connection may be idle while the server drains. A client that polls again and again sends its next request
/// within it, and the response announces the close; closing under a request on its way would leave that unanswered.
const DRAINING_IDLE: Duration = Duration::from_secs(1);

/// Up to this many bytes, head and body are joined on the stack and leave by one plain write: walking a vector takes the
/// kernel longer than copying a small response.
const JOINED: usize = 2048;

/// A write of at least so many bytes waits for the worker's next turn once this one is over; a small response does not.
const LARGE: usize = 16 * 1024;

/// A socket with deadlines.
pub(crate) struct TimedIo<IO> {
    io: ShareableIo<IO>,
    state: Held,
    context: Arc<ConnectionContext>,
    /// For whichever of the two deadlines below comes first.
    timer: Timer,
    /// The stay in which a read first found nothing, and when. Another stay starts another clock.
    waiting: (Stay, Instant),
    /// A write or flush that the socket did not accept at once.
    blocked: Option<Blocked>,
    /// Bytes that were read and returned, to be read again before any others.
    unread: Bytes,
    /// Bytes that may be read and thrown away after shutdown.
    linger: u32,
    /// How many of them are left, once that has begun.
    lingering: Option<u32>,
}

/// Held here until an engine shares it: an allocation of its own would be one more cache miss a request.
enum Held {
    Own(ConnectionState),
    Shared(Arc<ConnectionState>),
}

impl Deref for Held {
    type Target = ConnectionState;

    fn deref(&self) -> &ConnectionState {
        match self {
            Self::Own(state) => state,
            Self::Shared(state) => state,
        }
    }
}

/// How many bytes a peer has to take within the stall limit, unless fewer are left. One that takes a byte now and then
/// must not keep a response alive.
pub(crate) const ENOUGH: usize = 4 * 1024;

struct Blocked {
    since: Instant,
    /// Bytes the peer has accepted since.
    taken: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Overdue {
    /// No request came.
    Idle,
    /// A head began and did not end.
    Head,
    /// Bytes wait to be written.
    Write,
}

impl<IO> TimedIo<IO> {
    pub(crate) fn new(io: IO, context: Arc<ConnectionContext>) -> Self {
        let state = Held::Own(ConnectionState::new());
        Self {
            io: ShareableIo::Own(io),
            waiting: (state.stay(), Instant::now()),
            state,
            timer: context.timers.timer(),
            context,
            blocked: None,
            unread: Bytes::new(),
            linger: LINGER_BYTES,
            lingering: None,
        }
    }

    /// What the peer sends may be content that was not read: after the shutdown much of it is thrown away.
    pub(crate) fn expect_content(&mut self) {
        self.linger = LINGER_CONTENT_BYTES;
    }

    pub(crate) fn state(&self) -> &ConnectionState {
        &self.state
    }

    /// The same, for an engine that keeps it.
    pub(crate) fn share_state(&mut self) -> Arc<ConnectionState> {
        let state = match std::mem::replace(&mut self.state, Held::Own(ConnectionState::new())) {
            Held::Own(state) => Arc::new(state),
            Held::Shared(state) => state,
        };
        self.state = Held::Shared(Arc::clone(&state));
        state
    }

    /// Returns bytes that were read; the next read gets them again, before any returned earlier.
    pub(crate) fn unread(&mut self, bytes: Bytes) {
        self.unread =
            if self.unread.is_empty() { bytes } else { [bytes, self.unread.clone()].concat().into() };
    }

    fn read_deadline(&mut self) -> Option<(Instant, Overdue)> {
        let stay = self.state.stay();
        let (limit, overdue) = match stay.phase() {
            Phase::Busy => return None,
            Phase::Head => (self.context.settings.head, Overdue::Head),
            Phase::Idle if self.state.is_draining() => {
                (self.context.settings.keep_alive.min(DRAINING_IDLE), Overdue::Idle)
            }
            Phase::Idle => (self.context.settings.keep_alive, Overdue::Idle),
        };
        if self.waiting.0 != stay {
            self.waiting = (stay, Instant::now());
        }
        Some((self.waiting.1 + limit, overdue))
    }

    /// Ready when a deadline has passed.
    fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<Overdue> {
        let since = self.blocked.as_ref().map(|blocked| blocked.since);
        let write = since.map(|since| (since + self.context.settings.stall, Overdue::Write));
        let next = match (self.read_deadline(), write) {
            (Some(read), Some(write)) => Some(if write.0 < read.0 { write } else { read }),
            (read, write) => read.or(write),
        };
        let Some((when, overdue)) = next else {
            self.timer.clear();
            return Poll::Pending;
        };
        self.timer.set(when);
        self.timer.poll(cx).map(|()| overdue)
    }
}

impl<IO: AsyncRead + Unpin> TimedIo<IO> {
    fn poll_read_in_turn(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // What is read makes work. A connection that is about to end has to see all that has come.
        if budget::is_over() && !self.state.is_draining() {
            return budget::poll_go_on(cx).map(Ok);
        }
        let before = buf.filled().len();
        match Pin::new(&mut self.io).poll_read(cx, buf) {
            Poll::Ready(Ok(())) => {
                let read = &buf.filled()[before..];
                if !read.is_empty() {
                    self.state.read(read);
                    budget::charge(cost::BYTE * read.len() as u64);
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => match std::task::ready!(self.poll_overdue(cx)) {
                // As if the peer had closed: between requests that is a clean end.
                Overdue::Idle => Poll::Ready(Ok(())),
                Overdue::Head => Poll::Ready(Err(timed_out("the request head took too long"))),
                Overdue::Write => Poll::Ready(Err(timed_out("the peer takes too few bytes"))),
            },
        }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for TimedIo<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.unread.is_empty() {
            return this.poll_read_in_turn(cx, buf);
        }
        let count = buf.remaining().min(this.unread.len());
        buf.put_slice(&this.unread.split_to(count));
        if buf.remaining() > 0 {
            // Usually the rest of the head has come too, and reading it now spares parsing a half. An error or the end
            // shows again at the next read.
            let _ = this.poll_read_in_turn(cx, buf);
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> TimedIo<IO> {
    /// Writes, unless it is much and has to wait for its turn.
    fn poll_write_in_turn(
        &mut self,
        cx: &mut Context<'_>,
        length: usize,
        write: impl FnOnce(Pin<&mut ShareableIo<IO>>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if length >= LARGE {
            std::task::ready!(budget::poll_go_on(cx));
        }
        let written = write(Pin::new(&mut self.io), cx);
        if let Poll::Ready(Ok(count)) = &written {
            budget::charge(cost::BYTE * *count as u64);
        }
        written
    }

    /// Limits how long a write waits until the peer has accepted [enough](ENOUGH).
    fn time_write(
        &mut self,
        cx: &mut Context<'_>,
        progress: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let (Poll::Ready(Ok(count)), Some(blocked)) = (&progress, &mut self.blocked) {
            blocked.taken += count;
            if blocked.taken >= ENOUGH {
                self.blocked = None;
            }
        }
        self.time(cx, progress)
    }

    /// The same for what ends only when nothing is left to take.
    fn time_flush(&mut self, cx: &mut Context<'_>, progress: Poll<io::Result<()>>) -> Poll<io::Result<()>> {
        if progress.is_ready() {
            self.blocked = None;
        }
        self.time(cx, progress)
    }

    fn time<T>(&mut self, cx: &mut Context<'_>, progress: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if progress.is_ready() {
            if self.state.is_blocked() {
                self.state.unblock();
            }
            return progress;
        }
        self.state.block();
        if self.blocked.is_none() {
            self.blocked = Some(Blocked { since: Instant::now(), taken: 0 });
        }
        match self.poll_overdue(cx) {
            Poll::Ready(Overdue::Write) => Poll::Ready(Err(timed_out("the peer takes too few bytes"))),
            // The next read reports it.
            Poll::Ready(Overdue::Idle | Overdue::Head) | Poll::Pending => Poll::Pending,
        }
    }

    /// Writes a 103 that the engine has left, if there is one.
    fn poll_interim(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.state.interim_rest() {
            let written = Pin::new(&mut self.io).poll_write(cx, &rest);
            let count = std::task::ready!(self.time_write(cx, written))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.state.interim_written(count);
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Send + Unpin + 'static> TimedIo<IO> {
    /// The socket, for another writer to use while this connection does not. What it does not take at once is left to
    /// the connection, and with it the deadline.
    pub(crate) fn share(&mut self) -> Weak<SharedWriter> {
        self.io.share()
    }
}

impl<IO: AsyncWrite + Unpin> TimedIo<IO> {
    /// Ready when the socket has all that was written. Returns whether that ended a response: unless a read follows, the
    /// caller has to start the idle deadline then.
    pub(crate) fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        std::task::ready!(self.time_flush(cx, flushed))?;
        Poll::Ready(Ok(self.state.flushed()))
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TimedIo<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = this.poll_write_in_turn(cx, bytes.len(), |io, cx| io.poll_write(cx, bytes));
        this.time_write(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let mut space = [const { MaybeUninit::uninit() }; JOINED];
        let mut joined = ReadBuf::uninit(&mut space);
        let length = parts.iter().map(|part| part.len()).sum::<usize>();
        let written = this.poll_write_in_turn(cx, length, |io, cx| {
            if length > JOINED {
                return io.poll_write_vectored(cx, parts);
            }
            parts.iter().for_each(|part| joined.put_slice(part));
            io.poll_write(cx, joined.filled())
        });
        this.time_write(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    /// hyper flushes only when all it had is written, and in the same poll in which it polled the service: the moment at
    /// which an interim response can go out between two responses, and at which a response has ended.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        std::task::ready!(this.poll_interim(cx))?;
        if std::task::ready!(this.poll_written(cx))? {
            // hyper has tried to read already, before the response, and waits to be woken: the idle deadline has to be
            // started here. It has only just begun, so it cannot have passed.
            let _ = this.poll_overdue(cx);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let mut left = match this.lingering {
            Some(left) => left,
            None => {
                let closed = Pin::new(&mut this.io).poll_shutdown(cx);
                std::task::ready!(this.time_flush(cx, closed))?;
                if !this.state.may_send_on() {
                    return Poll::Ready(Ok(()));
                }
                this.timer.set(Instant::now() + LINGER);
                this.linger
            }
        };
        // What the peer sent before it heard of the end.
        let mut bytes = [0; 8 * 1024];
        while left > 0 {
            let mut buf = ReadBuf::new(&mut bytes);
            match Pin::new(&mut this.io).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {
                    // A buffer's length fits.
                    left = left.saturating_sub(buf.filled().len() as u32);
                }
                Poll::Ready(_) => break,
                Poll::Pending => {
                    this.lingering = Some(left);
                    return this.timer.poll(cx).map(Ok);
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

fn timed_out(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}
