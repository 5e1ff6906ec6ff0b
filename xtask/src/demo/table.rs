//! The comparison at the end.

use anyhow::{Result, ensure};
use hdrhistogram::Histogram;

use super::racer::Score;

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
    align(&rows)
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

/// Columns as wide as their widest cell: the first to the left, the others to the right.
fn align<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let line = |row: &[String; N]| {
        let mut cells = row.iter().zip(widths);
        let first = cells.next().map(|(cell, width)| format!("{cell:<width$}")).unwrap_or_default();
        cells.fold(first, |line, (cell, width)| format!("{line}  {cell:>width$}"))
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [["a", "bb"], ["ccc", "d"]].map(|row| row.map(str::to_owned));
        assert_eq!(align(&rows), "a    bb\nccc   d");
    }

    #[test]
    fn microseconds_are_shown_as_milliseconds() {
        let mut latency = Histogram::new(3).unwrap();
        assert_eq!(millis(&latency, 0.5), "-");
        latency.record(1500).unwrap();
        assert_eq!(millis(&latency, 0.5), "1.50");
    }
}
