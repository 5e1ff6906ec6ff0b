//! Figures as people read them: no more digits than the noise leaves, thousands apart.

use crate::figures::Spread;

/// Stands for what was not measured.
pub(super) const NONE: &str = "–";

/// Two or three digits that count: `8.12`, `16.7`, `10 256`.
pub(super) fn figure(value: f64) -> String {
    if value >= 99.95 {
        whole(value)
    } else if value >= 9.995 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

/// Without a fraction, thousands apart.
pub(super) fn whole(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    grouped
}

/// The median, with the least and the most behind it where they differ.
pub(super) fn spread(spread: Spread) -> String {
    let [least, median, most] = [spread.least, spread.median, spread.most].map(figure);
    if least == most { median } else { format!("{median} ({least}–{most})") }
}

/// The median, or the mark for what was not measured.
pub(super) fn median(spread: Option<Spread>) -> String {
    spread.map_or_else(|| NONE.to_owned(), |spread| figure(spread.median))
}

/// A ratio. With one digit more than a bound, so that it is seen why `0.853` misses 0.85.
pub(super) fn ratio(value: f64) -> String {
    if value >= 10.0 { figure(value) } else { format!("{value:.3}") }
}

/// A bound as it was set.
pub(super) fn bound(value: f64) -> String {
    if value >= 1_000.0 { whole(value) } else { value.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_follow_the_size() {
        assert_eq!(
            [0.5, 8.123, 9.996, 16.66, 99.96, 10_256.4].map(figure),
            ["0.50", "8.12", "10.0", "16.7", "100", "10 256"]
        );
        assert_eq!([0.0, 999.0, 1_000.0, 1_234_567.0].map(whole), ["0", "999", "1 000", "1 234 567"]);
        assert_eq!([0.8534, 1.0, 97.526].map(ratio), ["0.853", "1.000", "97.5"]);
        assert_eq!([0.85, 1.0, 7_200.0].map(bound), ["0.85", "1", "7 200"]);
    }

    #[test]
    fn one_round_has_no_spread() {
        assert_eq!(spread(Spread { least: 2.0, median: 2.0, most: 2.0 }), "2.00");
        assert_eq!(spread(Spread { least: 1.0, median: 2.0, most: 30.0 }), "2.00 (1.00–30.0)");
        assert_eq!(median(None), NONE);
    }
}
