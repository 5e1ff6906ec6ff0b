//! How long a worker is busy before it looks at its sockets again, as a histogram of processor time.
//!
//! What: the thread's processor time from the end of one turn of its event loop to the end of the next.
//! Why per turn: reading that clock for every poll of a connection would cost 1 % of it, and what others wait for is the whole
//! turn. Why processor time: it leaves out what other programs on the machine take.
//! Not here: what a turn may cost and when it ends (poll-http).

use std::cell::Cell;
use std::time::Duration;

use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use rustix::time::{ClockId, clock_gettime};

/// Upper bounds of the buckets, in seconds. A turn should take no more than 20 ms.
const BUCKETS: [f64; 10] = [0.000_1, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 1.0];

/// The turns of all workers. Clones count together.
#[derive(Clone, Debug)]
pub(crate) struct TurnHistogram(Histogram);

impl TurnHistogram {
    pub(crate) fn new() -> Self {
        Self(Histogram::new(BUCKETS))
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        let help = "Processor time of a worker between two looks at its sockets";
        registry.register("poll_worker_turn_seconds", help, self.0.clone());
    }

    /// Measures the turns of this thread from now on.
    pub(crate) fn observe_this_thread(&self) {
        let (histogram, last) = (self.0.clone(), Cell::new(used()));
        poll_http::watch_turns(move || {
            let now = used();
            histogram.observe(now.saturating_sub(last.replace(now)).as_secs_f64());
        });
    }
}

/// Processor time that this thread has used.
fn used() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_lasts_from_end_to_end() {
        let turns = TurnHistogram::new();
        turns.observe_this_thread();
        poll_http::end_turn();
        poll_http::end_turn();
        let mut registry = Registry::default();
        turns.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        assert!(text.contains("poll_worker_turn_seconds_count 2"), "{text}");
    }
}
