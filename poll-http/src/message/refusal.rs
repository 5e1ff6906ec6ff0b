//! Errors as HTTP: a status of 400 or above, a sentence, and what the client may do about it.
//!
//! Errors of the core become a [`Refusal`] here and nowhere else; those of `access` and `worker` do so beside their types.
//! `service::router` picks the dialect's [`ErrorFormat`], and `service::finish` makes a refusal the response. Only a handler
//! that panicked is answered without one (`transport::handle`).

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use poll_core::{ChannelNameError, JournalError, Kind, OverBudget, PublishError, escape_line_separators};
use serde::Serialize;

use crate::message::body::Body;
use crate::message::json::write_string;
use crate::message::reply::Reply;
use crate::message::respond;

/// An error answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    status: StatusCode,
    detail: Cow<'static, str>,
    retry_after: Option<Duration>,
    allow: Option<&'static str>,
    challenge: Option<&'static str>,
    /// The label in the metrics, if it does not follow from the status.
    reason: Option<&'static str>,
    /// The problem type (RFC 9457, section 3.1.1), if clients have to tell it from others of its status.
    problem: Option<&'static str>,
    /// What else a dialect says.
    fields: Option<Box<HeaderMap>>,
}

/// The problem type of a publish that may or may not have been stored.
const OUTCOME_UNKNOWN: &str = "https://github.com/poll-rs/poll/problems/outcome-unknown";

/// The detail of a refusal while the server drains.
pub(crate) const GOING_DOWN: &str = "the server is going down";

/// How a dialect writes errors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum ErrorFormat {
    /// `application/problem+json` (RFC 9457).
    #[default]
    ProblemJson,
    /// `{"error": "…"}`, with a space after the colon.
    SpacedJson,
    /// `{"error":"…"}`.
    Json,
    /// A line of plain text.
    Text,
}

#[derive(Serialize)]
struct Problem<'a> {
    r#type: &'a str,
    title: &'a str,
    status: u16,
    detail: &'a str,
}

impl Refusal {
    /// A refusal with any status of 400 or above. A lower one becomes 500.
    pub fn new(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        let is_error = status.is_client_error() || status.is_server_error();
        let status = if is_error { status } else { StatusCode::INTERNAL_SERVER_ERROR };
        Self {
            status,
            detail: detail.into(),
            retry_after: None,
            allow: None,
            challenge: None,
            reason: None,
            problem: None,
            fields: None,
        }
    }

    /// A client's mistake, which the golongpoll dialect answers with status 200.
    pub(crate) fn reported_as_200(detail: impl Into<Cow<'static, str>>) -> Self {
        Self { status: StatusCode::OK, ..Self::bad_request(detail) }
    }

