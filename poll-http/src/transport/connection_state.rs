//! The state of a connection that its socket and its protocol share.
//!
//! The protocol library in between shows neither side to the other. The protocol says when a request begins and when its
//! response ends, so that the socket's wrapper ([`timed_io`](crate::transport::timed_io)) knows which deadline applies;
//! the wrapper says what only the bytes tell. A request costs a few stores.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};

use crate::message::body::Written;
use crate::message::connection_info::PushPolicy;

/// Shared by a connection's [`TimedIo`](crate::transport::timed_io::TimedIo) and its protocol.
///
/// Only the connection's own task touches it, so every ordering is relaxed; it is atomic because a connection may be
/// served on a runtime that moves tasks between threads.
pub(crate) struct ConnectionState {
    /// A [`Stay`].
    stay: AtomicU32,
    /// The last four bytes read, newest lowest.
    tail: AtomicU32,
    /// The peer has sent or taken something since [`take_heard`](Self::take_heard) was last called.
    heard: AtomicBool,
    /// Whether an HTTP/2 peer's settings allow push.
    push: AtomicU8,
    /// The server is draining.
    draining: AtomicBool,
    /// An HTTP/2 peer went over its budget of control frames.
    overrun: AtomicBool,
    /// The socket did not accept the last write.
    blocked: AtomicBool,
    /// PUSH_PROMISE frames that were written.
    promised: AtomicU32,
    /// There is something in `interim`: spares the lock on each flush.
    has_interim: AtomicBool,
    /// There is something in `interim.written`.
    has_written: AtomicBool,
    /// Locked for a move only, never across a wake or an await.
    interim: Mutex<Interim>,
}

#[derive(Default)]
struct Interim {
    /// What is left to write of a 103 (HTTP/1.1).
    rest: Bytes,
    waker: Option<Waker>,
    /// Called by the flush that ends a response.
    written: Option<Written>,
}

/// What a connection waits for, which decides the deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The next request, if there is one.
    Idle,
    /// The rest of a request's head.
    Head,
    /// A response, or whatever a protocol with deadlines of its own waits for.
    Busy,
}

/// One stay in a phase: a number tells it from the next stay in the same phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stay(u32);

/// Whether a request has a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carries {
    Nothing,
    Body,
}

impl Carries {
    pub(crate) fn of(content: &[u8]) -> Self {
        if content.is_empty() { Self::Nothing } else { Self::Body }
    }
}

/// No request; that a next head has begun shows in the tail.
const IDLE: u32 = 0;
/// No request after one with a body, where the tail tells nothing: the idle deadline covers a head that may have begun.
const IDLE_AFTER_BODY: u32 = 1;
const HEAD: u32 = 2;
const BUSY: u32 = 3;
const BUSY_WITH_BODY: u32 = 4;
/// The response is handed over, but not all written: a slow reader is not idle.
const WRITING: u32 = 5;
const WRITING_AFTER_BODY: u32 = 6;
/// HTTP/2 keeps its own deadlines.
const UNTIMED: u32 = 7;
/// A stay is a multiple of this and one of the numbers above.
const STEP: u32 = 8;

const PUSH_UNKNOWN: u8 = 0;
const PUSH_POSSIBLE: u8 = 1;
const PUSH_OFF: u8 = 2;

const HEAD_END: u32 = u32::from_be_bytes(*b"\r\n\r\n");

impl Stay {
    pub(crate) fn phase(self) -> Phase {
        match self.0 % STEP {
            IDLE | IDLE_AFTER_BODY => Phase::Idle,
            HEAD => Phase::Head,
            _ => Phase::Busy,
        }
    }

    /// The same stay with another of the numbers above.
    fn turned(self, number: u32) -> Self {
        Self(self.0 - self.0 % STEP + number)
    }
}

impl ConnectionState {
    pub(crate) fn new() -> Self {
        Self {
            stay: AtomicU32::new(IDLE),
            tail: AtomicU32::new(HEAD_END),
            heard: AtomicBool::new(false),
            push: AtomicU8::new(PUSH_UNKNOWN),
            draining: AtomicBool::new(false),
            overrun: AtomicBool::new(false),
            blocked: AtomicBool::new(false),
            promised: AtomicU32::new(0),
            has_interim: AtomicBool::new(false),
            has_written: AtomicBool::new(false),
            interim: Mutex::default(),
        }
    }

    /// The current stay. What a peer sends of its next head during a response counts once that has ended.
    pub(crate) fn stay(&self) -> Stay {
        let stay = self.last_stay();
        if stay.0 % STEP == IDLE && !ends_head(self.tail.load(Ordering::Relaxed)) {
            return stay.turned(HEAD);
        }
        stay
    }

    /// Whether no request has begun since the last response was written.
    pub(crate) fn is_between_requests(&self) -> bool {
        self.last_stay().phase() == Phase::Idle
    }

    fn last_stay(&self) -> Stay {
        Stay(self.stay.load(Ordering::Relaxed))
    }

    /// `bytes`, not empty, were read.
    pub(crate) fn read(&self, bytes: &[u8]) {
        let stay = self.stay();
        if stay.phase() == Phase::Idle {
            self.stay.store(stay.turned(HEAD).0, Ordering::Relaxed);
        }
        let last = &bytes[bytes.len().saturating_sub(4)..];
        let tail =
            last.iter().fold(self.tail.load(Ordering::Relaxed), |tail, &byte| tail << 8 | u32::from(byte));
        self.tail.store(tail, Ordering::Relaxed);
        self.heard.store(true, Ordering::Relaxed);
    }

