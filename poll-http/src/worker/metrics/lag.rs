//! How long messages take to reach their readers: a histogram that records many observations at once.
//!
//! A broadcast delivers one message to thousands of readers at once; the library's histogram would lock and search its
//! buckets for each. Written out by the library's encoder like any other.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

/// The upper bound of the first bucket; that of each further one is twice as much. From a wake-up on the same machine…
const FIRST: Duration = Duration::from_micros(100);
/// … to a reader that was stalled: 13 s. One more bucket counts all above.
const BOUNDED: usize = 18;

/// The observed lags. A clone shares its original's counts.
#[derive(Debug, Clone, Default)]
pub(super) struct Lag(Arc<Counts>);

/// Observations by bucket, and the sum of all.
#[derive(Debug, Default)]
struct Counts {
    buckets: [AtomicU64; BOUNDED + 1],
    micros: AtomicU64,
}

impl Lag {
    /// Records `lag`, observed `count` times.
    pub(super) fn observe(&self, lag: Duration, count: u64) {
        let micros = u64::try_from(lag.as_micros()).unwrap_or(u64::MAX);
        self.0.buckets[bucket(micros)].fetch_add(count, Ordering::Relaxed);
        self.0.micros.fetch_add(micros.saturating_mul(count), Ordering::Relaxed);
    }
}

/// The bucket of a number of microseconds.
fn bucket(micros: u64) -> usize {
    let first = FIRST.as_micros() as u64;
    let doublings = u64::BITS - (micros.saturating_sub(1) / first).leading_zeros();
    (doublings as usize).min(BOUNDED)
}

impl EncodeMetric for Lag {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let mut bound = FIRST.as_secs_f64();
        let mut buckets = [(f64::INFINITY, 0); BOUNDED + 1];
        for (index, (bucket, count)) in buckets.iter_mut().zip(&self.0.buckets).enumerate() {
            if index < BOUNDED {
                bucket.0 = bound;
                bound *= 2.0;
            }
            bucket.1 = count.load(Ordering::Relaxed);
        }
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = Duration::from_micros(self.0.micros.load(Ordering::Relaxed)).as_secs_f64();
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
    use prometheus_client::registry::Registry;

    use super::*;

    #[test]
    fn it_reads_as_the_librarys_does() {
        let (ours, theirs) = (Lag::default(), Histogram::new(exponential_buckets(0.0001, 2.0, 18)));
        let mut micros: Vec<u64> = vec![0, 1, 60_000_000];
        micros.extend((0..20).flat_map(|power| [99, 100, 101].map(|micros| micros << power)));
        for micros in micros {
            let lag = Duration::from_micros(micros);
            ours.observe(lag, 3);
            (0..3).for_each(|_| theirs.observe(lag.as_secs_f64()));
        }
        let (mut one, mut other) = (Registry::default(), Registry::default());
        one.register("lag", "Help", ours);
        other.register("lag", "Help", theirs);
        let text = |registry| {
            let mut text = String::new();
            encode(&mut text, registry).unwrap();
            // Sums of floating numbers differ in their last digits.
            text.lines().filter(|line| !line.contains("_sum")).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(text(&one), text(&other));
    }
}
