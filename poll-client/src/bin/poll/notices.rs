//! What is said on stderr: one line each, beginning with `poll:`.

use std::error::Error;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use poll_client::Notice;

/// Prints a line. If stderr is closed as well, there is nothing left to do.
pub(crate) fn say(line: &str) {
    drop(writeln!(io::stderr(), "poll: {}", line.replace('\n', " ")));
}

/// An error and its causes.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line = format!("{line}: {error}");
        cause = error.source();
    }
    line
}

/// Says that a failure is retried, once for as long as it stays the same, and when it is over.
#[derive(Default)]
pub(crate) struct Connection {
    /// What was said last. Locked while a line is printed, which nothing waits for.
    said: Mutex<Option<String>>,
}

impl Connection {
    pub(crate) fn notice(&self, notice: &Notice<'_>) {
        match notice {
            Notice::Retrying { error, .. } => self.failed(*error),
            Notice::Recovered => self.recovered(),
            _ => {}
        }
    }

    pub(crate) fn failed(&self, error: &dyn Error) {
        let line = chain(error);
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.as_ref() != Some(&line) {
            say(&format!("{line}; trying again"));
            *said = Some(line);
        }
    }

    pub(crate) fn recovered(&self) {
        if self.said.lock().unwrap_or_else(PoisonError::into_inner).take().is_some() {
            say("connected again");
        }
    }
}
