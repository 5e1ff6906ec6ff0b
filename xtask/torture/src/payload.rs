//! One line of a stream, and the messages of a poll's answer.
//!
//! Anything that a reader of a sound log must never be told (a reset, something missed, the channel's end) is an error
//! here, since no lane's channel is ever reset, trimmed or closed.

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::gone::Gone;

/// What one line of a stream says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Where the reader stands, and nothing new.
    Standing { cursor: String },
    /// A message.
    Message(Message),
    /// A message that comes by a pushed response, named by its cursor.
    Announced { seq: u64, cursor: String },
}

/// A message, and where to go on after it if that was told with it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) seq: u64,
    /// What its publisher called it.
    pub(super) token: String,
    pub(super) cursor: Option<String>,
}

/// Reads one line of `/api/stream` or `/api/push`.
pub(super) fn parse(line: &str) -> Result<Line> {
    let value: Value = serde_json::from_str(line).with_context(|| format!("`{line}` is not JSON"))?;
    let cursor = text(&value, "cursor")?;
    match value["type"].as_str() {
        Some("connected" | "heartbeat") => Ok(Line::Standing { cursor }),
        Some("update") => Ok(Line::Message(message(&value, "message", Some(cursor))?)),
        Some("push") => Ok(Line::Announced { seq: number(&value)?, cursor }),
        Some("closed") if value["reason"] == "draining" => Err(Gone("the server drains".to_owned()).into()),
        _ => bail!("no lane should be told `{line}`"),
    }
}

/// Reads the body of a short or long poll: its messages, and the cursor to go on from.
pub(super) fn parse_poll(body: &[u8]) -> Result<(Vec<Message>, String)> {
    let shown = || String::from_utf8_lossy(body).into_owned();
    let value: Value = serde_json::from_slice(body).with_context(|| format!("`{}` is not JSON", shown()))?;
    for flag in ["missed", "reset", "closed"] {
        ensure!(value.get(flag).is_none(), "no lane should be told `{}`", shown());
    }
    let list = value["messages"].as_array().with_context(|| format!("`{}` has no messages", shown()))?;
    ensure!(value["count"] == list.len(), "`{}` counts wrongly", shown());
    let messages = list.iter().map(|one| message(one, "content", None)).collect::<Result<_>>()?;
    Ok((messages, text(&value, "cursor")?))
}

/// Reads a message that stands alone, such as a pushed one.
pub(super) fn parse_message(body: &[u8]) -> Result<Message> {
    message(&serde_json::from_slice(body).context("a message is not JSON")?, "content", None)
}

fn message(value: &Value, payload: &str, cursor: Option<String>) -> Result<Message> {
    Ok(Message { seq: number(value)?, token: token(&value[payload])?, cursor })
}

/// The token that a publisher gave a message, whichever door it was published by and is read through: a text, or an
/// object that holds it, or an object's text.
pub(super) fn token(payload: &Value) -> Result<String> {
    if let Some(token) = payload.as_str() {
        return match serde_json::from_str::<Value>(token) {
            Ok(object @ Value::Object(_)) => self::token(&object),
            _ => Ok(token.to_owned()),
        };
    }
    let held = payload["token"].as_str().or_else(|| payload["data"].as_str());
    Ok(held.with_context(|| format!("`{payload}` was never published"))?.to_owned())
}

fn number(value: &Value) -> Result<u64> {
    value["id"].as_u64().with_context(|| format!("`{value}` has no id"))
}

fn text(value: &Value, key: &str) -> Result<String> {
    Ok(value[key].as_str().with_context(|| format!("`{value}` has no {key}"))?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_apart() {
        let parsed = parse(r#"{"type":"update","counter":7,"id":7,"message":"7","cursor":"c"}"#).unwrap();
        assert_eq!(parsed, Line::Message(Message { seq: 7, token: "7".into(), cursor: Some("c".into()) }));
        assert_eq!(
            parse(r#"{"type":"heartbeat","cursor":"c"}"#).unwrap(),
            Line::Standing { cursor: "c".into() }
        );
        assert!(parse(r#"{"type":"reset","missed":1,"cursor":"c"}"#).is_err());
    }

    #[test]
    fn a_token_is_found_through_every_door() {
        for payload in
            [r#""a-1""#, r#"{"token":"a-1"}"#, r#"{"data":"a-1","id":"x"}"#, r#""{\"token\":\"a-1\"}""#]
        {
            assert_eq!(token(&serde_json::from_str(payload).unwrap()).unwrap(), "a-1", "{payload}");
        }
        assert!(token(&Value::Null).is_err());
    }

    #[test]
    fn a_poll_that_missed_something_is_an_error() {
        let fine = br#"{"messages":[{"id":1,"content":"1"}],"count":1,"cursor":"c"}"#;
        assert_eq!(
            parse_poll(fine).unwrap(),
            (vec![Message { seq: 1, token: "1".into(), cursor: None }], "c".into())
        );
        assert!(parse_poll(br#"{"messages":[],"count":0,"cursor":"c","missed":1}"#).is_err());
    }
}
