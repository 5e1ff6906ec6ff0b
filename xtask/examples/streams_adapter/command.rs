//! What the suite asks, and what it is answered: a line of JSON each.

use std::collections::BTreeMap;

use poll_client::Error;
use poll_client::durable_streams::AppendError;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Any command; which fields it has depends on its type.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Command {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) server_url: String,
    pub(crate) path: String,
    pub(crate) content_type: Option<String>,
    pub(crate) ttl_seconds: Option<u64>,
    pub(crate) expires_at: Option<String>,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) closed: bool,
    pub(crate) data: Option<String>,
    pub(crate) binary: bool,
    pub(crate) seq: Option<u64>,
    pub(crate) items: Vec<String>,
    pub(crate) producer_id: String,
    pub(crate) epoch: u64,
    pub(crate) auto_claim: bool,
    pub(crate) max_in_flight: Option<u32>,
    pub(crate) offset: Option<String>,
    pub(crate) live: Value,
    pub(crate) timeout_ms: Option<u64>,
    pub(crate) max_chunks: Option<usize>,
    pub(crate) wait_for_up_to_date: bool,
    pub(crate) name: String,
    pub(crate) value_type: String,
    pub(crate) initial_value: String,
    pub(crate) target: Map<String, Value>,
}

/// A command that failed.
pub(crate) struct Failure {
    status: Option<u16>,
    code: &'static str,
    message: String,
}

impl Failure {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { status: None, code, message: message.into() }
    }

    /// Of a stream: messages have to name it.
    pub(crate) fn of(error: &AppendError, path: &str, seq: Option<u64>) -> Self {
        let refused = |status: u16| match (status, seq) {
            (400, _) => "INVALID_OFFSET",
            (404, _) => "NOT_FOUND",
            (409, Some(_)) => "SEQUENCE_CONFLICT",
            (409, None) => "CONFLICT",
            _ => "UNEXPECTED_STATUS",
        };
        let (status, code) = match error {
            AppendError::Closed { .. } => (Some(409), "STREAM_CLOSED"),
            AppendError::StaleEpoch { .. } => (Some(403), "UNEXPECTED_STATUS"),
            AppendError::Gap { .. } => (Some(409), "SEQUENCE_CONFLICT"),
            AppendError::Failed(Error::Refused(problem)) => (Some(problem.status), refused(problem.status)),
            AppendError::Failed(Error::Timeout { .. }) => (None, "TIMEOUT"),
            AppendError::Failed(Error::Connect { .. } | Error::Connection(_) | Error::Cut) => {
                (None, "NETWORK_ERROR")
            }
            AppendError::Failed(Error::Protocol(_)) => (None, "PARSE_ERROR"),
            AppendError::Failed(Error::Usage(_)) => (None, "INVALID_ARGUMENT"),
            _ => (None, "INTERNAL_ERROR"),
        };
        Self { status, code, message: format!("{path}: {error}") }
    }

    pub(crate) fn into_answer(self, kind: &str) -> Value {
        json!({
            "type": "error",
            "success": false,
            "commandType": kind,
            "status": self.status,
            "errorCode": self.code,
            "message": self.message,
        })
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::of(&error.into(), "", None)
    }
}

/// The answer to a command that succeeded, with these fields.
pub(crate) fn success(kind: &str, fields: Value) -> Value {
    let mut answer = json!({ "type": kind, "success": true, "status": 200 });
    if let (Value::Object(answer), Value::Object(fields)) = (&mut answer, fields) {
        answer.extend(fields.into_iter().filter(|(_, value)| !value.is_null()));
    }
    answer
}
