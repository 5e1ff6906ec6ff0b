//! How long to wait before asking again, so that many clients do not come back as one herd.
//!
//! Full jitter: the n-th wait is anywhere between nothing and `base · 2ⁿ`, at most `cap`. Whoever was told when to
//! come back (`Retry-After`) waits that long **and** a jittered wait on top, because everyone else was told the same.
//!
//! What it leaves alone: sleeping, and what counts as a failure.

use std::time::Duration;

use rand::RngExt;

/// Bounds of the waits between tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackoffSettings {
    /// The first wait is at most this long. Default 1 s.
    pub base: Duration,
    /// No jittered wait is longer than this. Default 30 s.
    pub cap: Duration,
    /// Tries in a row that may fail before the last error is given to the caller; `None`, the default, is no bound.
    pub max_retries: Option<u32>,
}

impl BackoffSettings {
    /// A `Retry-After` beyond this counts as this: nobody sleeps until a date mistyped by a year.
    pub const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);
}

impl Default for BackoffSettings {
    fn default() -> Self {
        Self { base: Duration::from_secs(1), cap: Duration::from_secs(30), max_retries: None }
    }
}

/// Failures in a row, and the waits they call for.
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

    /// Something went well: the next failure is the first again.
    pub const fn reset(&mut self) {
        self.failures = 0;
    }

    /// The server names its own pace (`retry:` of server-sent events): the first wait may be as long as that.
    pub fn raise_base(&mut self, base: Duration) {
        self.settings.base = self.settings.base.max(base).min(self.settings.cap);
    }

    /// Counts a failure and says how long to wait, or `None` when `max_retries` are used up.
    pub fn failed(&mut self, retry_after: Option<Duration>) -> Option<Duration> {
        if self.settings.max_retries.is_some_and(|max| self.failures >= max) {
            return None;
        }
        let jittered = full_jitter(self.ceiling());
        self.failures = self.failures.saturating_add(1);
        let told = retry_after.unwrap_or_default().min(BackoffSettings::LONGEST_RETRY_AFTER);
        Some(told + jittered)
    }

    /// The longest that the next jittered wait can be.
    #[must_use]
    pub fn ceiling(&self) -> Duration {
        let doubled = 1u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        self.settings.base.saturating_mul(doubled).min(self.settings.cap)
    }
}

/// Anywhere from nothing to `ceiling`, all equally likely.
fn full_jitter(ceiling: Duration) -> Duration {
    ceiling.mul_f64(rand::rng().random_range(0.0..=1.0))
}

/// `interval`, up to a tenth shorter or longer, so that clients started together drift apart.
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
    fn those_who_were_told_the_same_second_do_not_come_in_it_together() {
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
