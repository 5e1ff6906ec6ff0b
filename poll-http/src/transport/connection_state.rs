//! What the two sides of a connection tell each other: the IO wrapper below the protocol and the service above it.
//!
//! The protocol library in between shows neither to the other. The service says when a request begins and ends, so that
//! the wrapper knows which deadline holds; the wrapper says what only the bytes tell. One small allocation a connection,
//! nothing but stores on the way of a request.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};

use crate::message::body::Written;
use crate::message::connection_info::PushPolicy;

/// Shared between a connection's IO wrapper and its service.
///
/// Only the connection's own task touches it, so every ordering is relaxed; it is atomic because a connection may be
/// served on a runtime that moves tasks between threads.
pub(crate) struct Link {
    /// A [`Phase`].
    phase: AtomicU32,
    /// The last four bytes read, newest lowest.
    tail: AtomicU32,
    /// Something was read since the last time somebody asked.
    heard: AtomicBool,
    /// What an HTTP/2 peer's settings said of push.
    push: AtomicU8,
    /// The server drains.
    draining: AtomicBool,
    /// An HTTP/2 peer went over its budget of control frames.
    overrun: AtomicBool,
    /// The last write to an HTTP/2 peer did not go through.
    blocked: AtomicBool,
    /// Promises that were written to an HTTP/2 peer.
    promised: AtomicU32,
    /// There is something in `interim`: spares the lock on each flush.
    has_interim: AtomicBool,
    /// There is something in `interim.written`.
    has_written: AtomicBool,
    /// For a 103 on HTTP/1.1, which is rare. Held for a move, never over a wake or an await.
    interim: Mutex<Interim>,
}

#[derive(Default)]
struct Interim {
    rest: Bytes,
    waker: Option<Waker>,
    /// For the flush that ends an answer.
    written: Option<Written>,
}

/// A stage of a connection, with a number that tells one stay in it from the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Phase(u32);

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The peer may ask, or not.
    Idle,
    /// The peer has begun a head and owes the rest.
    Head,
    /// A request is being answered, or the protocol watches for itself.
    Busy,
}

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

/// No request; bytes after the last one show in the tail.
const IDLE: u32 = 0;
/// No request after one with a body, where the tail tells nothing: the idle deadline covers what may have begun.
const IDLE_AFTER_BODY: u32 = 1;
const HEAD: u32 = 2;
const BUSY: u32 = 3;
const BUSY_WITH_BODY: u32 = 4;
/// The answer is handed over, but not all written: a slow reader is not an idle one.
const WRITING: u32 = 5;
const WRITING_AFTER_BODY: u32 = 6;
const UNWATCHED: u32 = 7;
/// The stage is the remainder, the stay the quotient.
const STAGES: u32 = 8;

const PUSH_UNKNOWN: u8 = 0;
const PUSH_POSSIBLE: u8 = 1;
const PUSH_OFF: u8 = 2;

const HEAD_END: u32 = u32::from_be_bytes(*b"\r\n\r\n");

impl Phase {
    pub(crate) fn stage(self) -> Stage {
        match self.0 % STAGES {
            IDLE | IDLE_AFTER_BODY => Stage::Idle,
            HEAD => Stage::Head,
            _ => Stage::Busy,
        }
    }

    /// Another stage of the same stay.
    fn turned(self, stage: u32) -> Self {
        Self(self.0 - self.0 % STAGES + stage)
    }
}

