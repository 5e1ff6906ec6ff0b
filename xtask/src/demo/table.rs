//! The comparison at the end.

use anyhow::{Result, ensure};

use super::racer::Score;
use xtask::columns::{align, millis};

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
