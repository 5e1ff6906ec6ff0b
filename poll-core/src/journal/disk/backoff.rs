//! How long a part of the journal leaves its file alone after a failure.

use std::time::Duration;

use tokio::time::Instant;

/// How often to check whether a file that is open can be written again.
pub(super) const CHECK: Duration = Duration::from_millis(250);
/// The longest time between two attempts.
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// When the last failure was, and how many came in short succession before it.
#[derive(Debug, Default)]
pub(super) struct Backoff(Option<(Instant, u32)>);

impl Backoff {
    /// Records a failure; returns whether another one came shortly before.
    pub(super) fn failed(&mut self) -> bool {
        let now = Instant::now();
        let again = self.0.filter(|(last, _)| now.duration_since(*last) < 2 * MAX_PAUSE);
        self.0 = Some((now, again.map_or(0, |(_, times)| times + 1)));
        again.is_some()
    }

    /// Whether the file was left alone for long enough.
    pub(super) fn is_over(&self) -> bool {
        self.0.is_none_or(|(last, _)| last.elapsed() >= self.pause())
    }

    /// How long to leave the file alone.
    pub(super) fn pause(&self) -> Duration {
        let times = self.0.map_or(0, |(_, times)| times);
        (Duration::from_millis(50) * 2u32.saturating_pow(times.min(10))).min(MAX_PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_longest_pause_stays_the_longest() {
        let mut backoff = Backoff::default();
        for _ in 0..20 {
            backoff.failed();
            tokio::time::sleep(backoff.pause()).await;
        }
        assert!(backoff.failed());
        assert_eq!(backoff.pause(), MAX_PAUSE);
    }
}
