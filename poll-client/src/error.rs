//! Everything that can go wrong, by what a caller can do about it.
//!
//! Subscriptions retry transient errors ([`Error::is_transient`]) and return the others. `Display` prints one level;
//! `source` has the next.

use std::fmt;
use std::io;
use std::time::{Duration, SystemTime};

use http::header::{DATE, HeaderMap, RETRY_AFTER};
use serde::Deserialize;

use crate::ndjson::LineTooLong;
use crate::sse::EventTooLong;

/// What went wrong.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The base URL, or a header made from the caller's text, cannot be used.
    Usage(String),
    /// The connection could not be opened.
    Connect {
        /// Host and port.
        authority: String,
        /// Why.
        source: io::Error,
    },
    /// The connection broke, or the peer did not speak HTTP.
    Connection(Box<dyn std::error::Error + Send + Sync>),
    /// Nothing arrived in time.
    Timeout {
        /// What was waited for.
        waiting_for: &'static str,
        /// For how long.
        after: Duration,
    },
    /// The server answered with an error.
    Refused(Box<Problem>),
    /// The server is shutting down: reconnect.
    Draining,
    /// A stream ended without its closing line.
    Cut,
    /// The answer is not one of a poll server.
    Protocol(String),
    /// The last of several attempts failed so, and one before it may have been done.
    InDoubt(Box<Error>),
}

/// An error answer, with problem details (RFC 9457) if the server sent them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// Its `type`, which is a URL, unless that is missing or `about:blank` and says no more than the status.
    pub kind: Option<String>,
    /// The kind of problem; may be empty.
    pub title: String,
    /// This occurrence of it; may be empty.
    pub detail: String,
    /// `Retry-After` (RFC 9110, section 10.2.3).
    pub retry_after: Option<Duration>,
}

impl Error {
    /// What a [`Self::Timeout`] waited for if nothing was sent.
    pub(crate) const CONNECTION: &str = "connection";

    /// Whether the same request may succeed later. [`Self::may_have_happened`] says whether it may have succeeded already.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect { .. }
            | Self::Connection(_)
            | Self::Timeout { .. }
            | Self::Draining
            | Self::Cut => true,
            Self::Refused(problem) => matches!(problem.status, 408 | 425 | 429 | 500 | 502 | 503 | 504),
            Self::Usage(_) | Self::Protocol(_) => false,
            Self::InDoubt(last) => last.is_transient(),
        }
    }

    /// Whether the server may have done what was asked all the same, so that asking again may do it twice: the connection
    /// was lost or the time was over after the request may have been sent, the answer could not be understood, or it was
    /// 500, 502, 504, or the 503 by which a server says that it does not know. Also if that is how an earlier attempt failed.
    #[must_use]
    pub fn may_have_happened(&self) -> bool {
        match self {
            Self::Connection(_) | Self::Protocol(_) | Self::InDoubt(_) => true,
            Self::Timeout { waiting_for, .. } => *waiting_for != Self::CONNECTION,
            Self::Refused(problem) => match problem.status {
                500 | 502 | 504 => true,
                503 => problem.kind.as_ref().is_some_and(|kind| kind.ends_with(Problem::OUTCOME_UNKNOWN)),
                _ => false,
            },
            Self::Usage(_) | Self::Connect { .. } | Self::Draining | Self::Cut => false,
        }
    }

    /// `Retry-After` of an error answer.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(problem) => problem.retry_after,
            Self::InDoubt(last) => last.retry_after(),
            _ => None,
        }
    }

    /// The status of an error answer.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused(problem) => Some(problem.status),
            Self::InDoubt(last) => last.status(),
            _ => None,
        }
    }

    /// The same, after an earlier attempt that may have been done.
    pub(crate) fn in_doubt(self) -> Self {
        if self.may_have_happened() { self } else { Self::InDoubt(Box::new(self)) }
    }

    pub(crate) fn connection(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Connection(error.into())
    }
}

impl Problem {
    /// The longest error body that is read.
    pub(crate) const MAX_BODY: usize = 64 * 1024;
    /// How the type of a 503 ends if a publish may have been kept. A server's 503 of any other type is one that was not.
    const OUTCOME_UNKNOWN: &str = "/outcome-unknown";

    /// Reads an error answer. If the body is not problem details, the texts stay empty.
    pub(crate) fn read(status: u16, headers: &HeaderMap, body: &[u8]) -> Box<Self> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Details {
            r#type: String,
            title: String,
            detail: String,
            error: String,
        }
        let details: Details = serde_json::from_slice(body).unwrap_or_default();
        let detail = if details.detail.is_empty() { details.error } else { details.detail };
        let kind = Some(details.r#type).filter(|kind| !matches!(kind.as_str(), "" | "about:blank"));
        Box::new(Self { status, kind, title: details.title, detail, retry_after: retry_after(headers) })
    }
}

