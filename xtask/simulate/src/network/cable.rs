//! A client's end of one connection.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::random::Random;
use crate::trace;

/// One write in so many takes a while to pass…
const LATE: u64 = 4;
/// … of at most so many milliseconds.
const LATENCY: u64 = 4;

/// A connection as the network sees it. A clone is the same one.
#[derive(Clone)]
pub(super) struct Line(Arc<Mutex<State>>);

struct State {
    /// None once it was cut.
    stream: Option<DuplexStream>,
    /// Nothing passes before.
    stalled: Instant,
    /// The reading and the writing side.
    wakers: [Option<Waker>; 2],
}

/// See the [module](self).
pub(super) struct Cable {
    line: Line,
    random: Random,
    /// Nothing is read, or written, before.
    late: [Instant; 2],
    pauses: [Option<Pin<Box<Sleep>>>; 2],
    /// Whether what is written next is on its way.
    is_under_way: bool,
}

#[derive(Clone, Copy)]
enum Side {
    Read,
    Write,
}

impl Line {
    pub(super) fn new(stream: DuplexStream) -> Self {
        let state = State { stream: Some(stream), stalled: Instant::now(), wakers: [None, None] };
        Self(Arc::new(Mutex::new(state)))
    }

    pub(super) fn is_open(&self) -> bool {
        self.lock().stream.is_some()
    }

    pub(super) fn cut(&self) {
        let mut state = self.lock();
        let (stream, wakers) = (state.stream.take(), std::mem::take(&mut state.wakers));
        drop(state);
        drop(stream);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    pub(super) fn stall(&self, until: Instant) {
        let mut state = self.lock();
        state.stalled = until;
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cable {
    pub(super) fn new(line: Line, random: Random) -> Self {
        Self { line, random, late: [Instant::now(); 2], pauses: [None, None], is_under_way: false }
    }

    /// Waits until the connection passes something on that side.
    fn poll_passes(&mut self, side: Side, cx: &mut Context<'_>) -> Poll<()> {
        let side = side as usize;
        loop {
            let mut state = self.line.lock();
            let until = state.stalled.max(self.late[side]);
            if state.stream.is_none() || until <= Instant::now() {
                return Poll::Ready(());
            }
            // The stall may be ended, or the connection cut.
            state.wakers[side] = Some(cx.waker().clone());
            drop(state);
            let pause = self.pauses[side].get_or_insert_with(|| Box::pin(sleep_until(until)));
            if pause.deadline() != until {
                pause.as_mut().reset(until);
            }
            ready!(pause.as_mut().poll(cx));
        }
    }

    /// Does something with the connection, unless it was cut.
    fn poll_with<T>(
        &self,
        side: Side,
        cx: &mut Context<'_>,
        then: impl FnOnce(Pin<&mut DuplexStream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let mut state = self.line.lock();
        let state = &mut *state;
        let Some(stream) = &mut state.stream else {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        };
        let done = then(Pin::new(stream), cx);
        if done.is_pending() {
            state.wakers[side as usize] = Some(cx.waker().clone());
        }
        done
    }
}

impl AsyncRead for Cable {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_passes(Side::Read, cx));
        let before = buf.filled().len();
        let read = this.poll_with(Side::Read, cx, |stream, cx| stream.poll_read(cx, buf));
        if read.is_ready() {
            trace::record("read", (buf.filled().len() - before) as u64);
        }
        read
    }
}

impl AsyncWrite for Cable {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if !std::mem::replace(&mut this.is_under_way, true) && this.random.once_in(LATE) {
            let latency = Duration::from_millis(this.random.below(LATENCY));
            this.late[Side::Write as usize] = Instant::now() + latency;
        }
        ready!(this.poll_passes(Side::Write, cx));
        let written = this.poll_with(Side::Write, cx, |stream, cx| stream.poll_write(cx, bytes));
        if let Poll::Ready(written) = &written {
            this.is_under_way = false;
            trace::record("sent", written.as_ref().map_or(0, |count| *count as u64));
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_with(Side::Write, cx, AsyncWrite::poll_flush)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_with(Side::Write, cx, AsyncWrite::poll_shutdown)
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.line.cut();
    }
}
