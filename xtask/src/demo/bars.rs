//! What is seen while the demo runs: a bar a pattern on a terminal, a line every two seconds elsewhere.

use std::cell::Cell;
use std::io::IsTerminal as _;
use std::time::Duration;

use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use poll_client::Counts;

use super::pattern::Pattern;
use xtask::columns::millis;

/// Between two plain lines.
const LINE: Duration = Duration::from_secs(2);

/// All bars, in the order of the patterns.
pub(super) struct Bars {
    bars: Vec<(Pattern, ProgressBar)>,
    screen: Screen,
}

enum Screen {
    Terminal,
    /// The next line is due at this time since the start.
    Plain(Cell<Duration>),
}

/// One reader's bar.
pub(super) struct Bar(ProgressBar);

impl Bars {
    pub(super) fn new(patterns: &[Pattern]) -> Result<Self> {
        let (screen, target) = if std::io::stderr().is_terminal() {
            (Screen::Terminal, ProgressDrawTarget::stderr())
        } else {
            (Screen::Plain(Cell::new(LINE)), ProgressDrawTarget::hidden())
        };
        let all = MultiProgress::with_draw_target(target);
        let style = ProgressStyle::with_template("{prefix:16} [{bar:30}] {pos:>5}/{len:<5} {msg}")
            .context("cannot draw bars")?
            .progress_chars("=> ");
        let bar = |pattern: &Pattern| {
            let bar = ProgressBar::new(0).with_style(style.clone()).with_prefix(pattern.to_string());
            (*pattern, all.add(bar))
        };
        Ok(Self { bars: patterns.iter().map(bar).collect(), screen })
    }

    /// The bar of one pattern.
    pub(super) fn of(&self, pattern: Pattern) -> Bar {
        let found = self.bars.iter().find(|(of, _)| *of == pattern);
        Bar(found.map_or_else(ProgressBar::hidden, |(_, bar)| bar.clone()))
    }

    /// So many messages are published, so long after the start.
    pub(super) fn published(&self, messages: u64, elapsed: Duration) {
        for (_, bar) in &self.bars {
            bar.set_length(messages);
        }
        let Screen::Plain(next) = &self.screen else { return };
        if elapsed >= next.get() {
            next.set(elapsed + LINE);
            let seen: Vec<String> =
                self.bars.iter().map(|(pattern, bar)| format!("{pattern} {}", bar.position())).collect();
            eprintln!("{:>3} s  published {messages}; seen by {}", elapsed.as_secs(), seen.join(", "));
        }
    }

    /// Leaves the bars as they stand.
    pub(super) fn finish(&self) {
        for (_, bar) in &self.bars {
            bar.abandon();
        }
        if matches!(self.screen, Screen::Terminal) {
            eprintln!();
        }
    }
}

impl Bar {
    /// What the reader has done so far.
    pub(super) fn show(&self, counts: &Counts, latency: &Histogram<u64>) {
        self.0.set_position(counts.messages);
        let p50 = millis(latency, 0.5);
        self.0.set_message(format!(
            "p50 {p50} ms, {} requests, {} empty",
            counts.requests, counts.empty_answers
        ));
    }
}
