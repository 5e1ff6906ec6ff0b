//! How long a worker takes from being woken by a publish to its first delivery.
//!
//! One wake is measured at a time: the first waiter of exactly that wake to run ends it with the delivery that follows. So a
//! wake costs its publisher a clock reading at most, and its waiters one load each, however many they are; and a delivery that
//! another wake led to is never taken for this one's, which on a busy worker would always look fast. The waiters of a list that
//! polls share ([`ListFeed`](poll_core::ListFeed)) do not know their wake, which then is not measured.

use std::sync::atomic::{AtomicU64, Ordering};

use poll_core::{Wake, WakeWatch};
use prometheus_client::metrics::histogram::Histogram;
use tokio::time::Instant;

/// No wake is measured, and no time is known. Wakes are never 0, and times begin with 1.
const NONE: u64 = 0;
/// One is about to be.
const BEGINNING: u64 = u64::MAX;

/// Measures the wakes of one worker.
pub(super) struct WakeToWrite {
    histogram: Histogram,
    /// What times are counted from.
    base: Instant,
    /// The wake that is measured.
    wake: AtomicU64,
    /// When it was, in nanoseconds.
    woken_at: AtomicU64,
    /// The same, once its waiter runs.
    running_since: AtomicU64,
}

impl WakeToWrite {
    pub(super) fn new(histogram: Histogram) -> Self {
        let base = Instant::now();
        let (wake, woken_at, running_since) = (NONE.into(), NONE.into(), NONE.into());
        Self { histogram, base, wake, woken_at, running_since }
    }

    fn now(&self) -> u64 {
        let nanos = self.base.elapsed().as_nanos();
        u64::try_from(nanos).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// Whether this was the one that is measured, which now is no longer.
    fn ends(&self, wake: Wake) -> bool {
        let number = wake.number().get();
        // Its first waiter mostly runs on the one thread of the worker; anywhere else only one may end it.
        self.wake.load(Ordering::Acquire) == number
            && self.wake.compare_exchange(number, BEGINNING, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// The waiter that runs was given a message.
    pub(super) fn handed_over(&self) {
        if self.running_since.load(Ordering::Relaxed) != NONE {
            let since = self.running_since.swap(NONE, Ordering::Relaxed);
            if since != NONE {
                self.histogram.observe(self.now().saturating_sub(since) as f64 / 1e9);
            }
        }
    }
}

impl WakeWatch for WakeToWrite {
    fn woken(&self, wake: Wake) {
        // A load first: while a wake is measured, those that follow leave the cache line where it is.
        if self.wake.load(Ordering::Relaxed) == NONE
            && self.wake.compare_exchange(NONE, BEGINNING, Ordering::Acquire, Ordering::Relaxed).is_ok()
        {
            self.woken_at.store(self.now(), Ordering::Relaxed);
            // What ran before was given nothing.
            self.running_since.store(NONE, Ordering::Relaxed);
            self.wake.store(wake.number().get(), Ordering::Release);
        }
    }

    fn resumed(&self, wake: Wake) {
        if self.ends(wake) {
            self.running_since.store(self.woken_at.load(Ordering::Relaxed), Ordering::Relaxed);
            self.wake.store(NONE, Ordering::Release);
        } else if self.running_since.load(Ordering::Relaxed) != NONE {
            // The waiter before was given nothing, such as when its channel was closed.
            self.running_since.store(NONE, Ordering::Relaxed);
        }
    }

    fn left(&self, wake: Wake) {
        if self.ends(wake) {
            self.wake.store(NONE, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::sync::Arc;
    use std::task::{Context, Waker};

    use poll_core::{Lane, Payload, Position, Publish, Retention, Store, Timestamp, Wait};

    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_795_214_978_000_000);

    struct World {
        store: Store,
        lane: Lane,
        measured: Arc<WakeToWrite>,
        registry: prometheus_client::registry::Registry,
    }

    impl World {
        fn new() -> Self {
            let (histogram, mut registry) =
                (Histogram::new([1.0]), prometheus_client::registry::Registry::default());
            registry.register("wakes", "Help", histogram.clone());
            let measured = Arc::new(WakeToWrite::new(histogram));
            let store = Store::in_memory(Retention::default());
            Self { lane: store.lane().watched(measured.clone()), store, measured, registry }
        }

        /// Those at most a second, and all.
        fn counts(&self) -> [String; 2] {
            let mut text = String::new();
            prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
            let value =
                |sample: &str| text.lines().find_map(|line| line.strip_prefix(sample)).unwrap().to_owned();
            [value("wakes_bucket{le=\"1.0\"} "), value("wakes_count ")]
        }

        async fn waiter(&self, channel: &str) -> Wait {
            let channel = poll_core::ChannelName::parse(channel).unwrap();
            let pinned = self.store.pin(NOW, &channel, Position::End).await.unwrap();
            let mut wait = self.store.wait(&channel, &pinned, &self.lane);
            assert!(!is_ready(&mut wait));
            wait
        }

        async fn publish(&self, channel: &str) {
            let publish = Publish::one(Payload::text("x".to_owned()));
            self.store.publish(NOW, &poll_core::ChannelName::parse(channel).unwrap(), publish).await.unwrap();
        }
    }

    fn is_ready(wait: &mut Wait) -> bool {
        Pin::new(wait).poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    async fn pass() {
        tokio::time::advance(std::time::Duration::from_secs(10)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_its_own_waiters_are_given_ends_a_wake() {
        let world = World::new();
        let (mut a, mut b) = (world.waiter("a").await, world.waiter("b").await);
        world.publish("a").await;
        pass().await;
        world.publish("b").await;
        assert!(is_ready(&mut b));
        world.measured.handed_over();
        assert_eq!(world.counts(), ["0", "0"], "a is measured, and still waits for its turn");
        assert!(is_ready(&mut a));
        world.measured.handed_over();
        world.measured.handed_over();
        assert_eq!(world.counts(), ["0", "1"], "once, with all of its time");
    }

    #[tokio::test(start_paused = true)]
    async fn waiters_that_left_or_were_given_nothing_leave_no_trace() {
        let world = World::new();
        let left = world.waiter("a").await;
        world.publish("a").await;
        drop(left);
        let mut empty = world.waiter("a").await;
        world.publish("a").await;
        assert!(is_ready(&mut empty));
        pass().await;
        let mut given = world.waiter("a").await;
        world.publish("a").await;
        assert!(is_ready(&mut given));
        world.measured.handed_over();
        assert_eq!(world.counts(), ["1", "1"]);
    }
}
