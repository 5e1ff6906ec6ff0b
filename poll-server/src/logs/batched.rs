//! Log lines that come by the thousand, formatted and written without the subscriber.
//!
//! What: formats a line as the subscriber would, and writes many at once: when a worker has nothing else to do, or when
//! [`FULL`] bytes have gathered.
//! Why: see "Optimisations that pay" in ARCHITECTURE.md. If an embedding program has its own subscriber, or stderr is a
//! terminal and lines have colours, every line goes through the subscriber instead.
//! Not here: what a line says.

use std::fmt::{self, Display, Write as _};
use std::io::Write as _;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use poll_core::Timestamp;

use super::text;
use crate::config::LogFormat;

/// The most waiting bytes, all written at once, but for a longer line: `PIPE_BUF` of Linux. Up to this length a write to a pipe is
/// atomic, so lines of two servers that share one, as while one replaces the other, do not cut each other.
const FULL: usize = 4 << 10;
/// The initial capacity of a line, enough for most.
const LINE: usize = 384;

/// The format of the subscriber, if it is ours.
static FORMAT: OnceLock<LogFormat> = OnceLock::new();
/// The lines of all threads that are still to be written.
static LINES: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// Lets lines bypass the subscriber from now on, in its format. A second call changes nothing.
pub(super) fn begin(format: LogFormat) {
    let _has_begun = FORMAT.set(format);
}

/// The format of lines that bypass the subscriber; `None` if none may.
pub(super) fn format() -> Option<LogFormat> {
    FORMAT.get().copied()
}

/// Adds a finished line.
pub(super) fn push(line: &[u8]) {
    add(&mut lines(), line, write);
}

/// Adds a line to the waiting ones, which are written first if it does not fit.
fn add(lines: &mut Vec<u8>, line: &[u8], write: impl FnOnce(&mut Vec<u8>)) {
    if !lines.is_empty() && lines.len() + line.len() > FULL {
        write(lines);
    }
    lines.extend_from_slice(line);
}

/// Writes the waiting lines when it is dropped.
pub(crate) struct FlushAtEnd;

impl Drop for FlushAtEnd {
    fn drop(&mut self) {
        flush();
    }
}

/// Writes the waiting lines. Workers call it when they have nothing else to do.
pub(crate) fn flush() {
    let mut lines = lines();
    if !lines.is_empty() {
        write(&mut lines);
    }
}

fn write(lines: &mut Vec<u8>) {
    // If the log cannot be written, there is nowhere to report that.
    let _is_lost = std::io::stderr().lock().write_all(lines);
    lines.clear();
}

fn lines() -> MutexGuard<'static, Vec<u8>> {
    // Nothing panics while it holds the lock.
    LINES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A line of level INFO that is being formatted.
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

    /// A value whose text needs no quotes.
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
            // `Display` leaves out the decimal point of a whole number, as the subscriber does.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_is_whole_lines_and_atomic_in_a_pipe() {
        let (mut lines, mut written) = (Vec::new(), Vec::<Vec<u8>>::new());
        let lengths = [FULL, 1, FULL - 1, 2, FULL + 1, 300, 300];
        for length in lengths.into_iter().chain([300; 40]) {
            let mut line = vec![b'x'; length - 1];
            line.push(b'\n');
            add(&mut lines, &line, |lines| written.push(std::mem::take(lines)));
        }
        written.push(lines);
        assert!(written.iter().all(|part| part.ends_with(b"\n")));
        let is_one = |part: &Vec<u8>| part.iter().filter(|byte| **byte == b'\n').count() == 1;
        assert!(written.iter().all(|part| part.len() <= FULL || is_one(part)));
        assert_eq!(written.iter().map(Vec::len).take(4).collect::<Vec<_>>(), [FULL, FULL, 2, FULL + 1]);
        assert_eq!(written.concat().len(), lengths.iter().sum::<usize>() + 40 * 300);
    }
}
