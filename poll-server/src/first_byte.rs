//! How long a new connection may stay silent: for as long as there is room for more.
//!
//! What: the wait for a connection's first byte, with a timeout once nine tenths of all connections are in use.
//! Why: a silent connection does no harm until the last ones are wanted; then it is the first to go.
//! Not here: timeouts of connections that have sent something (poll-http).

use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use poll_http::Cut;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::connection_limit::{ConnectionLimit, Registration};

/// How long the first byte may take while connections are scarce.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The wait for a connection's first byte.
#[derive(Debug)]
pub(crate) struct FirstByte {
    limit: ConnectionLimit,
    since: Instant,
    /// Among those that are woken when connections become scarce.
    registration: Option<Registration>,
    /// While connections are scarce.
    timer: Option<Pin<Box<Sleep>>>,
}

impl FirstByte {
    /// Begins now.
    pub(crate) fn new(limit: ConnectionLimit) -> Self {
        Self { limit, since: Instant::now(), registration: None, timer: None }
    }

    /// Ready when the connection has to be closed.
    pub(crate) fn poll_timeout(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            // Register before looking, so that connections becoming scarce in between is not missed.
            if self.timer.is_none() {
                self.register(cx.waker());
                if !self.limit.is_scarce() {
                    return Poll::Pending;
                }
                self.timer = Some(Box::pin(sleep_until(self.since + TIMEOUT)));
            }
            if let Some(timer) = &mut self.timer {
                ready!(timer.as_mut().poll(cx));
            }
            self.timer = None;
            if self.limit.is_scarce() {
                self.limit.cut(Cut::FirstByte);
                return Poll::Ready(());
            }
        }
    }

    fn register(&mut self, waker: &Waker) {
        self.unregister();
        self.registration = Some(self.limit.register_silent(waker));
    }

    fn unregister(&mut self) {
        if let Some(registration) = self.registration.take() {
            self.limit.unregister(registration);
        }
    }
}

impl Drop for FirstByte {
    fn drop(&mut self) {
        self.unregister();
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::Arc;

    use poll_http::Metrics;

    use super::*;
    use crate::connection_limit::{Bounds, OpenConnection};

    fn limit(max: usize) -> ConnectionLimit {
        let bounds = Bounds { max, per_address: usize::MAX, proxies: Vec::new() };
        ConnectionLimit::new(bounds, Metrics::new())
    }

    fn open(limit: &ConnectionLimit) -> OpenConnection {
        limit.open(IpAddr::V4(Ipv4Addr::LOCALHOST), &Arc::default()).unwrap()
    }

    async fn ends(mut first_byte: FirstByte) -> Duration {
        poll_fn(|cx| first_byte.poll_timeout(cx)).await;
        first_byte.since.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn without_scarcity_a_connection_may_stay_silent() {
        let limit = limit(10);
        let _open: Vec<OpenConnection> = (0..8).map(|_| open(&limit)).collect();
        let waiting = tokio::time::timeout(Duration::from_secs(3_600), ends(FirstByte::new(limit)));
        assert!(waiting.await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_connection_has_two_seconds_in_all_once_connections_are_scarce() {
        let limit = limit(10);
        let mut open_ones: Vec<OpenConnection> = (0..8).map(|_| open(&limit)).collect();
        let early = tokio::spawn(ends(FirstByte::new(limit.clone())));
        tokio::time::sleep(Duration::from_secs(1)).await;
        let later = tokio::spawn(ends(FirstByte::new(limit.clone())));
        tokio::task::yield_now().await;
        open_ones.push(open(&limit));
        assert_eq!(early.await.unwrap().as_secs(), 2);
        assert_eq!(later.await.unwrap().as_secs(), 2);
        let mut long_silent = FirstByte::new(limit);
        long_silent.since -= Duration::from_secs(60);
        assert_eq!(ends(long_silent).await.as_secs(), 60, "at once");
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_connection_spared_by_a_close_has_to_hurry_at_the_next_crowd() {
        let limit = limit(10);
        let mut open_ones: Vec<OpenConnection> = (0..9).map(|_| open(&limit)).collect();
        let silent = tokio::spawn(ends(FirstByte::new(limit.clone())));
        tokio::time::sleep(Duration::from_secs(1)).await;
        open_ones.pop();
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(!silent.is_finished());
        open_ones.push(open(&limit));
        assert_eq!(silent.await.unwrap().as_secs(), 61);
    }
}