impl Link {
    pub(crate) fn new() -> Self {
        Self {
            phase: AtomicU32::new(IDLE),
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

    /// The phase now. What a peer has sent of its next head while a request was answered counts once that is done.
    pub(crate) fn phase(&self) -> Phase {
        let phase = Phase(self.phase.load(Ordering::Relaxed));
        if phase.0 % STAGES == IDLE && !ends_head(self.tail.load(Ordering::Relaxed)) {
            return phase.turned(HEAD);
        }
        phase
    }

    /// `bytes`, not empty, were read.
    pub(crate) fn read(&self, bytes: &[u8]) {
        let phase = self.phase();
        if phase.stage() == Stage::Idle {
            self.phase.store(phase.turned(HEAD).0, Ordering::Relaxed);
        }
        let last = &bytes[bytes.len().saturating_sub(4)..];
        let tail =
            last.iter().fold(self.tail.load(Ordering::Relaxed), |tail, &byte| tail << 8 | u32::from(byte));
        self.tail.store(tail, Ordering::Relaxed);
        self.heard.store(true, Ordering::Relaxed);
    }

    /// A whole head was read, and its answer begins.
    pub(crate) fn begin(&self, carries: Carries) {
        let stage = match carries {
            Carries::Nothing => BUSY,
            Carries::Body => BUSY_WITH_BODY,
        };
        let phase = Phase(self.phase.load(Ordering::Relaxed));
        self.phase.store(phase.turned(stage).0, Ordering::Relaxed);
    }

    /// The answer has been handed over whole; `written` is to be done once it is written.
    pub(crate) fn end_with(&self, written: Option<Written>) {
        if let Some(written) = written {
            self.when_written(written);
        }
        self.end();
    }

    fn end(&self) {
        let phase = Phase(self.phase.load(Ordering::Relaxed));
        let stage = if phase.0 % STAGES == BUSY_WITH_BODY { WRITING_AFTER_BODY } else { WRITING };
        self.phase.store(phase.turned(stage).0.wrapping_add(STAGES), Ordering::Relaxed);
    }

    /// All that was handed over is written. Says whether that ended an answer.
    pub(crate) fn flushed(&self) -> bool {
        let phase = Phase(self.phase.load(Ordering::Relaxed));
        let stage = match phase.0 % STAGES {
            WRITING => IDLE,
            WRITING_AFTER_BODY => IDLE_AFTER_BODY,
            _ => return false,
        };
        self.phase.store(phase.turned(stage).0, Ordering::Relaxed);
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

    /// From here on the protocol watches over idleness and heads itself.
    pub(crate) fn unwatch(&self) {
        self.phase.store(UNWATCHED, Ordering::Relaxed);
    }

    pub(crate) fn is_unwatched(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == UNWATCHED
    }

    /// Whether the peer may send on when we end: it does not know yet that we do, is in the middle of a request that will
    /// not be read to its end, or speaks HTTP/2, where frames may come at any time.
    pub(crate) fn may_send_on(&self) -> bool {
        let stage = self.phase().0 % STAGES;
        self.is_draining()
            || matches!(stage, HEAD | BUSY_WITH_BODY | WRITING_AFTER_BODY | IDLE_AFTER_BODY | UNWATCHED)
    }

    /// Whether anything was read since this was last asked.
    pub(crate) fn take_heard(&self) -> bool {
        self.heard.swap(false, Ordering::Relaxed)
    }

    /// What the peer's settings say of push; `None` before they came.
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

    /// The server drains: who does not ask soon is not waited for.
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

    /// Whether the socket takes bytes.
    pub(crate) fn set_blocked(&self, blocked: bool) {
        self.blocked.store(blocked, Ordering::Relaxed);
    }

    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked.load(Ordering::Relaxed)
    }

    /// So many more promises are written.
    pub(crate) fn wrote_promises(&self, count: u32) {
        if count > 0 {
            self.promised.fetch_add(count, Ordering::Relaxed);
        }
    }

    pub(crate) fn promised(&self) -> u32 {
        self.promised.load(Ordering::Relaxed)
    }

    /// Leaves a 103 for the wrapper to write.
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

/// Whether bytes that end so end a head: an empty line after the end of another. Bare LF counts, as it does for hyper.
fn ends_head(tail: u32) -> bool {
    tail & 0x00FF_FFFF == HEAD_END & 0x00FF_FFFF || tail & 0xFFFF == u32::from(u16::from_be_bytes(*b"\n\n"))
}
