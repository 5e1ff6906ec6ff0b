//! What is seen on a terminal while the demo runs: the bars, ten times a second. Elsewhere only the report at the end is.

use std::convert::Infallible;
use std::time::Duration;

use anyhow::{Context as _, Result};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::watch;
use tokio::time::{Instant, interval};

use super::figures::{Figures, Shared, bars};
use super::published::{Phase, Published};

pub(super) struct Screen {
    lines: ProgressBar,
    begun: Instant,
    seconds: u64,
}

impl Screen {
    pub(super) fn new(seconds: u64) -> Result<Self> {
        let style = ProgressStyle::with_template("{msg}").context("cannot draw bars")?;
        Ok(Self { lines: ProgressBar::no_length().with_style(style), begun: Instant::now(), seconds })
    }

    /// Draws until it is dropped.
    pub(super) async fn draw(&self, readers: &[Shared], published: watch::Receiver<Published>) -> Infallible {
        let mut tick = interval(Duration::from_millis(100));
        loop {
            tick.tick().await;
            let all: Vec<Figures> = readers.iter().map(|reader| reader.borrow().clone()).collect();
            let status = status(*published.borrow(), self.begun.elapsed().as_secs(), self.seconds);
            self.lines.set_message(format!("{status}\n\n{}", bars(&all)));
        }
    }

    /// Leaves the place to the report.
    pub(super) fn clear(&self) {
        self.lines.finish_and_clear();
    }
}

fn status(published: Published, elapsed: u64, seconds: u64) -> String {
    let messages = published.messages;
    match published.phase {
        Phase::Going => format!("{messages} messages, {elapsed} of {seconds} s (Ctrl-C: the figures so far)"),
        Phase::Quiet => format!("{messages} messages, and now none: what does waiting cost?"),
        Phase::Over => format!("{messages} messages, and that was all"),
    }
}
