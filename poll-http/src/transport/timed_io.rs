//! The socket with its deadlines: the only place that knows whether bytes move.
//!
//! hyper and h2 read and write through [`Watched`]. It closes a connection that is idle for too long, whose head takes
//! too long, or that takes no bytes while some wait to be written. All this lives at the IO layer because a body is
//! polled only while the socket takes bytes; nothing above would wake up to notice. hyper's one header timeout cannot
//! tell an idle connection from a slow head, so both are measured here.
//!
//! A request costs no timer: its stages are stores into the [`Phase`] that both sides share, and the clock is read only
//! when a read finds nothing.

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
use crate::transport::connection_state::{Link, Phase, Stage};
use crate::transport::context::ConnectionContext;
use crate::transport::http2::{Allowed, Traffic};
use crate::worker::budget::{self, cost};
use crate::worker::timer_wheel::Timer;

/// Opens every HTTP/2 connection (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Behind the last byte, how long and how much is read to let the peer see it: closing a socket with unread bytes
/// resets it, and what was written with it (RFC 9112, section 9.6).
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 256 * 1024;

/// While the server drains, how long a connection may be idle. Whoever asks again and again does so within it and is
/// told by its answer; a connection closed under a request that is under way would leave that unanswered.
const DRAINING_IDLE: Duration = Duration::from_secs(1);

/// Up to this many bytes, head and body are joined on the stack and leave by one plain write: the kernel takes longer
/// to walk a vector than it takes to copy a small answer.
const JOINED: usize = 2048;

/// A write of so many bytes waits for the next turn where this one is over; a small answer leaves at once.
const LARGE: usize = 16 * 1024;

/// A socket with deadlines.
pub(crate) struct Watched<IO> {
    io: ShareableIo<IO>,
    link: Linked,
    context: Arc<ConnectionContext>,
    /// For whichever of the two deadlines below comes first.
    timer: Timer,
    /// The phase in which a read first found nothing, and when. Another phase starts another clock.
    waiting: (Phase, Instant),
    /// A write or flush that the peer takes its time for.
    blocked: Option<Blocked>,
    /// Bytes read to tell the protocol, still to be handed on.
    replay: Replay,
    /// Bytes that were read and given back, to be handed on before any others.
    unread: Bytes,
    /// The frames of HTTP/2. A box, because most connections have none.
    traffic: Option<Box<Traffic>>,
    /// Bytes that may still be thrown away after shutdown.
    linger: usize,
}

/// It lies here until an engine shares it: an allocation of its own would be far from the processor at each turn.
enum Linked {
    Own(Link),
    Shared(Arc<Link>),
}

impl Deref for Linked {
    type Target = Link;

    fn deref(&self) -> &Link {
        match self {
            Self::Own(link) => link,
            Self::Shared(link) => link,
        }
    }
}

#[derive(Default)]
struct Replay {
    bytes: [u8; PREFACE.len()],
    filled: u8,
    taken: u8,
}

/// What a peer has to take of what is written to it within the stall limit, or what is left of that if it is less. One
/// that takes a byte now and then must not keep what it is given alive.
pub(crate) const ENOUGH: usize = 4 * 1024;

struct Blocked {
    since: Instant,
    /// What it has taken since.
    taken: usize,
}

/// What the first bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sniffed {
    Http1,
    Http2,
    /// The peer left, or said nothing for too long.
    Closed,
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

impl<IO> Watched<IO> {
    pub(crate) fn new(io: IO, context: Arc<ConnectionContext>) -> Self {
        let link = Linked::Own(Link::new());
        Self {
            io: ShareableIo::Own(io),
            waiting: (link.phase(), Instant::now()),
            link,
            timer: context.timers.timer(),
            context,
            blocked: None,
            replay: Replay::default(),
            unread: Bytes::new(),
            traffic: None,
            linger: LINGER_BYTES,
        }
    }

    /// What the service's side shares with this one.
    pub(crate) fn link(&self) -> &Link {
        &self.link
    }

    /// The same, for a service's side that keeps it.
    pub(crate) fn share_link(&mut self) -> Arc<Link> {
        let link = match std::mem::replace(&mut self.link, Linked::Own(Link::new())) {
            Linked::Own(link) => Arc::new(link),
            Linked::Shared(link) => link,
        };
        self.link = Linked::Shared(Arc::clone(&link));
        link
    }

