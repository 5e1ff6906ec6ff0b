//! What happened when, as one number: two runs of a seed must have the same. Also as text, to look into one.

use std::cell::{Cell, RefCell};

use tokio::time::Instant;

thread_local! {
    static HASH: Cell<u64> = const { Cell::new(0) };
    static BEGAN: Cell<Option<Instant>> = const { Cell::new(None) };
    static TRANSCRIPT: RefCell<Option<Transcript>> = const { RefCell::new(None) };
}

/// A run as text.
#[derive(Debug, Default)]
pub(crate) struct Transcript {
    /// Faults, starts and ends.
    pub(crate) lines: Vec<String>,
    /// Everything that was recorded.
    pub(crate) events: Vec<String>,
}

/// Begins a run, with a transcript if there is to be one.
pub(crate) fn begin(transcript: bool) {
    HASH.set(0);
    BEGAN.set(Some(Instant::now()));
    TRANSCRIPT.set(transcript.then(Transcript::default));
}

/// Records that something happened now.
pub(crate) fn record(what: &'static str, number: u64) {
    let millis = elapsed();
    let mut hash = HASH.get();
    for bits in [what.len() as u64, what.bytes().map(u64::from).sum(), number, millis] {
        hash = (hash.rotate_left(5) ^ bits).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
    HASH.set(hash);
    TRANSCRIPT.with_borrow_mut(|transcript| {
        if let Some(transcript) = transcript {
            transcript.events.push(format!("{millis:8} ms  {what} {number}"));
        }
    });
}

/// Adds a line to the transcript, and records that.
pub(crate) fn log(line: impl FnOnce() -> String) {
    record("line", 0);
    TRANSCRIPT.with_borrow_mut(|transcript| {
        if let Some(transcript) = transcript {
            transcript.lines.push(format!("{:8} ms  {}", elapsed(), line()));
        }
    });
}

/// The hash and the transcript of the run.
pub(crate) fn end() -> (u64, Transcript) {
    (HASH.get(), TRANSCRIPT.take().unwrap_or_default())
}

fn elapsed() -> u64 {
    BEGAN.get().map_or(0, |began| u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX))
}