/// Seconds, or a date, which is compared with the server's own `Date` because clocks differ.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let until = httpdate::parse_http_date(text).ok()?;
    let date = headers.get(DATE).and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
    Some(until.duration_since(date.unwrap_or_else(SystemTime::now)).unwrap_or_default())
}

impl From<LineTooLong> for Error {
    fn from(error: LineTooLong) -> Self {
        Self::Protocol(error.to_string())
    }
}

impl From<EventTooLong> for Error {
    fn from(error: EventTooLong) -> Self {
        Self::Protocol(error.to_string())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(what) => f.write_str(what),
            Self::Connect { authority, .. } => write!(f, "cannot connect to {authority}"),
            Self::Connection(_) => f.write_str("the connection broke"),
            Self::Timeout { waiting_for, after } => write!(f, "no {waiting_for} within {after:?}"),
            Self::Refused(problem) => problem.fmt(f),
            Self::Draining => f.write_str("the server is going away"),
            Self::Cut => f.write_str("the stream ended without its closing line"),
            Self::Protocol(what) => write!(f, "not an answer of a poll server: {what}"),
            Self::InDoubt(_) => f.write_str("an earlier attempt may have succeeded, and the last one failed"),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server answered {}", self.status)?;
        [&self.title, &self.detail]
            .into_iter()
            .filter(|text| !text.is_empty())
            .try_for_each(|text| write!(f, ": {text}"))
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Connect { source, .. } => Some(source),
            Self::Connection(source) => Some(&**source),
            Self::InDoubt(last) => Some(&**last),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(headers: &[(&'static str, &'static str)]) -> Option<Duration> {
        let headers = headers.iter().map(|(name, value)| {
            (name.parse::<http::HeaderName>().unwrap(), http::HeaderValue::from_static(value))
        });
        Problem::read(503, &headers.collect(), b"").retry_after
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_by_the_servers_clock() {
        assert_eq!(told(&[("retry-after", "7")]), Some(Duration::from_secs(7)));
        assert_eq!(told(&[("retry-after", "99999999999999999999")]), Some(Duration::from_secs(u64::MAX)));
        let date = ("date", "Fri, 20 Nov 2026 22:00:00 GMT");
        assert_eq!(
            told(&[("retry-after", "Fri, 20 Nov 2026 22:00:42 GMT"), date]),
            Some(Duration::from_secs(42))
        );
        assert_eq!(told(&[("retry-after", "Fri, 20 Nov 2026 21:00:00 GMT"), date]), Some(Duration::ZERO));
        assert_eq!(told(&[("retry-after", "-1")]), None);
        assert_eq!(told(&[]), None);
    }

    #[test]
    fn problem_details_are_read_and_other_bodies_leave_the_status() {
        let body =
            br#"{"type":"about:blank","title":"Too Many Requests","status":429,"detail":"channel full"}"#;
        let problem = Problem::read(429, &HeaderMap::new(), body);
        assert_eq!(problem.to_string(), "the server answered 429: Too Many Requests: channel full");
        assert_eq!(problem.kind, None);
        let problem = Problem::read(502, &HeaderMap::new(), b"<html>");
        assert_eq!((problem.to_string().as_str(), problem.kind), ("the server answered 502", None));
    }

    #[test]
    fn what_was_not_sent_or_was_refused_has_not_happened_and_all_else_may_have() {
        let refused =
            |status, body: &str| Error::Refused(Problem::read(status, &HeaderMap::new(), body.as_bytes()));
        let timeout = |waiting_for| Error::Timeout { waiting_for, after: Duration::from_secs(10) };
        let typed = |kind: &str| format!(r#"{{"type":"{kind}","title":"Service Unavailable","status":503}}"#);
        for error in [
            Error::connection("reset"),
            timeout("answer"),
            timeout("byte of the answer"),
            Error::Protocol("a receipt without a number".to_owned()),
            refused(500, ""),
            refused(502, "<html>"),
            refused(504, ""),
            refused(503, &typed("https://github.com/poll-rs/poll/problems/outcome-unknown")),
        ] {
            assert!(error.may_have_happened(), "{error}");
        }
        for error in [
            Error::Usage("no such header".to_owned()),
            Error::Connect { authority: "h:1".to_owned(), source: io::ErrorKind::ConnectionRefused.into() },
            timeout(Error::CONNECTION),
            refused(400, ""),
            refused(429, ""),
            refused(503, ""),
            refused(503, &typed("about:blank")),
            refused(507, ""),
        ] {
            assert!(!error.may_have_happened(), "{error}");
        }
    }
}