    /// Gives back what was read; the next read has it again.
    pub(crate) fn unread(&mut self, bytes: Bytes) {
        self.unread = bytes;
    }

    fn read_deadline(&mut self) -> Option<(Instant, Overdue)> {
        let phase = self.link.phase();
        let (limit, overdue) = match phase.stage() {
            Stage::Busy => return None,
            Stage::Head => (self.context.settings.head, Overdue::Head),
            Stage::Idle if self.link.is_draining() => {
                (self.context.settings.keep_alive.min(DRAINING_IDLE), Overdue::Idle)
            }
            Stage::Idle => (self.context.settings.keep_alive, Overdue::Idle),
        };
        if self.waiting.0 != phase {
            self.waiting = (phase, Instant::now());
        }
        Some((self.waiting.1 + limit, overdue))
    }

    /// Waits for the next deadline beside whatever the caller waits for.
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

impl<IO: AsyncRead + Unpin> Watched<IO> {
    /// Reads until the protocol is known. The bytes are kept and read again.
    pub(crate) fn poll_sniff(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Sniffed>> {
        loop {
            let filled = usize::from(self.replay.filled);
            if filled == PREFACE.len() {
                // From here on h2 watches over its own idleness.
                self.link.unwatch();
                self.traffic = Some(Box::new(Traffic::new(self.context.settings.max_control_frames)));
                return Poll::Ready(Ok(Sniffed::Http2));
            }
            // No further than the preface, so that one read too many is never waited for.
            let mut bytes = [0; PREFACE.len()];
            let mut buf = ReadBuf::new(&mut bytes[..PREFACE.len() - filled]);
            std::task::ready!(self.poll_read_watched(cx, &mut buf))?;
            let read = buf.filled();
            if read.is_empty() {
                // What has come is no whole request, so there is nobody to answer.
                return Poll::Ready(Ok(Sniffed::Closed));
            }
            let end = filled + read.len();
            self.replay.bytes[filled..end].copy_from_slice(read);
            // At most 24.
            self.replay.filled = u8::try_from(end).unwrap_or(0);
            if self.replay.bytes[..end] != PREFACE[..end] {
                return Poll::Ready(Ok(Sniffed::Http1));
            }
        }
    }

    fn poll_read_watched(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // What is read makes work. A connection that is about to end has to see all that has come.
        if budget::is_over() && !self.link.is_draining() {
            return budget::poll_go_on(cx).map(Ok);
        }
        if self.traffic.is_some() { self.poll_read_frames(cx, buf) } else { self.poll_read_bytes(cx, buf) }
    }

    #[inline]
    fn poll_read_bytes(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        match Pin::new(&mut self.io).poll_read(cx, buf) {
            Poll::Ready(Ok(())) => {
                let read = &buf.filled()[before..];
                if !read.is_empty() {
                    self.link.read(read);
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

    /// Reads HTTP/2: its frames are counted, and what h2 is to read in place of them is left.
    #[inline(never)]
    fn poll_read_frames(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.link.is_overrun() {
            // What more it sends is not looked at. The connection is told in this very turn.
            return Poll::Pending;
        }
        let before = buf.filled().len();
        loop {
            std::task::ready!(self.poll_read_bytes(cx, buf))?;
            let Some(traffic) = &mut self.traffic else { return Poll::Ready(Ok(())) };
            if buf.filled().len() == before {
                return Poll::Ready(Ok(()));
            }
            let received = traffic.receive(&buf.filled()[before..], self.link.push());
            received.push.into_iter().for_each(|push| self.link.set_push(push));
            if received.frames == Allowed::No {
                self.link.overrun();
            }
            buf.set_filled(before + received.plain);
            self.unread = received.rest.into();
            // Otherwise it was a part of a frame's head, which is kept until it is whole.
            if received.plain > 0 || !self.unread.is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Watched<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let (taken, filled) = (usize::from(this.replay.taken), usize::from(this.replay.filled));
        if taken == filled {
            if this.unread.is_empty() {
                let before = buf.filled().len();
                std::task::ready!(this.poll_read_watched(cx, buf))?;
                if buf.filled().len() > before {
                    return Poll::Ready(Ok(()));
                }
            }
            // Empty at the end of the connection only.
            let count = buf.remaining().min(this.unread.len());
            buf.put_slice(&this.unread.split_to(count));
            return Poll::Ready(Ok(()));
        }
        let count = buf.remaining().min(filled - taken);
        buf.put_slice(&this.replay.bytes[taken..taken + count]);
        // At most 24.
        this.replay.taken = u8::try_from(taken + count).unwrap_or(u8::MAX);
        if buf.remaining() > 0 && taken + count == filled {
            // Usually the rest of the head is here too; reading it now spares a parse of a half. Whatever else this
            // says is said again at the next read.
            let _ = this.poll_read_watched(cx, buf);
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> Watched<IO> {
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

    /// Notes what a write made of it, or waits no longer than the stall limit for [enough](ENOUGH).
    fn watch_write(
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
        self.watch(cx, progress)
    }

    /// The same for what is over only when nothing is left to be taken.
    fn watch_flush(&mut self, cx: &mut Context<'_>, progress: Poll<io::Result<()>>) -> Poll<io::Result<()>> {
        if progress.is_ready() {
            self.blocked = None;
        }
        self.watch(cx, progress)
    }

    fn watch<T>(&mut self, cx: &mut Context<'_>, progress: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if progress.is_ready() {
            if self.link.is_blocked() {
                self.link.set_blocked(false);
            }
            return progress;
        }
        self.link.set_blocked(true);
        if self.blocked.is_none() {
            self.blocked = Some(Blocked { since: Instant::now(), taken: 0 });
        }
        match self.poll_overdue(cx) {
            Poll::Ready(Overdue::Write) => Poll::Ready(Err(timed_out("the peer takes too few bytes"))),
            // The next read says it.
            Poll::Ready(Overdue::Idle | Overdue::Head) | Poll::Pending => Poll::Pending,
        }
    }

    /// Writes a 103 that the service has left, if there is one.
    fn poll_interim(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.link.interim_rest() {
            let written = Pin::new(&mut self.io).poll_write(cx, &rest);
            let count = std::task::ready!(self.watch_write(cx, written))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.link.interim_written(count);
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Send + Unpin + 'static> Watched<IO> {
    /// The socket, for somebody who writes to it while this does not. Who cannot leaves it to this, which then notices
    /// whether bytes move.
    pub(crate) fn share(&mut self) -> Weak<SharedWriter> {
        self.io.share()
    }
}

impl<IO: AsyncWrite + Unpin> Watched<IO> {
    /// Ready when the socket has all that was given to it. Says whether that ended an answer; who does not read next
    /// is to start the idle clock then.
    pub(crate) fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        std::task::ready!(self.watch_flush(cx, flushed))?;
        Poll::Ready(Ok(self.link.flushed()))
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = this.poll_write_in_turn(cx, bytes.len(), |io, cx| io.poll_write(cx, bytes));
        if let (Some(traffic), Poll::Ready(Ok(count))) = (&mut this.traffic, &written) {
            this.link.wrote_promises(traffic.send(&bytes[..*count]));
        }
        this.watch_write(cx, written)
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
        this.watch_write(cx, written)
    }

    /// Not for HTTP/2: where it may, h2 sends every DATA frame of 256 bytes or more in a write of its own instead of
    /// joining the frames of many streams.
    fn is_write_vectored(&self) -> bool {
        !self.link.is_unwatched() && self.io.is_write_vectored()
    }

    /// hyper flushes only when all it had is written, and in the same turn in which it polled the service: the moment
    /// at which an interim answer can go out between two answers, and at which an answer is done.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        std::task::ready!(this.poll_interim(cx))?;
        if std::task::ready!(this.poll_written(cx))? {
            // hyper has tried to read already, before the answer, and waits to be woken: the idle clock has to be
            // started here. It has only just begun, so it cannot be over.
            let _ = this.poll_overdue(cx);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.linger == LINGER_BYTES {
            let closed = Pin::new(&mut this.io).poll_shutdown(cx);
            std::task::ready!(this.watch_flush(cx, closed))?;
            if !this.link.may_send_on() {
                return Poll::Ready(Ok(()));
            }
            this.timer.set(Instant::now() + LINGER);
        }
        // What the peer sent before it heard of the end.
        let mut bytes = [0; 1024];
        while this.linger > 0 {
            let mut buf = ReadBuf::new(&mut bytes);
            match Pin::new(&mut this.io).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {
                    this.linger = this.linger.saturating_sub(buf.filled().len());
                }
                Poll::Ready(_) => break,
                Poll::Pending => {
                    // No longer the initial value, so that the next call goes on here.
                    this.linger = this.linger.min(LINGER_BYTES - 1);
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
