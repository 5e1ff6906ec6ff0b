//! Points in time as this crate counts them: microseconds since the Unix epoch, always an argument.
//!
//! Nothing here reads a clock. [`Timestamp::of`] converts what the caller read.

use std::cell::Cell;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The Unix epoch itself.
    pub const ZERO: Self = Self(0);
    /// 9999-12-30T22:00:00.999999Z, the last moment every time zone can write in RFC 3339. Later ones count
    /// as this.
    pub const MAX: Self = Self(253_402_207_200_999_999);

    /// From microseconds since the Unix epoch.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        if micros > Self::MAX.0 { Self::MAX } else { Self(micros) }
    }

    /// From milliseconds since the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self::from_micros(millis.saturating_mul(1_000))
    }

    /// The last moment of a millisecond since the Unix epoch.
    #[must_use]
    pub const fn end_of_millis(millis: u64) -> Self {
        Self::from_micros(millis.saturating_mul(1_000).saturating_add(999))
    }

    /// What a clock showed; times before the Unix epoch count as the epoch.
    #[must_use]
    pub fn of(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::from_micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
    }

    /// Microseconds since the Unix epoch.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000
    }

    /// Seconds since the Unix epoch; exact to the microsecond until the year 2255.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "53 bits hold microseconds until 2255")]
    pub fn as_seconds(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// The next distinct moment.
    #[must_use]
    pub const fn next(self) -> Self {
        Self::from_micros(self.0 + 1)
    }

    /// The moment `duration` later.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self::from_micros(self.0.saturating_add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)))
    }

    /// The moment `duration` earlier, not before the Unix epoch.
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)))
    }

    /// How long ago `earlier` was; zero if it was not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// RFC 3339 in UTC with six digits of a second, in ASCII: `2026-11-20T22:49:38.123456Z`.
    #[must_use]
    pub fn to_rfc3339(self) -> [u8; Self::TEXT_BYTES] {
        let (second, mut micros) = (self.0 / 1_000_000, self.0 % 1_000_000);
        let mut text = [0; Self::TEXT_BYTES];
        text[..SECOND_BYTES].copy_from_slice(&second_text(second));
        text[SECOND_BYTES] = b'.';
        for place in (SECOND_BYTES + 1..Self::TEXT_BYTES - 1).rev() {
            // Less than ten, so the cast keeps the value.
            text[place] = b'0' + (micros % 10) as u8;
            micros /= 10;
        }
        text[Self::TEXT_BYTES - 1] = b'Z';
        text
    }

    /// The length of a time's text in bytes.
    pub const TEXT_BYTES: usize = 27;
}

/// `2026-11-20T22:49:38`.
const SECOND_BYTES: usize = 19;

/// A second as text. Every answer has a time, so a thread keeps the last one that it wrote.
fn second_text(second: u64) -> [u8; SECOND_BYTES] {
    thread_local! {
        static LAST: Cell<(u64, [u8; SECOND_BYTES])> = const { Cell::new((0, *b"1970-01-01T00:00:00")) };
    }
    let (last, text) = LAST.get();
    if last == second {
        return text;
    }
    let time = jiff::Timestamp::from_second(i64::try_from(second).unwrap_or(i64::MAX));
    let written = time.unwrap_or(jiff::Timestamp::MAX).to_string();
    let mut text = [b'0'; SECOND_BYTES];
    let end = written.len().min(SECOND_BYTES);
    text[..end].copy_from_slice(&written.as_bytes()[..end]);
    LAST.set((second, text));
    text
}

/// As [`to_rfc3339`](Timestamp::to_rfc3339) has it.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Digits and signs only.
        f.write_str(std::str::from_utf8(&self.to_rfc3339()).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_is_rfc_3339_with_six_digits() {
        assert_eq!(Timestamp::ZERO.to_string(), "1970-01-01T00:00:00.000000Z");
        let at = Timestamp::from_micros(1_795_214_978_120_000);
        assert_eq!(at.to_string(), "2026-11-20T22:49:38.120000Z");
        assert_eq!(Timestamp::from_micros(u64::MAX).to_string(), "9999-12-30T22:00:00.999999Z");
    }

    #[test]
    fn seconds_keep_the_microsecond() {
        let at = Timestamp::from_micros(1_795_214_978_123_457);
        assert_eq!((at.as_seconds() * 1e6).round() as u64, at.as_micros());
    }
}
