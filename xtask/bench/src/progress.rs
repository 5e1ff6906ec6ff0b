//! What is seen while waiters come and are answered: a bar on a terminal, a line every two seconds elsewhere.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Between two plain lines.
const LINE: Duration = Duration::from_secs(2);

/// The bar of one step.
pub(super) struct Progress {
    bar: ProgressBar,
    name: String,
    /// Where there is no terminal, when a line was last written.
    plain: Option<Instant>,
}

impl Progress {
    /// A step that ends at `most`.
    pub(super) fn begin(name: impl Into<String>, most: u64) -> Result<Self> {
        let name = name.into();
        let terminal = std::io::stderr().is_terminal();
        let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let style = ProgressStyle::with_template("{prefix:20} [{bar:40}] {human_pos}/{human_len} {elapsed}")
            .context("cannot draw a bar")?
            .progress_chars("=> ");
        let bar =
            ProgressBar::with_draw_target(Some(most), target).with_style(style).with_prefix(name.clone());
        Ok(Self { bar, name, plain: (!terminal).then(Instant::now) })
    }

    pub(super) fn show(&mut self, position: u64) {
        self.bar.set_position(position);
        if let Some(last) = &mut self.plain
            && last.elapsed() >= LINE
        {
            *last = Instant::now();
            eprintln!("{}: {position} of {}", self.name, self.bar.length().unwrap_or_default());
        }
    }

    /// It is at its end; the bar stays as it stands.
    pub(super) fn end(self) {
        self.bar.set_position(self.bar.length().unwrap_or_default());
        self.bar.abandon();
    }
}
