//! Limits on the data that an HTTP/2 peer leaves unread.
//!
//! Two amounts are limited: data in h2 that the socket has not accepted, past which streams with more to send take turns; and
//! data of responses blocked by a window or the socket, past which nothing more is rendered for the connection and new
//! requests are refused. Both limits shrink as the memory account fills up, so many connections together stay within it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use poll_core::{Charge, Kind, Memory};

use crate::message::connection_info::Unread;
use crate::transport::connection_state::ConnectionState;
use crate::transport::http2::wait_queue::{Ticket, WaitQueue};

/// How much of a connection's data h2 may hold beyond what the socket accepted, in bytes: a millisecond of a fast network,
/// after which h2 polls for more in the same turn.
const QUEUED: usize = 256 * 1024;
/// The same where there is no memory left: two frames.
const LEAST_QUEUED: usize = 32 * 1024;
/// What responses may hold that were ready at once or wait for their turn, before no more requests are read: whether the
/// peer takes any of them is known only when they are sent.
const MADE: usize = 256 * 1024;
/// What unread responses of one connection may hold in any case.
const LEAST_HELD: usize = 64 * 1024;
/// One connection may have this part of what is left of the account for responses.
const PART: u64 = 8;
/// The overhead of a response that waits for its peer.
const A_STREAM: usize = 1_024;
/// What h2 holds of one stream's data before it is written, which is also what a stream may be expected to send in a
/// turn. A stream whose reader is slow costs this and no more.
pub(super) const SEND_BUFFER: usize = 64 * 1024;

/// See the [module](self).
pub(super) struct Backlog {
    state: Arc<ConnectionState>,
    memory: Memory,
    /// In h2 and not on the socket.
    queued: AtomicUsize,
    /// Held for streams whose window is shut.
    windows: AtomicUsize,
    /// Held for streams that wait for the socket: unless it is full, not beyond this poll.
    socket: AtomicUsize,
    /// For what is held.
    charge: Mutex<Charge>,
    /// Streams that wait to hand over what they have.
    turns: Arc<WaitQueue>,
    /// Streams for which nothing is rendered for now.
    pauses: Arc<WaitQueue>,
}

/// What a stream waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Awaits {
    Window,
    Socket,
}

/// What is held for one stream.
pub(super) struct Hold {
    backlog: Arc<Backlog>,
    kept: Kept,
    awaits: Awaits,
}

/// What a response holds for its reader alone, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) all: usize,
    /// The part that is not charged yet.
    pub(super) uncharged: usize,
}

/// Data on its way through h2, counted until the socket has it.
pub(super) struct Queued {
    bytes: Bytes,
    /// `None` where there is nothing to count.
    backlog: Option<Arc<Backlog>>,
}

impl Backlog {
    pub(super) fn new(state: Arc<ConnectionState>, memory: Memory) -> Arc<Self> {
        Arc::new(Self {
            state,
            queued: AtomicUsize::new(0),
            windows: AtomicUsize::new(0),
            socket: AtomicUsize::new(0),
            charge: Mutex::new(memory.charge_unbounded(Kind::Answers, 0)),
            turns: Arc::default(),
            pauses: Arc::default(),
            memory,
        })
    }

    /// Whether the socket is full.
    pub(super) fn is_socket_full(&self) -> bool {
        self.state.is_blocked()
    }

    /// Data to be passed to h2.
    pub(super) fn queue(self: &Arc<Self>, bytes: Bytes) -> Queued {
        self.queued.fetch_add(bytes.len(), Ordering::Relaxed);
        Queued { bytes, backlog: Some(self.clone()) }
    }

    /// How much more to pass to h2 now.
    pub(super) fn room(&self) -> usize {
        let queued = self.queued.load(Ordering::Relaxed);
        if queued < LEAST_QUEUED {
            return LEAST_QUEUED - queued;
        }
        QUEUED.min(self.part()).max(LEAST_QUEUED).saturating_sub(queued)
    }

    /// Ready when h2 should get more.
    pub(super) fn poll_turn(&self, cx: &mut Context<'_>, ticket: &mut Ticket) -> Poll<()> {
        if self.room() > 0 { ticket.ready() } else { self.turns.poll(cx, ticket) }
    }

