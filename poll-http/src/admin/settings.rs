//! What an operator sets for one channel, as JSON: its retention.
//!
//! A member that is missing or `null` is the server's own setting, and 0 is no limit, as in the server's flags.

use poll_core::life::{Bound, Bounds};
use serde_json::Value;

use crate::message::json::write_number;
use crate::message::refusal::Refusal;

/// The longest content, in bytes.
pub(crate) const MOST_BYTES: usize = 4 * 1024;

const NAMES: [&str; 3] = ["retain_messages", "retain_seconds", "retain_bytes"];

/// Parses the content of a PUT.
///
/// # Errors
/// 400 that names what is wrong.
pub(crate) fn parse(content: &[u8]) -> Result<Bounds, Refusal> {
    let value: Value = serde_json::from_slice(content)
        .map_err(|error| Refusal::bad_request(format!("the content is not JSON: {error}")))?;
    let Value::Object(object) = value else {
        return Err(Refusal::bad_request("the content is not a JSON object"));
    };
    if let Some(name) = object.keys().find(|name| !NAMES.contains(&name.as_str())) {
        return Err(Refusal::bad_request(format!("`{name}`: there is no such setting of a channel")));
    }
    let bound = |name: &str| match object.get(name) {
        None | Some(Value::Null) => Ok(Bound::Server),
        Some(value) => match value.as_u64() {
            Some(0) => Ok(Bound::Unlimited),
            Some(most) => Ok(Bound::Most(most)),
            None => Err(Refusal::bad_request(format!("`{name}`: a whole number, 0 for no limit, or null"))),
        },
    };
    let [messages, seconds, bytes] = NAMES.map(bound);
    Ok(Bounds { messages: messages?, seconds: seconds?, bytes: bytes? })
}

/// Writes them as they are parsed.
pub(crate) fn write(out: &mut Vec<u8>, bounds: &Bounds) {
    for (place, (name, bound)) in
        NAMES.iter().zip([bounds.messages, bounds.seconds, bounds.bytes]).enumerate()
    {
        out.extend_from_slice(if place == 0 { b"{\"" } else { b",\"" });
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        match bound {
            Bound::Server => out.extend_from_slice(b"null"),
            Bound::Unlimited => out.push(b'0'),
            Bound::Most(most) => write_number(out, most),
        }
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_written_as_they_are_read() {
        for text in [
            r#"{"retain_messages":7,"retain_seconds":0,"retain_bytes":null}"#,
            r#"{"retain_messages":null,"retain_seconds":60,"retain_bytes":1024}"#,
        ] {
            let mut written = Vec::new();
            write(&mut written, &parse(text.as_bytes()).unwrap());
            assert_eq!(String::from_utf8(written).unwrap(), text);
        }
        assert_eq!(parse(b"{}").unwrap(), Bounds::SERVER);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, named) in [
            ("", "JSON"),
            ("[]", "object"),
            (r#"{"retain_message":1}"#, "`retain_message`"),
            (r#"{"retain_bytes":-1}"#, "`retain_bytes`"),
            (r#"{"retain_seconds":1.5}"#, "`retain_seconds`"),
            (r#"{"retain_messages":"7"}"#, "`retain_messages`"),
        ] {
            let refusal = parse(text.as_bytes()).unwrap_err();
            assert!(refusal.detail().contains(named), "{text}: {}", refusal.detail());
        }
    }
}
