//! Lines that come by the thousand, written past the subscriber.
//!
//! What: formats a line as the subscriber would, and writes many at once: when a worker has nothing else to do, or when
//! [`FULL`] bytes have come together.
//! Why: see "Optimisations that pay" in ARCHITECTURE.md. Where the subscriber is another program's, or lines have colours for
//! a terminal, everything goes through the subscriber.
//! Not here: what a line says.

use std::fmt::{self, Display, Write as _};
use std::io::Write as _;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use poll_core::Timestamp;

use super::text;
use crate::config::LogFormat;

/// How many bytes wait at most, and one line more.
const FULL: usize = 16 << 10;
/// Enough for most lines.
const LINE: usize = 384;

/// The format of the subscriber, if it is ours.
static FORMAT: OnceLock<LogFormat> = OnceLock::new();
/// The lines of all threads that are not written yet.
static LINES: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// From now on lines may be written past the subscriber, in its format. A second call changes nothing.
pub(super) fn begin(format: LogFormat) {
    let _has_begun = FORMAT.set(format);
}

/// The format of lines that need not go through the subscriber; `None` if all have to.
pub(super) fn format() -> Option<LogFormat> {
    FORMAT.get().copied()
}

/// Adds a finished line.
pub(super) fn push(line: &[u8]) {
    let mut lines = lines();
    lines.extend_from_slice(line);
    if lines.len() >= FULL {
        write(&mut lines);
    }
}

/// Has what waits written when it is dropped.
pub(crate) struct FlushAtEnd;

impl Drop for FlushAtEnd {
    fn drop(&mut self) {
        flush();
    }
}

/// Writes what waits. Workers do so when they have nothing else to do.
pub(crate) fn flush() {
    let mut lines = lines();
    if !lines.is_empty() {
        write(&mut lines);
    }
}

fn write(lines: &mut Vec<u8>) {
    // There is nowhere to complain of a log that cannot be written.
    let _is_lost = std::io::stderr().lock().write_all(lines);
    lines.clear();
}

fn lines() -> MutexGuard<'static, Vec<u8>> {
    // Nothing panics while it holds the lock.
    LINES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A line of information that is being written.
pub(super) struct Line {
    format: LogFormat,
    out: Vec<u8>,
}

impl Line {
    pub(super) fn begin(format: LogFormat, at: Timestamp) -> Self {
        let mut out = Vec::with_capacity(LINE);
        let time = at.to_rfc3339();
        match format {
            LogFormat::Text => {
                out.extend_from_slice(&time);
                out.extend_from_slice(b"  INFO");
            }
            LogFormat::Json => {
                out.extend_from_slice(b"{\"timestamp\":\"");
                out.extend_from_slice(&time);
                out.extend_from_slice(b"\",\"level\":\"INFO\"");
            }
        }
        Self { format, out }
    }

    pub(super) fn str(&mut self, name: &str, value: &str) {
        self.name(name);
        match self.format {
            LogFormat::Text => drop(Escaped(self).write_str(&text::in_one_word(value))),
            LogFormat::Json => self.json(value),
        }
    }

    /// A value whose text is one word.
    pub(super) fn display(&mut self, name: &str, value: impl Display) {
        self.name(name);
        match self.format {
            // Bytes take all that is written.
            LogFormat::Text => drop(write!(Escaped(self), "{value}")),
            LogFormat::Json => self.json(&format_args!("{value}")),
        }
    }

    pub(super) fn number(&mut self, name: &str, value: u64) {
        self.name(name);
        self.json(&value);
    }

    pub(super) fn float(&mut self, name: &str, value: f64) {
        self.name(name);
        match self.format {
            // Without the decimal point where there are no decimals.
            LogFormat::Text => drop(write!(Escaped(self), "{value}")),
            LogFormat::Json => self.json(&value),
        }
    }

    /// The bytes of the whole line.
    pub(super) fn end(mut self) -> Vec<u8> {
        self.out.extend_from_slice(match self.format {
            LogFormat::Text => b"\n",
            LogFormat::Json => b"}\n",
        });
        self.out
    }

    fn name(&mut self, name: &str) {
        let (before, after): (&[u8], &[u8]) = match self.format {
            LogFormat::Text => (b" ", b"="),
            LogFormat::Json => (b",\"", b"\":"),
        };
        for part in [before, name.as_bytes(), after] {
            self.out.extend_from_slice(part);
        }
    }

    fn json<T: serde::Serialize + ?Sized>(&mut self, value: &T) {
        // Bytes take all that is written.
        let _written = serde_json::to_writer(&mut self.out, value);
    }
}

/// Writes text into a line so that it cannot forge another one.
struct Escaped<'a>(&'a mut Line);

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
            self.0.out.extend_from_slice(text.as_bytes());
            return Ok(());
        }
        let mut escaped = String::with_capacity(text.len() + 8);
        text::write_escaped(&mut escaped, text)?;
        self.0.out.extend_from_slice(escaped.as_bytes());
        Ok(())
    }
}