    /// A whole head was read.
    pub(crate) fn begin(&self, carries: Carries) {
        let number = match carries {
            Carries::Nothing => BUSY,
            Carries::Body => BUSY_WITH_BODY,
        };
        self.stay.store(self.last_stay().turned(number).0, Ordering::Relaxed);
    }

    /// The whole response has been handed over; `written` is called once the socket has it.
    pub(crate) fn end_with(&self, written: Option<Written>) {
        if let Some(written) = written {
            self.when_written(written);
        }
        self.end();
    }

    fn end(&self) {
        let stay = self.last_stay();
        let number = if stay.0 % STEP == BUSY_WITH_BODY { WRITING_AFTER_BODY } else { WRITING };
        self.stay.store(stay.turned(number).0.wrapping_add(STEP), Ordering::Relaxed);
    }

    /// All that was handed over is written. Returns whether that ended a response.
    pub(crate) fn flushed(&self) -> bool {
        let stay = self.last_stay();
        let number = match stay.0 % STEP {
            WRITING => IDLE,
            WRITING_AFTER_BODY => IDLE_AFTER_BODY,
            _ => return false,
        };
        self.stay.store(stay.turned(number).0, Ordering::Relaxed);
        if self.has_written.load(Ordering::Relaxed) {
            self.has_written.store(false, Ordering::Relaxed);
            let written = self.interim().written.take();
            written.into_iter().for_each(|written| written());
        }
        true
    }

    fn when_written(&self, written: Written) {
        self.interim().written = Some(written);
        self.has_written.store(true, Ordering::Relaxed);
    }

    /// From here on the protocol keeps its own deadlines for what the peer sends.
    pub(crate) fn leave_reads_untimed(&self) {
        self.stay.store(UNTIMED, Ordering::Relaxed);
    }

    /// Whether the peer may still be sending when we close: it does not know yet that we do, is in the middle of a request
    /// that will not be read to its end, or speaks HTTP/2, where frames may come at any time.
    pub(crate) fn may_send_on(&self) -> bool {
        let number = self.stay().0 % STEP;
        self.is_draining()
            || matches!(number, HEAD | BUSY_WITH_BODY | WRITING_AFTER_BODY | IDLE_AFTER_BODY | UNTIMED)
    }

    /// Whether the peer has sent anything since the last call, or made room in a full socket.
    pub(crate) fn take_heard(&self) -> bool {
        self.heard.swap(false, Ordering::Relaxed)
    }

    /// Whether the peer's SETTINGS allow push; `None` before they arrive.
    pub(crate) fn push(&self) -> Option<PushPolicy> {
        match self.push.load(Ordering::Relaxed) {
            PUSH_POSSIBLE => Some(PushPolicy::Possible),
            PUSH_OFF => Some(PushPolicy::Off),
            _ => None,
        }
    }

    pub(crate) fn set_push(&self, push: PushPolicy) {
        let value = match push {
            PushPolicy::Possible => PUSH_POSSIBLE,
            PushPolicy::Off => PUSH_OFF,
        };
        self.push.store(value, Ordering::Relaxed);
    }

    /// The server is draining: the next request is not waited for as long.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// The peer has sent more control frames than it may.
    pub(crate) fn overrun(&self) {
        self.overrun.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_overrun(&self) -> bool {
        self.overrun.load(Ordering::Relaxed)
    }

    /// The socket accepts no bytes.
    pub(crate) fn block(&self) {
        self.blocked.store(true, Ordering::Relaxed);
    }

    /// It does again, because its peer has taken some.
    pub(crate) fn unblock(&self) {
        self.blocked.store(false, Ordering::Relaxed);
        self.heard.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked.load(Ordering::Relaxed)
    }

    /// So many more PUSH_PROMISE frames were written.
    pub(crate) fn wrote_promises(&self, count: u32) {
        if count > 0 {
            self.promised.fetch_add(count, Ordering::Relaxed);
        }
    }

    pub(crate) fn promised(&self) -> u32 {
        self.promised.load(Ordering::Relaxed)
    }

    /// Leaves a 103 for the socket's wrapper to write.
    pub(crate) fn offer_interim(&self, head: Bytes) {
        self.interim().rest = head;
        self.has_interim.store(true, Ordering::Relaxed);
    }

    /// Ready when the 103 is written.
    pub(crate) fn poll_interim(&self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.has_interim.load(Ordering::Relaxed) {
            return Poll::Ready(());
        }
        let replaced = self.interim().waker.replace(cx.waker().clone());
        drop(replaced);
        Poll::Pending
    }

    /// What is to be written of the 103.
    pub(crate) fn interim_rest(&self) -> Option<Bytes> {
        if self.has_interim.load(Ordering::Relaxed) { Some(self.interim().rest.clone()) } else { None }
    }

    /// `count` bytes of it are written.
    pub(crate) fn interim_written(&self, count: usize) {
        let mut interim = self.interim();
        let count = count.min(interim.rest.len());
        interim.rest.advance(count);
        if !interim.rest.is_empty() {
            return;
        }
        let waker = interim.waker.take();
        drop(interim);
        self.has_interim.store(false, Ordering::Relaxed);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn interim(&self) -> MutexGuard<'_, Interim> {
        // Nothing in here panics half-way.
        self.interim.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether bytes that end so end a head: an empty line after another line. A bare LF counts, as it does for hyper.
fn ends_head(tail: u32) -> bool {
    tail & 0x00FF_FFFF == HEAD_END & 0x00FF_FFFF || tail & 0xFFFF == u32::from(u16::from_be_bytes(*b"\n\n"))
}
