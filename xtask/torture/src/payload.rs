//! What answers say: the lines of a stream, the messages of a poll, and the token in each message.
//!
//! Anything that no reader may be told (the channel's end) is an error here, because no channel of a course is ever
//! closed. Whether a reader may be told that its log was reset, or that something is missing, is for its [position] to say.
//!
//! [position]: crate::position::Position::told

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::client::Gone;

/// What one line of a stream says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Where the reader is, and nothing new.
    Position { cursor: String },
    /// A message.
    Message(Message),
    /// A message that comes by a pushed response, named by its cursor.
    Announced { seq: u64, cursor: String },
    /// Something about the log itself.
    Told { notice: Notice, cursor: String },
}

/// What a reader is told about the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Notice {
    /// It is another one now, and begins anew; or a stream says that messages are missing.
    Reset,
    /// Messages are missing.
    Missed,
    /// Nothing new can come.
    Stalled,
    /// It can again.
    Resumed,
}

/// What a poll was answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Polled {
    pub(super) messages: Vec<Message>,
    /// Where to go on.
    pub(super) cursor: String,
    pub(super) notice: Option<Notice>,
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
pub(super) fn line(line: &str) -> Result<Line> {
    let value: Value = serde_json::from_str(line).with_context(|| format!("`{line}` is not JSON"))?;
    let cursor = text(&value, "cursor")?;
    match value["type"].as_str() {
        Some("connected" | "heartbeat") => Ok(Line::Position { cursor }),
        Some("update") => Ok(Line::Message(message(&value, "message", Some(cursor))?)),
        Some("push") => Ok(Line::Announced { seq: number(&value)?, cursor }),
        Some("reset") => Ok(Line::Told { notice: Notice::Reset, cursor }),
        Some("stalled") => Ok(Line::Told { notice: Notice::Stalled, cursor }),
        Some("resumed") => Ok(Line::Told { notice: Notice::Resumed, cursor }),
        Some("closed") if value["reason"] == "draining" => Err(Gone("the server drains").into()),
        _ => bail!("no reader should be told `{line}`"),
    }
}

/// Reads a short or long poll.
pub(super) fn poll(value: &Value) -> Result<Polled> {
    ensure!(value.get("closed").is_none(), "no reader should be told `{value}`");
    let missed = value.get("missed").map(|_| Notice::Missed);
    let notice = value.get("reset").map_or(missed, |_| Some(Notice::Reset));
    let list = value["messages"].as_array().with_context(|| format!("`{value}` has no messages"))?;
    ensure!(value["count"] == list.len(), "`{value}` counts wrongly");
    let messages = list.iter().map(|one| message(one, "content", None)).collect::<Result<_>>()?;
    Ok(Polled { messages, cursor: text(value, "cursor")?, notice })
}

/// The incarnation of a channel that a cursor belongs to. A cursor is opaque to clients; a judge may look into it.
pub(super) fn epoch(cursor: &str) -> Result<u64> {
    let digits = cursor.get(..16).filter(|_| cursor.len() == 32);
    let epoch = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
    epoch.with_context(|| format!("`{cursor}` is no cursor"))
}

/// Reads a message that stands under `payload`.
pub(super) fn message(value: &Value, payload: &str, cursor: Option<String>) -> Result<Message> {
    Ok(Message { seq: number(value)?, token: token(&value[payload])?, cursor })
}

/// The token that a publisher gave a message, through whichever door it came and goes: a text, or an object that holds
/// it, or such an object as text.
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
        let parsed = line(r#"{"type":"update","counter":7,"id":7,"message":"7","cursor":"c"}"#).unwrap();
        assert_eq!(parsed, Line::Message(Message { seq: 7, token: "7".into(), cursor: Some("c".into()) }));
        assert_eq!(
            line(r#"{"type":"heartbeat","cursor":"c"}"#).unwrap(),
            Line::Position { cursor: "c".into() }
        );
        for (name, notice) in
            [("reset", Notice::Reset), ("stalled", Notice::Stalled), ("resumed", Notice::Resumed)]
        {
            let told = line(&format!(r#"{{"type":"{name}","cursor":"c"}}"#)).unwrap();
            assert_eq!(told, Line::Told { notice, cursor: "c".into() });
        }
        assert!(line(r#"{"type":"closed","reason":"ended","cursor":"c"}"#).is_err());
    }

    #[test]
    fn a_cursor_names_its_epoch() {
        assert_eq!(epoch(&format!("{:016x}{:016x}", 7, 9)).ok(), Some(7));
        assert!(epoch("7").is_err());
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
    fn a_poll_says_what_became_of_the_log() {
        let fine = serde_json::json!({"messages": [{"id": 1, "content": "1"}], "count": 1, "cursor": "c"});
        let polled = Polled {
            messages: vec![Message { seq: 1, token: "1".into(), cursor: None }],
            cursor: "c".into(),
            notice: None,
        };
        assert_eq!(poll(&fine).unwrap(), polled);
        let reset = serde_json::json!({"messages": [], "count": 0, "cursor": "c", "reset": true});
        assert_eq!(poll(&reset).unwrap().notice, Some(Notice::Reset));
        let missed = serde_json::json!({"messages": [], "count": 0, "cursor": "c", "missed": 1});
        assert_eq!(poll(&missed).unwrap().notice, Some(Notice::Missed));
        assert!(
            poll(&serde_json::json!({"messages": [], "count": 0, "cursor": "c", "closed": true})).is_err()
        );
    }
}
