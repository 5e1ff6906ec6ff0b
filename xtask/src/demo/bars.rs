//! What is seen on a terminal while the demo runs: a bar a pattern. Elsewhere only the comparison at the end is.

use anyhow::{Context as _, Result};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::racer::Pattern;

/// All bars, in the order of the patterns.
pub(super) struct Bars(Vec<ProgressBar>);

impl Bars {
    pub(super) fn new() -> Result<Self> {
        let all = MultiProgress::new();
        let style = ProgressStyle::with_template("{prefix:16} [{bar:30}] {pos:>5}/{len:<5} {msg}")
            .context("cannot draw bars")?
            .progress_chars("=> ");
        let bar = |pattern: Pattern| {
            all.add(ProgressBar::new(0).with_style(style.clone()).with_prefix(pattern.to_string()))
        };
        Ok(Self(Pattern::ALL.map(bar).into()))
    }

    /// The bar of one pattern.
    pub(super) fn of(&self, pattern: Pattern) -> ProgressBar {
        self.0[pattern as usize].clone()
    }

    /// So many messages are published.
    pub(super) fn published(&self, messages: u64) {
        self.0.iter().for_each(|bar| bar.set_length(messages));
    }

    /// Leaves the bars as they stand.
    pub(super) fn finish(&self) {
        self.0.iter().for_each(ProgressBar::abandon);
    }
}
