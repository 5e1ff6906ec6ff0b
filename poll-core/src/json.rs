//! JSON as a payload: checked once, kept compact, never taken apart.
//!
//! What is checked is what every reader's parser needs: the grammar (RFC 8259), numbers that fit a double,
//! escapes that form characters, and nesting of at most 128. The text itself is kept but for white space, so
//! that numbers keep their digits and objects the order of their keys.

use std::fmt;

use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// The bytes are not one JSON value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonError(String);

/// Checks that `text` is one JSON value and gives it without insignificant white space.
pub(crate) fn compact(text: &[u8]) -> Result<Bytes, JsonError> {
    let text = std::str::from_utf8(text).map_err(|_| JsonError("not UTF-8".to_owned()))?;
    serde_json::from_str::<Checked>(text).map_err(|error| JsonError(error.to_string()))?;
    let text = text.trim_matches([' ', '\t', '\r', '\n']).as_bytes();
    let mut out = Vec::with_capacity(text.len());
    let (mut quoted, mut escaped) = (false, false);
    for &byte in text {
        if quoted || !byte.is_ascii_whitespace() {
            out.push(byte);
        }
        quoted = if quoted { escaped || byte != b'"' } else { byte == b'"' };
        escaped = quoted && byte == b'\\' && !escaped;
    }
    // The white space that is gone must not stay as room behind what is left.
    Ok(out.into_boxed_slice().into())
}

/// Walks a whole value. `serde::de::IgnoredAny` would skip: it lets lone surrogates and 1e999 pass.
struct Checked;

impl<'de> Deserialize<'de> for Checked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Checked)
    }
}

impl<'de> Visitor<'de> for Checked {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E: Error>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self, A::Error> {
        while fields.next_entry::<CheckedKey, Self>()?.is_some() {}
        Ok(self)
    }
}

/// A key must be read as a string, or its escapes go unchecked.
struct CheckedKey;

impl<'de> Deserialize<'de> for CheckedKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Checked).map(|_| Self)
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a JSON value: {}", self.0)
    }
}

impl std::error::Error for JsonError {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn white_space_goes_and_everything_else_stays() {
        let cases = [
            (r#" { "a" : [ 1 , 2.50 ] , "b\" c" : " x \\" } "#, r#"{"a":[1,2.50],"b\" c":" x \\"}"#),
            ("\t1e3\n", "1e3"),
            (r#""a\\" "#, r#""a\\""#),
            ("123456789012345678901234567890", "123456789012345678901234567890"),
        ];
        for (given, kept) in cases {
            assert_eq!(compact(given.as_bytes()).unwrap(), kept.as_bytes(), "{given}");
        }
    }

    #[test]
    fn what_some_parser_would_choke_on_is_refused() {
        let deep = "[".repeat(200) + &"]".repeat(200);
        for bad in
            ["", "{", "1 2", "nul", "NaN", "1e999", r#""\ud800""#, r#"{"\ud800":1}"#, "\"\u{1}\"", &deep]
        {
            assert!(compact(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(compact(b"\"\xff\"").is_err());
    }

    proptest! {
        #[test]
        fn compact_means_the_same_and_is_a_fixed_point(text in "[ \\[\\]{}\",:0-9a\\\\n.-]{0,24}") {
            let whole = serde_json::from_str::<serde_json::Value>(&text);
            match compact(text.as_bytes()) {
                Ok(kept) => {
                    prop_assert_eq!(serde_json::from_slice::<serde_json::Value>(&kept).unwrap(), whole.unwrap());
                    prop_assert_eq!(compact(&kept).unwrap(), kept);
                }
                Err(_) => prop_assert!(whole.is_err()),
            }
        }
    }
}
