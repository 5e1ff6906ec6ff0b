//! When a certificate is renewed, and when a failure is tried again. Times are since the epoch.

use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// How often the authority is asked for a renewal window, unless it says how often (RFC 9773, section 4.3.2).
pub(super) const ASK_EVERY: Duration = Duration::from_secs(6 * 3600);

/// When the authority would like a certificate to be renewed (RFC 9773).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) start: Duration,
    pub(super) end: Duration,
}

/// Why there is no certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The authority was not reached, or could not answer. Trying again costs it little.
    Away,
    /// It said no, or could not validate the name. Let's Encrypt accepts five of these an hour.
    Refused,
    /// Something else, here or there. It may have cost the authority as much.
    Failed,
}

/// When a certificate is renewed that is valid in this time and whose authority has no window: at two thirds.
pub(super) fn renewal(from: Duration, until: Duration) -> Duration {
    from + until.saturating_sub(from) * 2 / 3
}

impl Window {
    /// A moment in it, chosen by `random`, but not so late that the certificate could expire first.
    pub(super) fn moment(self, from: Duration, until: Duration, random: u64) -> Duration {
        let length = self.end.saturating_sub(self.start);
        let latest = from + until.saturating_sub(from) * 9 / 10;
        (self.start + share(length, random)).min(latest)
    }
}

/// How long until the authority is asked for the window again.
pub(super) fn ask_again(told: Duration) -> Duration {
    told.clamp(MINUTE, 4 * ASK_EVERY)
}

/// How long until a failure is tried again, being one of `failures` in a row: twice as long each time, and up to a fifth
/// longer by `random`, so that servers that failed together do not come together.
pub(super) fn retry(kind: Kind, failures: u32, random: u64) -> Duration {
    let (first, most) = match kind {
        Kind::Away => (Duration::from_secs(5), 10 * MINUTE),
        Kind::Refused | Kind::Failed => (2 * MINUTE, 6 * HOUR),
    };
    let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
    let delay = first.saturating_mul(doubled).min(most);
    delay + share(delay / 5, random)
}

/// A part of `whole`, all equally likely.
fn share(whole: Duration, random: u64) -> Duration {
    let seconds = whole.as_secs_f64() * (random as f64 / u64::MAX as f64);
    Duration::from_secs_f64(seconds).min(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn a_certificate_of_ninety_days_is_renewed_after_sixty() {
        assert_eq!(renewal(1_000 * DAY, 1_090 * DAY), 1_060 * DAY);
        assert_eq!(renewal(9 * DAY, 3 * DAY), 9 * DAY, "nonsense is due");
    }

    #[test]
    fn a_moment_is_in_the_window_and_before_the_end() {
        let window = Window { start: 50 * DAY, end: 52 * DAY };
        let moment = |random| window.moment(Duration::ZERO, 90 * DAY, random);
        assert_eq!((moment(0), moment(u64::MAX)), (50 * DAY, 52 * DAY));
        assert!((50 * DAY..52 * DAY).contains(&moment(u64::MAX / 3)));
        assert_eq!(window.moment(Duration::ZERO, 10 * DAY, 7), 9 * DAY);
        let nonsense = Window { start: 50 * DAY, end: 3 * DAY };
        assert_eq!(nonsense.moment(Duration::ZERO, 90 * DAY, 7), 50 * DAY);
        let for_ever = Window { start: Duration::MAX / 2, end: Duration::MAX / 2 };
        assert_eq!(for_ever.moment(Duration::ZERO, 90 * DAY, 7), 81 * DAY);
        assert_eq!([Duration::ZERO, HOUR, Duration::MAX].map(ask_again), [MINUTE, HOUR, DAY]);
    }

    #[test]
    fn refusals_stay_within_five_an_hour_and_outages_are_soon_over() {
        let all = |kind, random| (1..=40).map(move |failures| retry(kind, failures, random));
        let refused: Vec<Duration> = all(Kind::Refused, 0).collect();
        assert!(refused.iter().take(5).sum::<Duration>() >= HOUR, "{refused:?}");
        assert_eq!(refused[39], 6 * HOUR);
        let away: Vec<Duration> = all(Kind::Away, 0).collect();
        assert_eq!((away[0], away[39]), (Duration::from_secs(5), 10 * MINUTE));
        for (least, most) in all(Kind::Away, 0).zip(all(Kind::Away, u64::MAX)) {
            assert!(most > least && most <= least * 6 / 5);
        }
    }
}
