//! Tables as text.

use hdrhistogram::Histogram;

/// Columns as wide as their widest cell: the first to the left, the others to the right.
pub fn align<R: AsRef<[String]>>(rows: &[R]) -> String {
    let mut widths = Vec::new();
    for row in rows {
        widths.resize(row.as_ref().len().max(widths.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row.as_ref()) {
            *width = cell.chars().count().max(*width);
        }
    }
    let line = |row: &R| {
        let mut cells = row.as_ref().iter().zip(&widths);
        let first = cells.next().map(|(cell, width)| format!("{cell:<width$}")).unwrap_or_default();
        cells.fold(first, |line, (cell, width)| format!("{line}  {cell:>width$}"))
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// A quantile of microseconds, in milliseconds.
#[expect(clippy::cast_precision_loss, reason = "a latency is far below 2^53 microseconds")]
pub fn millis(latency: &Histogram<u64>, quantile: f64) -> String {
    if latency.is_empty() {
        return "-".to_owned();
    }
    format!("{:.2}", latency.value_at_quantile(quantile) as f64 / 1000.0)
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
