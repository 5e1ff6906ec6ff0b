//! What runs beside the requests: expiry, and the demonstration publisher.
//!
//! What: two endless futures for the acceptor's thread.
//! Why there: it is idle between connections, and a worker's waiters are not held up.
//! Not here: what expiry drops (poll-core).

use std::time::Duration;

use poll_core::{ChannelName, Payload, Publish, Store};
use poll_http::Clock;
use tokio::time::MissedTickBehavior;

/// How often a slice of the channels is looked through…
const SWEEP_INTERVAL: Duration = Duration::from_millis(100);
/// … and how many of them: a million channels are seen through in under a minute, and a slice takes a few
/// milliseconds at most. Readers expire what they read by themselves.
const SWEEP_CHANNELS: usize = 2_048;

/// Drops what is too old, for ever.
pub(crate) async fn sweep(store: Store, clock: Clock) {
    let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        store.sweep(clock.now(), SWEEP_CHANNELS);
    }
}

/// Publishes `Broadcast message #n` to the channel `default`, for ever.
pub(crate) async fn demonstrate(store: Store, clock: Clock, interval: Duration) {
    let Ok(channel) = ChannelName::parse("default") else { return };
    for number in 1_u64.. {
        tokio::time::sleep(interval).await;
        let text = Payload::text(format!("Broadcast message #{number}"));
        if let Err(error) = store.publish(clock.now(), &channel, Publish::one(text)).await {
            tracing::warn!("the demonstration could not publish: {error}");
        }
    }
}