    /// 400: the request is malformed. The detail should name the parameter.
    pub fn bad_request(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 404: there is nothing at this path.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "there is nothing at this path")
    }

    /// 405: the path does not support the method (RFC 9110, section 15.5.6).
    #[must_use]
    pub fn method_not_allowed(allow: &'static str) -> Self {
        let detail = format!("this path answers {allow}");
        Self { allow: Some(allow), ..Self::new(StatusCode::METHOD_NOT_ALLOWED, detail) }
    }

    /// 413: the content is larger than `most` bytes.
    #[must_use]
    pub fn too_large(what: &str, most: usize) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, format!("{what} has more than {most} bytes"))
    }

    /// 503: the store cannot be read now. 500: what was asked for is damaged.
    #[expect(clippy::needless_pass_by_value, reason = "for use with `map_err`")]
    pub(crate) fn unreadable(error: JournalError) -> Self {
        match error {
            JournalError::Damaged(_) => {
                let detail = "what the store holds of this channel is damaged";
                return Self::new(StatusCode::INTERNAL_SERVER_ERROR, detail);
            }
            JournalError::OverBudget(over) => return over.into(),
            JournalError::Full(_) | JournalError::Unavailable(_) | JournalError::OutcomeUnknown(_) => {}
        }
        let detail = "the store is unavailable";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(Duration::from_secs(1))
    }

    /// 503: the server drains or is not ready. A second later another one should have taken over.
    pub(crate) fn unready(why: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, why).retry_after(Duration::from_secs(1))
    }

    /// Adds `Retry-After` (RFC 9110, section 10.2.3), rounded up to whole seconds.
    #[must_use]
    pub fn retry_after(self, after: Duration) -> Self {
        Self { retry_after: Some(after), ..self }
    }

    /// Replaces the detail.
    #[must_use]
    pub(crate) fn with_detail(self, detail: &'static str) -> Self {
        Self { detail: detail.into(), ..self }
    }

    /// Adds `WWW-Authenticate` (RFC 9110, section 11.6.1): one for each line, of which the client may choose.
    #[must_use]
    pub fn challenge(self, challenge: &'static str) -> Self {
        Self { challenge: Some(challenge), ..self }
    }

    /// Adds a field of a dialect.
    #[must_use]
    pub(crate) fn with_field(mut self, name: HeaderName, value: impl Into<HeaderValue>) -> Self {
        self.fields.get_or_insert_default().insert(name, value.into());
        self
    }

    /// The sentence that explains it.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The status of the answer.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// All labels in the metrics.
    pub(crate) const REASONS: [&'static str; 13] = [
        "forbidden",
        "not_found",
        "method",
        "timeout",
        "conflict",
        "too_large",
        "host",
        "limit",
        "memory",
        "unavailable",
        "storage",
        "malformed",
        "internal",
    ];

    /// The label in the metrics.
    pub(crate) fn reason(&self) -> &'static str {
        if let Some(reason) = self.reason {
            return reason;
        }
        match self.status.as_u16() {
            401 | 403 => "forbidden",
            404 | 410 => "not_found",
            405 => "method",
            408 => "timeout",
            409 | 422 => "conflict",
            413 => "too_large",
            421 => "host",
            429 => "limit",
            503 => "unavailable",
            507 => "storage",
            200 | 400..=499 | 501 => "malformed",
            _ => "internal",
        }
    }

    pub(crate) fn into_reply(self, format: ErrorFormat) -> Reply {
        let (media, body) = match format {
            ErrorFormat::ProblemJson => ("application/problem+json", self.problem()),
            ErrorFormat::SpacedJson => (respond::JSON, self.error(" ")),
            ErrorFormat::Json => (respond::JSON, self.error("")),
            ErrorFormat::Text => (respond::PLAIN, format!("{}\n", self.detail).into()),
        };
        let mut reply = respond::whole(self.status, media, respond::NO_STORE, Body::full(body));
        if let Some(after) = self.retry_after {
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        for challenge in self.challenge.into_iter().flat_map(str::lines) {
            reply.headers_mut().append(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if let Some(allow) = self.allow {
            reply.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
        }
        if let Some(fields) = self.fields {
            reply.headers_mut().extend(*fields);
        }
        reply
    }

    fn problem(&self) -> Bytes {
        let problem = Problem {
            r#type: self.problem.unwrap_or("about:blank"),
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
        };
        let mut json = serde_json::to_vec(&problem).unwrap_or_default();
        escape_line_separators(&mut json, 0);
        json.into()
    }

    /// `{"error":…}`, with `space` before the value.
    fn error(&self, space: &str) -> Bytes {
        let mut json = format!("{{\"error\":{space}").into_bytes();
        write_string(&mut json, &self.detail);
        json.push(b'}');
        json.into()
    }
}

impl From<ChannelNameError> for Refusal {
    fn from(error: ChannelNameError) -> Self {
        Self::bad_request(format!("`channel`: {error}"))
    }
}

impl From<OverBudget> for Refusal {
    fn from(OverBudget(kind): OverBudget) -> Self {
        let (status, detail) = match kind {
            Kind::Keys => (StatusCode::TOO_MANY_REQUESTS, "too many idempotency keys are kept"),
            Kind::Names => (StatusCode::TOO_MANY_REQUESTS, "Server at capacity"),
            Kind::Receipts => (StatusCode::INSUFFICIENT_STORAGE, "there is no memory left for receipts"),
            Kind::Bodies => (StatusCode::SERVICE_UNAVAILABLE, "too much content is being received"),
            Kind::Answers => (StatusCode::SERVICE_UNAVAILABLE, "too many answers have not been read"),
            // A connection without room is closed before it asks anything, and a client that presence has no room for is
            // not counted.
            Kind::Presence | Kind::TlsBuffers | Kind::TlsSessions => {
                (StatusCode::SERVICE_UNAVAILABLE, "Server at capacity")
            }
            // Times are dropped if there is no room, so they cause no refusal.
            Kind::ArchiveReads | Kind::Times => {
                (StatusCode::SERVICE_UNAVAILABLE, "too many reads from the store are under way")
            }
        };
        Self { reason: Some("memory"), ..Self::new(status, detail).retry_after(Duration::from_secs(1)) }
    }
}

impl From<PublishError> for Refusal {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::Nothing => Self::bad_request("`content`: there is nothing to publish"),
            PublishError::Closed => Self::new(StatusCode::CONFLICT, "the channel has ended"),
            PublishError::Hidden => {
                Self::new(StatusCode::CONFLICT, "the channel was deleted and still has forks")
            }
            PublishError::KeyReused => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "`Idempotency-Key` was used on this channel with another payload",
            ),
            PublishError::TooManyChannels { retry_after } => {
                let detail = "there are as many channels as this server may hold";
                Self::new(StatusCode::TOO_MANY_REQUESTS, detail).retry_after(retry_after)
            }
            PublishError::OverBudget(over) | PublishError::Journal(JournalError::OverBudget(over)) => {
                over.into()
            }
            PublishError::Journal(JournalError::Full(_)) => {
                let detail = "the store has no room left; the message was not kept";
                Self::new(StatusCode::INSUFFICIENT_STORAGE, detail).retry_after(Duration::from_secs(10))
            }
            PublishError::Journal(JournalError::Unavailable(_)) => {
                let detail = "the store is unavailable; the message was not kept";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(Duration::from_secs(1))
            }
            // 503 promises that nothing was published.
            PublishError::Journal(JournalError::Damaged(_)) => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "what the store holds of this channel is damaged; the message was not kept",
            ),
            PublishError::Journal(JournalError::OutcomeUnknown(_)) => {
                let detail = "the outcome is unknown: the store did not say in time whether the message was kept. \
                              Ask again with the same Idempotency-Key";
                let refusal = Self::new(StatusCode::SERVICE_UNAVAILABLE, detail);
                Self { problem: Some(OUTCOME_UNKNOWN), ..refusal.retry_after(Duration::from_secs(1)) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_an_error_whatever_it_was_made_from() {
        assert_eq!(Refusal::new(StatusCode::OK, "").status(), StatusCode::INTERNAL_SERVER_ERROR);
    }

    #[test]
    fn formats_and_headers() {
        let refusal =
            Refusal::new(StatusCode::TOO_MANY_REQUESTS, "a \"b\"").retry_after(Duration::from_millis(1_200));
        let response = refusal.clone().into_reply(ErrorFormat::ProblemJson).into_response();
        assert_eq!(response.headers()[RETRY_AFTER], "2");
        assert_eq!(response.headers()[http::header::CONTENT_TYPE], "application/problem+json");
        let problem: serde_json::Value = serde_json::from_slice(&refusal.problem()).unwrap();
        let expected = serde_json::json!({
            "type": "about:blank", "title": "Too Many Requests", "status": 429, "detail": "a \"b\""
        });
        assert_eq!(problem, expected);
    }

    #[test]
    fn what_a_journal_says_of_itself_is_not_told_to_clients() {
        let why = || "/srv/poll.redb: No space left on device (os error 28)".to_owned();
        for error in [JournalError::Full(why()), JournalError::Unavailable(why())] {
            for refusal in [Refusal::unreadable(error.clone()), PublishError::Journal(error).into()] {
                let problem = String::from_utf8(refusal.problem().to_vec()).unwrap();
                assert!(problem.contains(refusal.detail()));
                assert!(!problem.contains("srv") && !problem.contains("os error"), "{problem}");
            }
        }
    }

    #[test]
    fn only_an_unknown_outcome_says_that_a_message_may_have_been_kept() {
        let unknown = JournalError::OutcomeUnknown("/secret/path".to_owned());
        let refusal = Refusal::from(PublishError::from(unknown));
        assert_eq!(refusal.status(), StatusCode::SERVICE_UNAVAILABLE);
        let problem: serde_json::Value = serde_json::from_slice(&refusal.problem()).unwrap();
        assert!(problem["type"].as_str().unwrap().ends_with("/outcome-unknown"), "{problem}");
        assert!(!problem.to_string().contains("secret"), "{problem}");
        let response = refusal.clone().into_reply(ErrorFormat::Json).into_response();
        assert_eq!(response.headers()[RETRY_AFTER], "1");
        assert!(refusal.detail().contains("outcome is unknown"));

        let others = [JournalError::Unavailable, JournalError::Damaged, JournalError::Full];
        for error in others.map(|error| error("/secret/path".to_owned())) {
            let refusal = Refusal::from(PublishError::from(error));
            let problem: serde_json::Value = serde_json::from_slice(&refusal.problem()).unwrap();
            assert_eq!(problem["type"], "about:blank");
            assert!(refusal.detail().ends_with("the message was not kept"), "{problem}");
        }
    }
}
