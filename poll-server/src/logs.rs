//! Log lines: text or JSON, to stderr, filtered by `RUST_LOG`.
//!
//! What: sets the one global subscriber of the process.
//! Why: stderr, because stdout belongs to `--help` and `--check`.
//! Not here: what is worth a line. No line anywhere carries a query string, so no `access_token` either.

pub(crate) mod access;
pub(crate) mod batched;
pub(crate) mod flood;
mod text;

use std::io::IsTerminal as _;

use poll_core::journal::FaultKind;
use poll_core::journal::disk::{Panicked, on_panic};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{self, Config, LogFormat};
use crate::damage::remedy;

/// Starts logging for the whole process. A second call changes nothing.
pub fn start(config: &Config) {
    let filter = config::log_filter(&config.log_filter).unwrap_or_default();
    let is_terminal = std::io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(is_terminal)
        .with_target(false);
    let lines = match config.log {
        LogFormat::Text => lines.fmt_fields(text::TextFields).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let limited = flood::Limited(&flood::FLOOD);
    // An embedding program may have its own subscriber already; then its lines are the ones wanted.
    let is_ours = tracing_subscriber::registry().with(filter).with(limited).with(lines).try_init().is_ok();
    if is_ours && !is_terminal {
        batched::begin(config.log);
    }
    watch_panics();
}

/// The warnings that reading the configuration gave.
pub fn warn(config: &Config) {
    config.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
}

/// A panic that the store catches is damage to its file, and reported as such; the panic itself is for debugging. Where the
/// process ends all the same, what counts is the panic that began it.
fn watch_panics() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| match on_panic(panic) {
        Panicked::Caught => tracing::debug!("the store's file makes no sense: {panic}"),
        Panicked::EndsProcess(first) => {
            let remedy = remedy(FaultKind::Damaged);
            tracing::error!("the store is damaged, and the process aborts because of it: {first}{remedy}");
            batched::flush();
        }
        Panicked::Elsewhere => tell(panic),
    }));
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    /// Where lines are written to in tests.
    #[derive(Clone, Default)]
    pub(super) struct Written(Arc<Mutex<Vec<u8>>>);

    impl Written {
        pub(super) fn take(&self) -> Vec<String> {
            let bytes = std::mem::take(&mut *self.0.lock().unwrap());
            String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
        }
    }

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Written {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    /// The lines of text that `act` logs.
    pub(super) fn lines_of(act: impl FnOnce()) -> Vec<String> {
        let written = Written::default();
        let lines = tracing_subscriber::fmt::layer().with_writer(written.clone()).with_ansi(false);
        let lines = lines.with_target(false).without_time().fmt_fields(text::TextFields);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), act);
        written.take()
    }
}
