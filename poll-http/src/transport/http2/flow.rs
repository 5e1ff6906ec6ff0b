//! Sends bytes on one stream as its windows allow and its turn among the connection's streams comes.

use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::{Reason, SendStream};
use tokio::time::Instant;

use crate::transport::http2::backlog::{Awaits, Backlog, Hold, Kept, Queued, SEND_BUFFER};
use crate::transport::http2::wait_queue::Ticket;
use crate::transport::timed_io::ENOUGH;
use crate::worker::timer_wheel::{Timer, Timers};

/// How long a stream is held whose response is sent and whose request has not ended.
const LINGER: Duration = Duration::from_secs(1);

/// A stream's sending side with the bytes that come next.
pub(super) struct Flow {
    stream: SendStream<Queued>,
    rest: Bytes,
    /// While the window is too small. A peer that does not open it far enough within the stall limit loses the stream.
    stalled: Option<Stalled>,
    backlog: Arc<Backlog>,
    /// Its place in the queue for h2.
    ticket: Ticket,
    /// What it last waited for of its peer.
    awaits: Awaits,
    hold: Hold,
}

struct Stalled {
    timer: Timer,
    /// What the window has let through since the timer was set.
    taken: usize,
}

impl Stalled {
    fn new(deadlines: &Timers, time: Duration) -> Self {
        let mut timer = deadlines.timer();
        timer.set(Instant::now() + time);
        Self { timer, taken: 0 }
    }
}

/// Whether anything follows the bytes that are being sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Last {
    Yes,
    No,
}

/// The stream is gone: reset by the peer, or by us because its window stayed shut.
pub(super) struct Gone;

impl Flow {
    pub(super) fn new(stream: SendStream<Queued>, backlog: &Arc<Backlog>) -> Self {
        Self {
            stream,
            rest: Bytes::new(),
            stalled: None,
            backlog: Arc::clone(backlog),
            ticket: Ticket::default(),
            awaits: Awaits::Socket,
            hold: Hold::new(Arc::clone(backlog)),
        }
    }

    /// Queues the next bytes; none may be left of the last ones.
    pub(super) fn give(&mut self, bytes: Bytes) {
        self.rest = bytes;
    }

    pub(super) fn is_sent(&self) -> bool {
        self.rest.is_empty()
    }

    /// How many bytes the peer's windows admit now, up to `wanted`.
    pub(super) fn room(&mut self, wanted: usize) -> usize {
        self.stream.reserve_capacity(wanted.min(SEND_BUFFER));
        let room = self.stream.capacity();
        // Released: the next data reserves its own.
        self.stream.reserve_capacity(0);
        room
    }

    /// Hands over what fits at once.
    pub(super) fn send_some(&mut self, last: Last) -> Result<(), Gone> {
        while !self.rest.is_empty() {
            let most = self.rest.len().min(SEND_BUFFER).min(self.backlog.room());
            if most == 0 {
                return Ok(());
            }
            self.stream.reserve_capacity(most);
            let room = self.stream.capacity().min(most);
            if room == 0 {
                return Ok(());
            }
            let part = self.rest.split_to(room);
            let end = last == Last::Yes && self.rest.is_empty();
            self.stream.send_data(self.backlog.queue(part), end).map_err(|_| Gone)?;
            if let Some(stalled) = &mut self.stalled {
                stalled.taken += room;
                if stalled.taken >= ENOUGH {
                    self.stalled = None;
                }
            }
        }
        Ok(())
    }

    /// Hands over all of it as its turn comes and the windows open.
    pub(super) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        last: Last,
        deadlines: &Timers,
        stall: Duration,
    ) -> Poll<Result<(), Gone>> {
        loop {
            if self.send_some(last).is_err() {
                return Poll::Ready(Err(Gone));
            }
            if self.rest.is_empty() {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_turn(cx))?;
            ready!(self.poll_capacity(cx, deadlines, stall))?;
        }
    }

    /// Ready when the next bytes would be handed over, so that they need not be made before.
    pub(super) fn poll_room(
        &mut self,
        cx: &mut Context<'_>,
        deadlines: &Timers,
        stall: Duration,
    ) -> Poll<Result<(), Gone>> {
        ready!(self.poll_turn(cx))?;
        self.stream.reserve_capacity(1);
        if self.stream.capacity() > 0 {
            return Poll::Ready(Ok(()));
        }
        self.poll_capacity(cx, deadlines, stall)
    }

    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        if self.backlog.poll_turn(cx, &mut self.ticket).is_ready() {
            return Poll::Ready(Ok(()));
        }
        self.awaits = Awaits::Socket;
        self.poll_gone(cx).map(|()| Err(Gone))
    }

    fn poll_capacity(
        &mut self,
        cx: &mut Context<'_>,
        deadlines: &Timers,
        stall: Duration,
    ) -> Poll<Result<(), Gone>> {
        match self.stream.poll_capacity(cx) {
            Poll::Ready(Some(Ok(_))) => return Poll::Ready(Ok(())),
            Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(Err(Gone)),
            Poll::Pending => self.awaits = Awaits::Window,
        }
        loop {
            let stalled = self.stalled.get_or_insert_with(|| Stalled::new(deadlines, stall));
            ready!(stalled.timer.poll(cx));
            if !self.backlog.is_socket_full() {
                self.cancel();
                return Poll::Ready(Err(Gone));
            }
            // The socket is full, so the data may not even have been sent. That has a deadline of its own.
            self.stalled = None;
        }
    }

    /// Charges what is held while the stream waits for its peer.
    pub(super) fn hold(&mut self, kept: Kept) {
        self.hold.set(kept, self.awaits);
    }

    /// The peer has read everything.
    pub(super) fn all_taken(&mut self) {
        self.stalled = None;
        self.hold.release();
    }

    /// Ends the stream after what was sent.
    pub(super) fn end(&mut self) {
        // An empty final frame is no trap (only non-final ones count against a peer's budget); an error means that the
        // stream has ended already.
        let _ = self.stream.send_data(Queued::nothing(), true);
    }

    /// Once all is sent: ready when the request has had its time to end, or the stream is gone.
    pub(super) fn poll_linger(&mut self, cx: &mut Context<'_>, deadlines: &Timers) -> Poll<()> {
        let lingers = self.stalled.get_or_insert_with(|| Stalled::new(deadlines, LINGER));
        if lingers.timer.poll(cx).is_ready() { Poll::Ready(()) } else { self.poll_gone(cx) }
    }

    pub(super) fn cancel(&mut self) {
        self.stream.send_reset(Reason::CANCEL);
    }

    pub(super) fn abort(&mut self) {
        self.stream.send_reset(Reason::INTERNAL_ERROR);
    }

    /// Ready when the peer has reset the stream or the connection is gone.
    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.stream.poll_reset(cx).map(|_| ())
    }
}
