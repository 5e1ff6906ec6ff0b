//! When to close an HTTP/2 connection: the peer is silent, or idle.
//!
//! One timer for both. A peer that sends a byte or makes room in a full socket is alive, which the IO wrapper records; only
//! a silent peer is sent a PING. While the socket is full, a PING would wait behind what the peer has yet to read, so the
//! deadline for writes has to find a dead one.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use h2::{Ping, PingPong};
use tokio::time::Instant;

use crate::transport::connection_state::ConnectionState;
use crate::transport::context::ConnectionContext;
use crate::worker::timer_wheel::Timer;

/// The liveness of one connection.
pub(super) struct Liveness {
    timer: Timer,
    state: Arc<ConnectionState>,
    context: Arc<ConnectionContext>,
    ping: Option<PingPong>,
    /// What `next` is the deadline for.
    awaits: Awaited,
    next: Instant,
    /// Since when there is no stream.
    idle: Option<Instant>,
    /// GOAWAY was sent: an idle connection will not be used again.
    closing: bool,
}

#[derive(Clone, Copy)]
enum Awaited {
    /// The peer's first SETTINGS are due.
    Settings,
    /// To be heard of until then.
    Listening,
    /// To answer a PING until then.
    Pinged,
}

/// Whether a connection has anything to do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Load {
    None,
    /// Or what they have left to be written.
    Streams,
}

/// What is to be done.
pub(super) enum Beat {
    /// A PING is queued.
    Ping,
    /// Send GOAWAY: unused for too long.
    Idle,
    /// It was sent and nothing is left, but the peer does not close.
    Closed,
    /// The peer is gone.
    Silent,
}

impl Liveness {
    pub(super) fn new(state: Arc<ConnectionState>, context: Arc<ConnectionContext>) -> Self {
        let (timer, next) = (context.timers.timer(), Instant::now() + context.settings.head);
        Self {
            timer,
            state,
            context,
            ping: None,
            awaits: Awaited::Settings,
            next,
            idle: None,
            closing: false,
        }
    }

    pub(super) fn take_ping(&mut self, ping: Option<PingPong>) {
        self.ping = ping;
    }

    /// GOAWAY was sent.
    pub(super) fn close(&mut self) {
        self.closing = true;
        self.idle = None;
    }

    /// A request came: idleness begins anew, even if it is answered before anyone looks.
    pub(super) fn used(&mut self) {
        self.idle = None;
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing
    }

    /// Ready when something is to be done. Polled in every turn of the connection.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, load: Load) -> Poll<Beat> {
        loop {
            let limit = if self.closing {
                self.context.settings.ping_timeout
            } else {
                self.context.settings.keep_alive
            };
            let idle_until = match load {
                Load::Streams => {
                    self.idle = None;
                    None
                }
                Load::None => Some(*self.idle.get_or_insert_with(Instant::now) + limit),
            };
            self.timer.set(idle_until.map_or(self.next, |until| until.min(self.next)));
            ready!(self.timer.poll(cx));
            let now = Instant::now();
            if idle_until.is_some_and(|until| until <= now) {
                if self.closing {
                    return Poll::Ready(Beat::Closed);
                }
                self.close();
                return Poll::Ready(Beat::Idle);
            }
            if let Some(beat) = self.listen(cx, now) {
                return Poll::Ready(beat);
            }
        }
    }

    fn listen(&mut self, cx: &mut Context<'_>, now: Instant) -> Option<Beat> {
        let heard = self.state.take_heard();
        let alive = match self.awaits {
            Awaited::Settings => self.state.push().is_some(),
            Awaited::Listening | Awaited::Pinged => heard || self.state.is_blocked(),
        };
        match (self.awaits, alive) {
            (_, true) => {
                self.awaits = Awaited::Listening;
                self.next = now + self.context.settings.ping_interval;
                None
            }
            (Awaited::Settings | Awaited::Pinged, false) => Some(Beat::Silent),
            (Awaited::Listening, false) => {
                self.awaits = Awaited::Pinged;
                self.next = now + self.context.settings.ping_timeout;
                let ping = self.ping.as_mut()?;
                // The answer to the last one has to be fetched before another is sent.
                let _ = ping.poll_pong(cx);
                // It fails when one is under way already, which does as well, or the connection is gone, which the
                // next turn finds out.
                let _ = ping.send_ping(Ping::opaque());
                Some(Beat::Ping)
            }
        }
    }
}
