//! The comparison at the end.

use anyhow::{Result, ensure};
use hdrhistogram::Histogram;

use super::racer::Score;
use xtask::columns;

const HEADINGS: [&str; 9] =
    ["pattern", "messages", "p50 ms", "p99 ms", "requests", "empty", "bytes/message", "lost", "doubled"];

/// One row a pattern.
pub(super) fn render(scores: &[Score]) -> String {
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    rows.extend(scores.iter().map(|score| {
        let counts = &score.counts;
        [
            score.pattern.to_string(),
            counts.messages.to_string(),
            millis(&score.latency, 0.5),
            millis(&score.latency, 0.99),
            counts.requests.to_string(),
            counts.empty_answers.to_string(),
            counts
                .body_bytes
                .checked_div(counts.messages)
                .map_or_else(|| "-".to_owned(), |bytes| bytes.to_string()),
            (score.verdict.lost).to_string(),
            (score.verdict.doubled + score.verdict.disordered).to_string(),
        ]
    }));
    columns::align(&rows)
}

/// Fails if any reader lost or doubled a message.
pub(super) fn verdict(scores: &[Score]) -> Result<()> {
    let broken: Vec<String> = scores
        .iter()
        .filter(|score| !score.verdict.is_clean())
        .map(|score| score.pattern.to_string())
        .collect();
    ensure!(broken.is_empty(), "messages were lost, doubled or out of order: {}", broken.join(", "));
    Ok(())
}

/// A quantile of microseconds, in milliseconds.
#[expect(clippy::cast_precision_loss, reason = "a latency is far below 2^53 microseconds")]
pub(super) fn millis(latency: &Histogram<u64>, quantile: f64) -> String {
    if latency.is_empty() {
        return "-".to_owned();
    }
    format!("{:.2}", latency.value_at_quantile(quantile) as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn microseconds_are_shown_as_milliseconds() {
        let mut latency = Histogram::new(3).unwrap();
        assert_eq!(millis(&latency, 0.5), "-");
        latency.record(1500).unwrap();
        assert_eq!(millis(&latency, 0.5), "1.50");
    }
}
