//! How long a new connection may say nothing: for as long as there are sockets enough.
//!
//! What: the first wait of a connection, which ends early once nine tenths of all sockets are in use.
//! Why: a silent connection costs nobody anything until the last sockets are wanted; then it is the first that
//! can be spared.
//! Not here: deadlines of connections that have spoken (poll-http).

use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use poll_http::Cut;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::connection_limit::{Place, Sockets};

/// How long the first byte may take while sockets are scarce.
const FIRST_BYTE: Duration = Duration::from_secs(2);

/// A connection on which nothing was said.
#[derive(Debug)]
pub(crate) struct Silence {
    sockets: Sockets,
    since: Instant,
    /// Among those who are woken when sockets become scarce.
    place: Option<Place>,
    /// While they are.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Silence {
    /// Begins now.
    pub(crate) fn new(sockets: Sockets) -> Self {
        Self { sockets, since: Instant::now(), place: None, timer: None }
    }

    /// Ready when the connection is to be closed.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            // Register, then look: sockets that become scarce in between are heard.
            if self.timer.is_none() {
                self.register(cx.waker());
                if !self.sockets.is_scarce() {
                    return Poll::Pending;
                }
                self.timer = Some(Box::pin(sleep_until(self.since + FIRST_BYTE)));
            }
            if let Some(timer) = &mut self.timer {
                ready!(timer.as_mut().poll(cx));
            }
            self.timer = None;
            if self.sockets.is_scarce() {
                self.sockets.cut(Cut::FirstByte);
                return Poll::Ready(());
            }
        }
    }

    fn register(&mut self, waker: &Waker) {
        self.leave();
        self.place = Some(self.sockets.await_scarcity(waker));
    }

    fn leave(&mut self) {
        if let Some(place) = self.place.take() {
            self.sockets.leave(place);
        }
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::Arc;

    use poll_http::Metrics;

    use super::*;
    use crate::connection_limit::{Bounds, Held};

    fn sockets(most: usize) -> Sockets {
        Sockets::new(Bounds { most, per_address: usize::MAX, proxies: Vec::new() }, Metrics::new())
    }

    fn hold(sockets: &Sockets) -> Held {
        sockets.hold(IpAddr::V4(Ipv4Addr::LOCALHOST), &Arc::default()).unwrap()
    }

    async fn ends(mut silence: Silence) -> Duration {
        poll_fn(|cx| silence.poll(cx)).await;
        silence.since.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn while_there_are_sockets_enough_nobody_is_hurried() {
        let sockets = sockets(10);
        let _held: Vec<Held> = (0..8).map(|_| hold(&sockets)).collect();
        let waiting = tokio::time::timeout(Duration::from_secs(3_600), ends(Silence::new(sockets)));
        assert!(waiting.await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_silent_when_sockets_become_scarce_has_two_seconds_in_all() {
        let sockets = sockets(10);
        let mut held: Vec<Held> = (0..8).map(|_| hold(&sockets)).collect();
        let early = tokio::spawn(ends(Silence::new(sockets.clone())));
        tokio::time::sleep(Duration::from_secs(1)).await;
        let later = tokio::spawn(ends(Silence::new(sockets.clone())));
        tokio::task::yield_now().await;
        held.push(hold(&sockets));
        assert_eq!(early.await.unwrap().as_secs(), 2);
        assert_eq!(later.await.unwrap().as_secs(), 2);
        let mut long_silent = Silence::new(sockets);
        long_silent.since -= Duration::from_secs(60);
        assert_eq!(ends(long_silent).await.as_secs(), 60, "at once");
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_spared_by_a_close_is_hurried_by_the_next_crowd() {
        let sockets = sockets(10);
        let mut held: Vec<Held> = (0..9).map(|_| hold(&sockets)).collect();
        let silent = tokio::spawn(ends(Silence::new(sockets.clone())));
        tokio::time::sleep(Duration::from_secs(1)).await;
        held.pop();
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(!silent.is_finished());
        held.push(hold(&sockets));
        assert_eq!(silent.await.unwrap().as_secs(), 61);
    }
}
