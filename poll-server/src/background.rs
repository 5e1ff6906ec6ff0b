//! Background tasks: expiry, and the demonstration publisher.
//!
//! What: two endless futures for the acceptor's thread.
//! Why there: it is idle between connections, so no worker's waiters are held up.
//! Not here: what expiry drops (poll-core).

use std::time::Duration;

use poll_core::environment::Environment;
use poll_core::{ChannelName, Payload, Publish, Store};
use poll_http::Service;
use tokio::time::MissedTickBehavior;

/// How often some of the channels are swept…
const SWEEP_INTERVAL: Duration = Duration::from_millis(100);
/// … and how many: a million channels take under a minute, and each sweep a few milliseconds at most. What is read in between
/// is expired by its readers.
const SWEEP_CHANNELS: usize = 2_048;

/// Drops what is too old, forever.
pub(crate) async fn sweep(store: Store, environment: Environment) {
    let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        store.sweep(environment.now(), SWEEP_CHANNELS);
        store.tend(environment.now()).await;
    }
}

/// Keeps presence and subscriptions, where there are any.
pub(crate) async fn keep(service: Service) {
    tokio::join!(service.keep_presence(), service.run_subscriptions());
}

/// Publishes `Broadcast message #n` to the channel `default`, forever.
pub(crate) async fn demonstrate(store: Store, environment: Environment, interval: Duration) {
    let Ok(channel) = ChannelName::parse("default") else { return };
    for number in 1_u64.. {
        tokio::time::sleep(interval).await;
        let text = Payload::text(format!("Broadcast message #{number}"));
        if let Err(error) = store.publish(environment.now(), &channel, Publish::one(text)).await {
            tracing::warn!(%error, "the demonstration could not publish: {error}");
        }
    }
}
