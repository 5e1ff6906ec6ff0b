//! What was found, as a line: a verdict, what was looked at, what it is like, and what to change.

use std::fmt;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Nothing to do.
    Fine,
    /// It works, but not as well as it could, or not under every load.
    Warning,
    /// The server cannot do what it is configured to.
    Fault,
}

/// One line of the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub verdict: Verdict,
    about: &'static str,
    what: String,
    change: Option<String>,
}

impl Finding {
    pub(super) fn ok(about: &'static str, what: impl Into<String>) -> Self {
        Self { verdict: Verdict::Fine, about, what: what.into(), change: None }
    }

    pub(super) fn warning(about: &'static str, what: impl Into<String>, change: impl Into<String>) -> Self {
        Self { verdict: Verdict::Warning, about, what: what.into(), change: Some(change.into()) }
    }

    pub(super) fn fault(about: &'static str, what: impl Into<String>, change: impl Into<String>) -> Self {
        Self { verdict: Verdict::Fault, about, what: what.into(), change: Some(change.into()) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Fine => "ok",
            Verdict::Warning => "warning",
            Verdict::Fault => "fault",
        };
        write!(f, "{verdict:<8} {}: {}", self.about, self.what)?;
        self.change.iter().try_for_each(|change| write!(f, "; {change}"))
    }
}
