//! Progress of long steps: a bar on a terminal, a line every two seconds elsewhere.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

const BETWEEN_LINES: Duration = Duration::from_secs(2);

/// One step.
pub(crate) struct Progress {
    bar: ProgressBar,
    name: String,
    /// When a plain line was last written, if there is no terminal.
    plain: Option<Instant>,
}

impl Progress {
    /// A step that ends at `most`.
    pub(crate) fn begin(name: &str, most: u64) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let style = ProgressStyle::with_template("{prefix:20} [{bar:40}] {human_pos}/{human_len} {elapsed}");
        let bar = ProgressBar::with_draw_target(Some(most), target).with_prefix(name.to_owned());
        let bar = style.map_or_else(|_| bar.clone(), |style| bar.clone().with_style(style));
        Self { bar, name: name.to_owned(), plain: (!terminal).then(Instant::now) }
    }

    pub(crate) fn show(&mut self, position: u64) {
        self.bar.set_position(position);
        if let Some(last) = &mut self.plain
            && last.elapsed() >= BETWEEN_LINES
        {
            *last = Instant::now();
            eprintln!("{}: {position} of {}", self.name, self.bar.length().unwrap_or_default());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.abandon();
    }
}
