//! Content as messages and messages as content: a JSON value or each value of an array, or bytes in pieces of the size that
//! a message may have.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use poll_core::{Batch, Form, Message, Payload, Rendering};

use crate::dialect::durable_streams::media::Media;
use crate::dialect::message_list;
use crate::dialect::object::Elements;
use crate::message::body::Body;
use crate::message::coding::Codings;
use crate::message::gzip;
use crate::message::json::write_payload;
use crate::message::refusal::Refusal;
use crate::worker::budget::{self, cost};

/// The most content of one append in bytes: as large as an answer is at most.
const MOST_BYTES: usize = 1 << 20;
/// The most messages of one append: so many are published within a few milliseconds.
const MOST_MESSAGES: usize = 10_000;

/// The most content of one append in bytes, where a message has at most `most_payload`.
pub(crate) fn most_bytes(most_payload: usize) -> usize {
    MOST_BYTES.max(most_payload)
}

/// A batch as the body of a read, shared by all its readers.
pub(super) fn body(batch: &Arc<Batch>, media: Media, codings: Codings) -> Body {
    let bytes = whole(batch, media);
    let form = match media {
        Media::Json => Form::new("stream array, gzip"),
        Media::Text | Media::Bytes => Form::new("stream bytes, gzip"),
    };
    if codings == Codings::Gzip
        && bytes.len() > gzip::SMALL
        && let Some(body) = message_list::gzipped(batch, form, &bytes, &[])
    {
        return body;
    }
    let others = if Arc::strong_count(batch) > 1 { bytes.len() } else { 0 };
    Body::full(bytes).sharing(others)
}

/// A batch as the content of a stream: an array of JSON, or the bytes one after another.
fn whole(batch: &Batch, media: Media) -> Bytes {
    let form = if media == Media::Json { Form::new("stream array") } else { Form::new("stream bytes") };
    let rendering = batch.render(form, |batch| {
        let bytes = match (media, batch.messages()) {
            (Media::Text | Media::Bytes, [only]) => {
                let (Payload::Json(bytes) | Payload::Text(bytes) | Payload::Binary(bytes)) = &only.payload;
                bytes.clone()
            }
            (Media::Json, messages) => {
                let mut out = Vec::with_capacity(batch.payload_bytes() + messages.len() + 2);
                write_values(&mut out, messages.iter().map(AsRef::as_ref));
                out.into()
            }
            (Media::Text | Media::Bytes, messages) => joined(messages.iter().map(AsRef::as_ref)).into(),
        };
        budget::charge(cost::RENDERED_BYTE * bytes.len() as u64);
        Rendering { bytes, ends: Box::default() }
    });
    rendering.bytes.clone()
}

/// Writes messages as an array: JSON as it is, text as a string, bytes in base64.
pub(super) fn write_values<'a>(out: &mut Vec<u8>, messages: impl Iterator<Item = &'a Message>) {
    out.push(b'[');
    for (index, message) in messages.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_payload(out, &message.payload);
    }
    out.push(b']');
}

/// The bytes of messages, one after another.
pub(super) fn joined<'a>(messages: impl Iterator<Item = &'a Message>) -> Vec<u8> {
    messages.fold(Vec::new(), |mut all, message| {
        all.extend_from_slice(message.payload.as_bytes());
        all
    })
}

/// What content becomes, in messages of at most `most_payload` bytes. An empty array has none.
///
/// # Errors
/// 400 for malformed JSON, 413 for a value that is too large or too many of them.
pub(super) fn payloads(media: Media, content: &[u8], most_payload: usize) -> Result<Vec<Payload>, Refusal> {
    match media {
        Media::Json => values(content, most_payload),
        Media::Text | Media::Bytes => Ok(pieces(content, most_payload)),
    }
}