    /// Ready when more may be rendered for this connection.
    pub(super) fn poll_pause(&self, cx: &mut Context<'_>, ticket: &mut Ticket) -> Poll<()> {
        if self.unread() == Unread::Little { ticket.ready() } else { self.pauses.poll(cx, ticket) }
    }

    /// Whether the peer leaves too much unread. Data that merely waits for its turn does not count.
    pub(super) fn unread(&self) -> Unread {
        let mut held = self.windows.load(Ordering::Relaxed);
        if self.state.is_blocked() {
            held += self.socket.load(Ordering::Relaxed);
        }
        if held < LEAST_HELD || held < self.part() { Unread::Little } else { Unread::TooMuch }
    }

    /// Whether so many bytes that were made, beside those that wait for their turn, are enough for now. Where the socket
    /// is full, more are made only as far as the peer may leave unread.
    pub(super) fn is_crowded(&self, made: usize) -> bool {
        let waiting = made + self.socket.load(Ordering::Relaxed);
        waiting >= MADE && !(made == 0 && self.state.is_blocked())
    }

    /// A connection's part of what is left of the account.
    fn part(&self) -> usize {
        let left = self.memory.bound(Kind::Answers).saturating_sub(self.memory.used(Kind::Answers));
        usize::try_from(left / PART).unwrap_or(usize::MAX)
    }

    /// Whether h2 holds data that it may not send, though the socket has room.
    pub(super) fn is_stuck(&self) -> bool {
        self.queued.load(Ordering::Relaxed) > 0 && !self.state.is_blocked()
    }

    /// Whether anything is left to write. h2 copies small pieces and drops them, so what a full socket has not taken may not
    /// be counted.
    pub(super) fn is_unsent(&self) -> bool {
        self.queued.load(Ordering::Relaxed) > 0 || self.state.is_blocked()
    }

    /// Wakes streams that may go on; returns whether there were any.
    pub(super) fn wake(&self) -> bool {
        let mut woken = false;
        if self.turns.is_taken() {
            woken |= self.turns.wake(self.room().div_ceil(SEND_BUFFER));
        }
        if self.pauses.is_taken() && self.unread() == Unread::Little {
            woken |= self.pauses.wake(A_FEW);
        }
        woken
    }

    fn counter(&self, awaits: Awaits) -> &AtomicUsize {
        match awaits {
            Awaits::Window => &self.windows,
            Awaits::Socket => &self.socket,
        }
    }

    fn charge(&self) -> MutexGuard<'_, Charge> {
        // Nothing in here panics half-way.
        self.charge.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many paused streams go on at once: each may hold as much again.
const A_FEW: usize = 16;

impl Hold {
    pub(super) fn new(backlog: Arc<Backlog>) -> Self {
        Self { backlog, kept: Kept::default(), awaits: Awaits::Socket }
    }

    /// Holds this for a stream that waits, in place of what was held.
    pub(super) fn set(&mut self, kept: Kept, awaits: Awaits) {
        let kept = Kept { all: kept.all + A_STREAM, uncharged: kept.uncharged + A_STREAM };
        if (self.kept, self.awaits) == (kept, awaits) {
            return;
        }
        self.release();
        (self.kept, self.awaits) = (kept, awaits);
        self.backlog.counter(awaits).fetch_add(kept.all, Ordering::Relaxed);
        self.backlog.charge().grow_unbounded(kept.uncharged as u64);
    }

    /// Holds nothing.
    pub(super) fn release(&mut self) {
        let kept = std::mem::take(&mut self.kept);
        if kept.all > 0 {
            self.backlog.counter(self.awaits).fetch_sub(kept.all, Ordering::Relaxed);
            self.backlog.charge().shrink(kept.uncharged as u64);
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.release();
    }
}

impl Queued {
    /// The end of a stream, after its data.
    pub(super) fn nothing() -> Self {
        Self { bytes: Bytes::new(), backlog: None }
    }

    fn count(&self, bytes: usize) {
        if let Some(backlog) = &self.backlog {
            backlog.queued.fetch_sub(bytes, Ordering::Relaxed);
        }
    }
}

impl Buf for Queued {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        self.count(count);
    }
}

impl Drop for Queued {
    /// Written, or dropped with its stream.
    fn drop(&mut self) {
        self.count(self.bytes.len());
    }
}
