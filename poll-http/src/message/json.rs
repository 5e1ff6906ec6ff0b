//! Writing payloads and other values as JSON.
//!
//! Answers are written as text and not built as trees: a message's own JSON is there already, and most of the rest is
//! constant.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use poll_core::{Cursor, Payload, Timestamp, escape_line_separators};
use uuid::Uuid;

/// The encoding of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Plain,
    /// Bytes that are not UTF-8, in base64 (RFC 4648, section 4).
    Base64,
}

/// Writes a payload as one JSON value: JSON as it is, text as a string, bytes as a base64 string.
pub(crate) fn write_payload(out: &mut Vec<u8>, payload: &Payload) -> Encoding {
    match payload {
        Payload::Json(json) => out.extend_from_slice(json),
        Payload::Text(text) => write_text(out, text),
        Payload::Binary(bytes) => {
            write_base64(out, bytes);
            return Encoding::Base64;
        }
    }
    Encoding::Plain
}

/// Writes UTF-8 text as a JSON string.
pub(crate) fn write_text(out: &mut Vec<u8>, text: &[u8]) {
    if !any(text, |byte| is_escaped(byte) | !byte.is_ascii()) {
        return write_quoted(out, text);
    }
    match std::str::from_utf8(text) {
        Ok(text) => write_string(out, text),
        // Not reached: text payloads are UTF-8 by construction.
        Err(_) => write_string(out, &String::from_utf8_lossy(text)),
    }
}

/// Writes a JSON string, with line separators escaped.
pub(crate) fn write_string(out: &mut Vec<u8>, text: &str) {
    if !any(text.as_bytes(), |byte| is_escaped(byte) | may_separate(byte)) {
        return write_quoted(out, text.as_bytes());
    }
    let start = out.len();
    // Writing to a vector cannot fail.
    let _ = serde_json::to_writer(&mut *out, text);
    escape_line_separators(out, start);
}

/// Whether a byte may begin a line separator in UTF-8.
fn may_separate(byte: u8) -> bool {
    (byte == 0xc2) | (byte == 0xe2)
}

/// Whether a byte must be escaped in a JSON string (RFC 8259, section 7).
fn is_escaped(byte: u8) -> bool {
    (byte < b' ') | (byte == b'"') | (byte == b'\\')
}

/// Without a branch for each byte, so that the loop is vectorized.
fn any(text: &[u8], is: impl Fn(u8) -> bool) -> bool {
    text.iter().fold(0, |any, byte| any | u8::from(is(*byte))) != 0
}

fn write_quoted(out: &mut Vec<u8>, text: &[u8]) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    out.extend_from_slice(text);
    out.push(b'"');
}

fn write_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    let start = out.len();
    out.resize(start + base64::encoded_len(bytes.len(), true).unwrap_or_default(), 0);
    let written = STANDARD.encode_slice(bytes, &mut out[start..]).unwrap_or_default();
    out.truncate(start + written);
    out.push(b'"');
}

/// Writes a time in RFC 3339 as a string.
pub(crate) fn write_time(out: &mut Vec<u8>, at: Timestamp) {
    out.push(b'"');
    out.extend_from_slice(&at.to_rfc3339());
    out.push(b'"');
}

/// Writes a number. Not with `write!`, which takes ten times as long, and every answer has several.
pub(crate) fn write_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Writes a cursor as a string.
pub(crate) fn write_cursor(out: &mut Vec<u8>, cursor: Cursor) {
    out.push(b'"');
    out.extend_from_slice(&cursor.to_text());
    out.push(b'"');
}

/// Writes an id as a string.
pub(crate) fn write_id(out: &mut Vec<u8>, id: Uuid) {
    let mut text = Uuid::encode_buffer();
    out.push(b'"');
    out.extend_from_slice(id.hyphenated().encode_lower(&mut text).as_bytes());
    out.push(b'"');
}

/// Writes `,"encoding":"base64"` if that is the encoding.
pub(crate) fn write_encoding(out: &mut Vec<u8>, encoding: Encoding) {
    if encoding == Encoding::Base64 {
        out.extend_from_slice(br#","encoding":"base64""#);
    }
}

/// What follows the opening quote, if `json` is a string.
pub(crate) fn json_string(json: &[u8]) -> Option<&[u8]> {
    json.strip_prefix(b"\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_strings_of_json() {
        let long = "long enough to be looked at in words, ".repeat(3);
        for at in 0..long.len() {
            for (other, escaped) in [
                ("", ""),
                ("\"", r#"\""#),
                ("\\", r"\\"),
                ("\0", r"\u0000"),
                ("\u{1f}", r"\u001f"),
                ("\u{7f}", "\u{7f}"),
                ("é", "é"),
                ("☃\u{a0}", "☃\u{a0}"),
                ("\u{2028}\u{85}\n\u{2029}", r"\u2028\u0085\n\u2029"),
            ] {
                let text = [&long[..at], other, &long[at..]].concat();
                let (mut out, json) = (Vec::new(), ["\"", &long[..at], escaped, &long[at..], "\""].concat());
                write_text(&mut out, text.as_bytes());
                write_string(&mut out, &text);
                assert_eq!(String::from_utf8(out).unwrap(), json.repeat(2));
            }
        }
        let mut out = Vec::new();
        write_text(&mut out, b"a\xff");
        assert_eq!(out, "\"a\u{fffd}\"".as_bytes());
    }
}