/// One value, or those of an array: one level only, so an array in an array is a value.
fn values(content: &[u8], most_payload: usize) -> Result<Vec<Payload>, Refusal> {
    let json =
        Payload::json(content).map_err(|error| Refusal::bad_request(format!("the content: {error}")))?;
    let text = json.as_bytes();
    let payloads = if text.first() == Some(&b'[') {
        let copied = |value: &[u8]| Payload::Json(Bytes::copy_from_slice(value));
        let values: Vec<_> = Elements::of(text).take(MOST_MESSAGES + 1).map(copied).collect();
        if values.len() > MOST_MESSAGES {
            let detail = format!("the array has more than {MOST_MESSAGES} values");
            return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
        }
        values
    } else {
        vec![json]
    };
    if payloads.iter().any(|payload| payload.len() > most_payload) {
        return Err(Refusal::too_large("the message", most_payload));
    }
    Ok(payloads)
}

/// Bytes in pieces. Text is cut between characters, so that each piece is text to the other endpoints, too.
fn pieces(content: &[u8], most_payload: usize) -> Vec<Payload> {
    let most = most_payload.max(char::MAX.len_utf8());
    let text = std::str::from_utf8(content).ok();
    let mut pieces = Vec::with_capacity(content.len().div_ceil(most));
    let mut rest = content;
    while !rest.is_empty() {
        let begin = content.len() - rest.len();
        let mut end = rest.len().min(most);
        if let Some(text) = text {
            while !text.is_char_boundary(begin + end) {
                end -= 1;
            }
        }
        let (piece, left) = rest.split_at(end);
        pieces.push(Payload::bytes(piece));
        rest = left;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn json(content: &str) -> Result<Vec<String>, StatusCode> {
        let payloads = payloads(Media::Json, content.as_bytes(), 16).map_err(|refusal| refusal.status())?;
        Ok(payloads.iter().map(|payload| String::from_utf8(payload.as_bytes().to_vec()).unwrap()).collect())
    }

    #[test]
    fn an_array_is_its_values_one_level_deep() {
        let cases: [(&str, &[&str]); 9] = [
            ("1", &["1"]),
            (r#"{"a": [1, 2]}"#, &[r#"{"a":[1,2]}"#]),
            ("[]", &[]),
            (" [ ] ", &[]),
            ("[1, 2]", &["1", "2"]),
            ("[[1, 2]]", &["[1,2]"]),
            ("[[], [[]]]", &["[]", "[[]]"]),
            (r#"["a,b", null, true]"#, &[r#""a,b""#, "null", "true"]),
            ("null", &["null"]),
        ];
        for (content, values) in cases {
            assert_eq!(json(content).unwrap(), values, "{content}");
        }
        for malformed in ["", "[", "[1,]", "1 2", "x", "{"] {
            assert_eq!(json(malformed), Err(StatusCode::BAD_REQUEST), "{malformed}");
        }
        assert_eq!(json(r#"["0123456789012345"]"#), Err(StatusCode::PAYLOAD_TOO_LARGE));
        let many = format!("[{}1]", "1,".repeat(MOST_MESSAGES));
        assert_eq!(json(&many), Err(StatusCode::PAYLOAD_TOO_LARGE));
    }

    proptest! {
        #[test]
        fn pieces_are_small_and_together_the_content(content: Vec<u8>, most in 1usize..9) {
            let pieces = payloads(Media::Bytes, &content, most).unwrap();
            prop_assert!(pieces.iter().all(|piece| !piece.is_empty() && piece.len() <= most.max(4)));
            let whole: Vec<u8> = pieces.iter().flat_map(|piece| piece.as_bytes().to_vec()).collect();
            prop_assert_eq!(whole, content);
        }

        #[test]
        fn pieces_of_text_are_text(content: String, most in 1usize..9) {
            let pieces = payloads(Media::Text, content.as_bytes(), most).unwrap();
            prop_assert!(pieces.iter().all(|piece| matches!(piece, Payload::Text(_))));
        }
    }
}
