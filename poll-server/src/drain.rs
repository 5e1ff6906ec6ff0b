//! Graceful shutdown: readiness off, no more connections, everyone answered, within the drain time.
//!
//! What: the steps after the first signal, and the time for each.
//! Why: waiting clients get a response with a cursor instead of a reset, and do not all reconnect at once.
//! Not here: what a draining connection does (poll-http).

use std::time::Duration;

use poll_core::Notifier;
use poll_http::Drain;

use crate::accept::Acceptor;
use crate::config::DrainTimes;
use crate::connection_limit::ConnectionLimit;

/// The time between responses to waiting clients: a thousand a second may reconnect, which any server can handle.
const SPREAD_EACH: Duration = Duration::from_millis(1);

/// The largest share of the drain time over which responses are spread; the rest is for the last ones to be read.
const SPREAD_SHARE: f64 = 0.8;

/// The time over which to spread the responses to `waiting` polls and streams.
fn spread(waiting: usize, total: Duration) -> Duration {
    let each = SPREAD_EACH.saturating_mul(u32::try_from(waiting).unwrap_or(u32::MAX));
    each.min(total.mul_f64(SPREAD_SHARE))
}

/// Drains, and returns how many connections had to be cut.
pub(crate) async fn run(
    drain: &Drain,
    mut acceptor: Acceptor,
    limit: &ConnectionLimit,
    notifier: &Notifier,
    times: DrainTimes,
) -> usize {
    drain.begin_unready();
    if !times.delay.is_zero() {
        let (seconds, delay) = (times.delay.as_secs_f64(), times.delay);
        tracing::info!(seconds, "not ready; connections are taken for another {delay:?}");
        let _elapsed = tokio::time::timeout(times.delay, acceptor.run()).await;
    }
    let (waiting, open) = (notifier.waiting(), limit.count());
    let spread = spread(waiting, times.total);
    tracing::info!(
        waiting,
        connections = open,
        seconds = times.total.as_secs_f64(),
        "draining: {waiting} polls and streams on {open} connections, answered within {spread:?}, ended within {:?}",
        times.total
    );
    drain.begin(spread);
    let all = async {
        acceptor.finish().await;
        limit.until_none().await;
    };
    let _elapsed = tokio::time::timeout(times.total, all).await;
    limit.count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_answered_quickly_and_many_within_the_drain_time() {
        let total = Duration::from_secs(10);
        assert_eq!(spread(0, total), Duration::ZERO);
        assert_eq!(spread(20, total), Duration::from_millis(20));
        assert_eq!(spread(1_000_000, total), Duration::from_secs(8));
        assert_eq!(spread(5, Duration::ZERO), Duration::ZERO);
    }
}
