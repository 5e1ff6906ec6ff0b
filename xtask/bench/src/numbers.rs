//! Numbers for people: as few digits as the noise allows, thousands separated.

/// Stands for what was not measured.
pub(crate) const NONE: &str = "–";

/// Three significant digits below a hundred: `8.12`, `16.7`, `10 256`.
pub(crate) fn figure(value: f64) -> String {
    if value >= 99.95 {
        whole(value)
    } else if value >= 9.995 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

/// No fraction, thousands separated.
pub(crate) fn whole(value: impl Into<f64>) -> String {
    let digits = format!("{:.0}", value.into());
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    grouped
}

/// A ratio, with one digit more than its bounds have, so that `0.853` is seen to miss 0.85.
pub(crate) fn ratio(value: f64) -> String {
    if value >= 10.0 { figure(value) } else { format!("{value:.3}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_follow_the_size() {
        let figures = [0.5, 8.123, 9.996, 16.66, 99.96, 10_256.4].map(figure);
        assert_eq!(figures, ["0.50", "8.12", "10.0", "16.7", "100", "10 256"]);
        assert_eq!(
            [0, 999, 1_000, 1_234_567].map(|number: i32| whole(number)),
            ["0", "999", "1 000", "1 234 567"]
        );
        assert_eq!([0.8534, 1.0, 97.526].map(ratio), ["0.853", "1.000", "97.5"]);
    }
}
