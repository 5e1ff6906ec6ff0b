//! Warnings that somebody outside can bring about by the thousand.
//!
//! What: of each kind of warning or error the first few lines in a while are written, the others are counted, and then
//! the count is told. A kind is a place in the code, ours or a library's: h2 for one warns of every stray PING.
//! Why for all of them: most of what a server warns of, its peers can repeat at will.
//! Not here: information, which is the server's own.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

/// Lines of one kind that are written in a [`WHILE`]: enough to see a pattern.
const MOST: u32 = 10;
const WHILE: Duration = Duration::from_secs(10);
/// How often somebody looks whether there is a count to tell.
const LOOK: Duration = Duration::from_secs(1);
/// Characters of a line that are told with a count.
const EXAMPLE: usize = 160;
/// The lines that tell a count are not counted.
const TARGET: &str = "poll_server::logs::flood";

/// What was written lately, by kind. Held for one look-up.
#[derive(Default)]
pub(super) struct Flood(Mutex<HashMap<Identifier, Kind>>);

/// One kind of line, in one while.
struct Kind {
    since: Instant,
    written: u32,
    left_out: u64,
    /// The first line that was left out.
    example: String,
}

/// Keeps lines back, for the subscriber that it is a layer of.
pub(super) struct Limited(pub(super) &'static Flood);

pub(super) static FLOOD: LazyLock<Flood> = LazyLock::new(Flood::default);

/// Tells the counts as long as the server runs.
pub(crate) async fn tell() {
    let mut looks = tokio::time::interval(LOOK);
    loop {
        looks.tick().await;
        FLOOD.tell(Instant::now());
    }
}

/// Tells what is left to tell.
pub(crate) fn tell_all() {
    FLOOD.tell(Instant::now() + WHILE);
}

impl Flood {
    fn tell(&self, now: Instant) {
        let over = |kind: &mut Kind| now.saturating_duration_since(kind.since) >= WHILE;
        let kinds: Vec<Kind> = self.kinds().extract_if(|_, kind| over(kind)).map(|(_, kind)| kind).collect();
        // Not under the lock, which each line takes.
        for Kind { left_out, example, .. } in kinds {
            if left_out > 0 {
                tracing::warn!(target: TARGET, "{left_out} more lines like this: {example}");
            }
        }
    }

    /// Whether a line of this kind is written.
    fn admit(&self, event: &Event<'_>, now: Instant) -> bool {
        let mut kinds = self.kinds();
        let kind = kinds.entry(event.metadata().callsite()).or_insert_with(|| Kind::new(now));
        if kind.written < MOST {
            kind.written += 1;
            return true;
        }
        if kind.left_out == 0 {
            event.record(&mut Example(&mut kind.example));
        }
        kind.left_out += 1;
        false
    }

    fn kinds(&self) -> MutexGuard<'_, HashMap<Identifier, Kind>> {
        // Nothing in here panics half-way.
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
    use std::io;
    use std::sync::Arc;

    use tracing_subscriber::fmt::MakeWriter;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Written {
        fn take(&self) -> Vec<String> {
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

    fn stray(number: u32) {
        tracing::warn!(target: "h2", "stray frame {number}");
    }

    fn logged(test: impl FnOnce(&Flood, &Written)) {
        let flood: &'static Flood = Box::leak(Box::default());
        let written = Written::default();
        let lines =
            tracing_subscriber::fmt::layer().with_writer(written.clone()).with_ansi(false).without_time();
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
            assert_eq!(lines.len(), MOST as usize);
            assert!(lines[9].contains("stray frame 9"), "{lines:?}");
            // Others are not concerned, and information is never kept back.
            for number in 0..100 {
                tracing::info!("listening {number}");
            }
            tracing::error!("something else");
            assert_eq!(written.take().len(), 101);
            // In its time, the count; and then the kind starts anew.
            flood.tell(Instant::now());
            assert_eq!(written.take().len(), 0);
            flood.tell(Instant::now() + WHILE);
            let lines = written.take();
            assert_eq!(lines.len(), 1, "{lines:?}");
            assert!(lines[0].contains("57203 more lines like this: stray frame 10"), "{lines:?}");
            stray(0);
            flood.tell(Instant::now() + WHILE);
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
            flood.tell(Instant::now() + WHILE);
            assert!(written.take()[0].ends_with(&format!(": {}", "é".repeat(EXAMPLE))));
        });
    }
}
