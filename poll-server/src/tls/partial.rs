//! A record of which a part is here: how long the rest may take, and when it gives way.
//!
//! What: ready with an error when the record takes too long, or others need its memory more.
//! Not here: reading it (`stream.rs`), and which of those that are unfinished gives way (`unfinished.rs`).

use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use poll_http::{Timer, Timers};
use tokio::time::Instant;

use super::unfinished::{self, Place, Unfinished};

/// How long a record may take from its first byte to its end, and how long it may hold memory that others want.
pub(super) struct Partial {
    pub(super) waits: Waits,
    /// While a part of one is here. Boxed: connections that wait have none.
    pub(super) here: Option<Box<(Timer, Place)>>,
}

/// What a connection needs to wait for the rest of a record.
pub(super) struct Waits {
    pub(super) timers: Timers,
    pub(super) limit: Duration,
    pub(super) unfinished: Unfinished,
}

impl Partial {
    /// Ready, with an error, when the rest of a record does not come, or the part that is here has to give way.
    pub(super) fn poll_over(&mut self, held: u64, cx: &mut Context<'_>) -> Poll<io::Error> {
        if held == 0 {
            return Poll::Pending;
        }
        let Waits { timers, limit, unfinished } = &self.waits;
        let here = self.here.get_or_insert_with(|| {
            let mut timer = timers.timer();
            timer.set(Instant::now() + *limit);
            Box::new((timer, unfinished.begin(cx)))
        });
        let (timer, place) = &mut **here;
        if place.poll_displaced(held, cx).is_ready() {
            return Poll::Ready(unfinished::displaced());
        }
        timer.poll(cx).map(|()| io::Error::new(io::ErrorKind::TimedOut, "a TLS record took too long"))
    }
}
