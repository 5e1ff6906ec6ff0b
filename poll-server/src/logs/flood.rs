//! Warnings that outsiders can cause by the thousand.
//!
//! What: of each kind of warning or error, the first few lines in a period are written; the others are counted, and the count
//! is logged. A kind is a place in the code, ours or a library's: h2, for one, warns of every stray PING.
//! Why for all of them: most of what a server warns of, its peers can repeat at will.
//! Not here: information, which only the server itself causes.

use std::fmt::Debug;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use poll_core::environment::KeyedMap;
use tokio::time::Instant;
use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

/// Lines of one kind that are written in a [`PERIOD`]: enough to see a pattern.
const MAX_LINES: u32 = 10;
const PERIOD: Duration = Duration::from_secs(10);
/// How often to check for counts to log.
const INTERVAL: Duration = Duration::from_secs(1);
/// How much of a line is logged as an example, in characters.
const EXAMPLE: usize = 160;
/// Lines with a count are not counted themselves.
const TARGET: &str = "poll_server::logs::flood";

/// What was written in this period, by kind. Locked for one look-up.
#[derive(Default)]
pub(super) struct Flood(Mutex<KeyedMap<Identifier, Kind>>);

/// One kind of line, in one period.
struct Kind {
    since: Instant,
    written: u32,
    left_out: u64,
    /// The first line that was left out.
    example: String,
}

/// The layer that keeps lines back.
pub(super) struct Limited(pub(super) &'static Flood);

pub(super) static FLOOD: LazyLock<Flood> = LazyLock::new(Flood::default);

/// Logs the counts, forever.
pub(crate) async fn log_counts() {
    let mut looks = tokio::time::interval(INTERVAL);
    loop {
        looks.tick().await;
        FLOOD.log(Instant::now());
    }
}

/// Logs the counts that are left.
pub(crate) fn log_all_counts() {
    FLOOD.log(Instant::now() + PERIOD);
}

impl Flood {
    fn log(&self, now: Instant) {
        let over = |kind: &mut Kind| now.saturating_duration_since(kind.since) >= PERIOD;
        let kinds: Vec<Kind> = self.kinds().extract_if(|_, kind| over(kind)).map(|(_, kind)| kind).collect();
        // Not under the lock, which every line acquires.
        for Kind { left_out, example, .. } in kinds {
            if left_out > 0 {
                tracing::warn!(target: TARGET, left_out, example, "{left_out} more lines like this: {example}");
            }
        }
    }

    /// Whether a line of this kind is written.
    fn admit(&self, event: &Event<'_>, now: Instant) -> bool {
        let mut kinds = self.kinds();
        let kind = kinds.entry(event.metadata().callsite()).or_insert_with(|| Kind::new(now));
        if kind.written < MAX_LINES {
            kind.written += 1;
            return true;
        }
        if kind.left_out == 0 {
            event.record(&mut Example(&mut kind.example));
        }
        kind.left_out += 1;
        false
    }

    fn kinds(&self) -> MutexGuard<'_, KeyedMap<Identifier, Kind>> {
        // Nothing panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kind {
    fn new(since: Instant) -> Self {
        Self { since, written: 0, left_out: 0, example: String::new() }
    }
}

impl<S: Subscriber> Layer<S> for Limited {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        *metadata.level() > Level::WARN || metadata.target() == TARGET || self.0.admit(event, Instant::now())
    }
}

/// The text of a line, cut short.
struct Example<'a>(&'a mut String);

impl Visit for Example<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.0.extend(format!("{value:?}").chars().take(EXAMPLE));
        }
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;
    use crate::logs::tests::Written;

    fn stray(number: u32) {
        tracing::warn!(target: "h2", "stray frame {number}");
    }

    fn logged(test: impl FnOnce(&Flood, &Written)) {
        let flood: &'static Flood = Box::leak(Box::default());
        let written = Written::default();
        let lines = tracing_subscriber::fmt::layer().with_writer(written.clone()).with_ansi(false);
        let lines = lines.without_time().fmt_fields(crate::logs::text::TextFields);
        let subscriber = tracing_subscriber::registry().with(Limited(flood)).with(lines);
        tracing::subscriber::with_default(subscriber, || test(flood, &written));
    }

    #[test]
    fn a_flood_of_one_kind_is_a_few_lines_and_a_count() {
        logged(|flood, written| {
            for number in 0..57_213 {
                stray(number);
            }
            let lines = written.take();
            assert_eq!(lines.len(), MAX_LINES as usize);
            assert!(lines[9].contains("stray frame 9"), "{lines:?}");
            // Others are not concerned, and information is never kept back.
            for number in 0..100 {
                tracing::info!("listening {number}");
            }
            tracing::error!("something else");
            assert_eq!(written.take().len(), 101);
            // In its time, the count; and then the kind starts anew.
            flood.log(Instant::now());
            assert_eq!(written.take().len(), 0);
            flood.log(Instant::now() + PERIOD);
            let lines = written.take();
            assert_eq!(lines.len(), 1, "{lines:?}");
            assert!(lines[0].contains("57203 more lines like this: stray frame 10"), "{lines:?}");
            stray(0);
            flood.log(Instant::now() + PERIOD);
            assert_eq!(written.take().len(), 1);
            assert!(flood.kinds().is_empty());
        });
    }

    #[test]
    fn an_example_is_cut_short() {
        logged(|flood, written| {
            for _ in 0..20 {
                tracing::warn!("{}", "é".repeat(500));
            }
            written.take();
            flood.log(Instant::now() + PERIOD);
            assert!(written.take()[0].ends_with(&format!(": {}", "é".repeat(EXAMPLE))));
        });
    }
}
