//! How long to wait before a retry, so that many clients do not return as one herd.
//!
//! Full jitter: the n-th wait is random between zero and `base · 2ⁿ`, at most `cap`. It is added to a `Retry-After`,
//! because all clients were told the same. Sleeping, and deciding what is a failure, are the caller's.

use std::time::Duration;

use rand::RngExt;

/// Bounds on the waits between attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackoffSettings {
    /// The first wait is at most this long. Default 1 s.
    pub base: Duration,
    /// A jittered wait is at most this long. Default 30 s.
    pub cap: Duration,
    /// How many retries in a row may fail before the error is returned; `None`, the default, means no limit.
    pub max_retries: Option<u32>,
}

impl BackoffSettings {
    /// A longer `Retry-After` counts as this long, in case of a mistyped date.
    pub const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);
}

impl Default for BackoffSettings {
    fn default() -> Self {
        Self { base: Duration::from_secs(1), cap: Duration::from_secs(30), max_retries: None }
    }
}

/// Counts failures in a row and computes the waits.
#[derive(Debug, Clone)]
pub struct Backoff {
    settings: BackoffSettings,
    failures: u32,
}

impl Backoff {
    /// No failure yet.
    #[must_use]
    pub const fn new(settings: BackoffSettings) -> Self {
        Self { settings, failures: 0 }
    }

    /// After a success: the next failure is the first again.
    pub const fn reset(&mut self) {
        self.failures = 0;
    }

    /// Raises the first wait to the server's reconnection time (`retry:` of server-sent events).
    pub fn raise_base(&mut self, base: Duration) {
        self.settings.base = self.settings.base.max(base).min(self.settings.cap);
    }

    /// Counts a failure and returns how long to wait, or `None` once `max_retries` are used up.
    pub fn failed(&mut self, retry_after: Option<Duration>) -> Option<Duration> {
        if self.settings.max_retries.is_some_and(|max| self.failures >= max) {
            return None;
        }
        let jittered = full_jitter(self.ceiling());
        self.failures = self.failures.saturating_add(1);
        let told = retry_after.unwrap_or_default().min(BackoffSettings::LONGEST_RETRY_AFTER);
        Some(told + jittered)
    }

    /// The maximum of the next jittered wait.
    #[must_use]
    pub fn ceiling(&self) -> Duration {
        let doubled = 1u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        self.settings.base.saturating_mul(doubled).min(self.settings.cap)
    }
}

/// Uniformly random from zero to `ceiling`.
fn full_jitter(ceiling: Duration) -> Duration {
    ceiling.mul_f64(rand::rng().random_range(0.0..=1.0))
}

/// `interval`, up to 10 % shorter or longer, so that clients started together drift apart.
pub(crate) fn around(interval: Duration) -> Duration {
    interval.mul_f64(rand::rng().random_range(0.9..=1.1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_herd_spreads_evenly_over_the_whole_ceiling() {
        for (failures, ceiling) in [(0, 1.0), (3, 8.0), (9, 30.0)] {
            let mut tenths = [0u32; 10];
            for _ in 0..20_000 {
                let mut backoff = Backoff { settings: BackoffSettings::default(), failures };
                let wait = backoff.failed(None).unwrap().as_secs_f64();
                tenths[((wait / ceiling * 10.0) as usize).min(9)] += 1;
            }
            // 2,000 expected in each; 1,600 is nine standard deviations away.
            assert!(tenths.iter().all(|&count| (1_600..2_400).contains(&count)), "{failures}: {tenths:?}");
        }
    }

    #[test]
    fn clients_that_were_told_the_same_second_do_not_come_in_it_together() {
        let told = Duration::from_secs(5);
        let waits: Vec<_> = (0..1_000)
            .map(|_| Backoff::new(BackoffSettings::default()).failed(Some(told)).unwrap())
            .collect();
        assert!(waits.iter().all(|&wait| wait >= told && wait <= told + Duration::from_secs(1)));
        let early = waits.iter().filter(|&&wait| wait < told + Duration::from_millis(500)).count();
        assert!((350..650).contains(&early), "{early} of 1,000 in the first half");
    }

    #[test]
    fn retries_run_out_and_a_success_gives_them_back() {
        let mut backoff = Backoff::new(BackoffSettings { max_retries: Some(2), ..Default::default() });
        assert!(backoff.failed(None).is_some() && backoff.failed(None).is_some());
        assert_eq!(backoff.failed(None), None);
        backoff.reset();
        assert!(backoff.failed(None).is_some());
    }

    proptest! {
        #[test]
        fn no_wait_leaves_its_bounds(base in 0u64..100_000, cap in 0u64..100_000, failures in 0usize..70, told: Option<u64>) {
            let settings = BackoffSettings {
                base: Duration::from_millis(base),
                cap: Duration::from_millis(cap),
                max_retries: None,
            };
            let mut backoff = Backoff::new(settings);
            for _ in 0..failures {
                backoff.failed(None);
            }
            let told = told.map(Duration::from_secs);
            let least = told.unwrap_or_default().min(BackoffSettings::LONGEST_RETRY_AFTER);
            let wait = backoff.failed(told).unwrap();
            prop_assert!(wait >= least && wait <= least + settings.cap);
        }

        #[test]
        fn an_interval_drifts_by_a_tenth_at_most(millis in 1u64..100_000) {
            let interval = Duration::from_millis(millis);
            let drifted = around(interval);
            prop_assert!(drifted >= interval.mul_f64(0.899) && drifted <= interval.mul_f64(1.101));
        }
    }
}
