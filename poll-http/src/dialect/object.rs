//! The members of a JSON object, the values of an array and the text of a string, read from JSON known to be valid.
//!
//! Not parsed into Rust types, because those refuse what the grammar allows (lone surrogates, numbers beyond a double,
//! deep nesting), and a message that was accepted must be readable through every dialect.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Visitor};

/// The members of a compact JSON object in order, names and values as written. Empty for any other value.
pub(crate) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn of(json: &'a [u8]) -> Self {
        Self(json.strip_prefix(b"{").unwrap_or_default())
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, rest) = self.0.split_at_checked(value_end(self.0))?;
        let rest = rest.strip_prefix(b":")?;
        let (value, rest) = rest.split_at_checked(value_end(rest))?;
        // A comma, or the end of the object.
        self.0 = rest.get(1..).unwrap_or_default();
        Some((name, value))
    }
}

/// The values of a compact JSON array in order, as written. Empty for any other value.
pub(crate) struct Elements<'a>(&'a [u8]);

impl<'a> Elements<'a> {
    pub(crate) fn of(json: &'a [u8]) -> Self {
        Self(json.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]")).unwrap_or_default())
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let (value, rest) = self.0.split_at_checked(value_end(self.0))?;
        // A comma, or the end of the array.
        self.0 = rest.get(1..).unwrap_or_default();
        Some(value)
    }
}

/// The end of the value at the start of compact JSON.
fn value_end(json: &[u8]) -> usize {
    let (mut depth, mut at) = (0usize, 0);
    while let Some(byte) = json.get(at) {
        match byte {
            b'"' => at += string_end(&json[at..]) - 1,
            b'[' | b'{' => depth += 1,
            // They belong to what encloses it.
            b']' | b'}' | b',' | b':' if depth == 0 => return at,
            b']' | b'}' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    at
}

/// The end of the string at the start of `json`.
fn string_end(json: &[u8]) -> usize {
    let mut at = 1;
    while let Some(next) = memchr::memchr2(b'"', b'\\', json.get(at..).unwrap_or_default()) {
        at += next;
        if json[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    json.len()
}

/// The text of a JSON string; `None` for any other value. A lone surrogate, which UTF-8 cannot encode, becomes a
/// replacement character, as in Go and browsers.
pub(crate) fn text(json: &[u8]) -> Option<Cow<'_, str>> {
    let inner = json.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if memchr::memchr(b'\\', inner).is_none() {
        return std::str::from_utf8(inner).ok().map(Cow::Borrowed);
    }
    serde_json::from_slice::<Text>(json).ok().map(|Text(text)| Cow::Owned(text))
}

struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // As bytes, serde_json passes lone surrogates on, encoded like other code points.
        deserializer.deserialize_bytes(TextVisitor).map(Self)
    }
}

struct TextVisitor;

impl Visitor<'_> for TextVisitor {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_bytes<E>(self, mut bytes: &[u8]) -> Result<String, E> {
        /// The length of an encoded surrogate.
        const SURROGATE: usize = 3;
        let mut text = String::with_capacity(bytes.len());
        while let Err(error) = std::str::from_utf8(bytes) {
            let (before, from) = bytes.split_at(error.valid_up_to());
            text.push_str(std::str::from_utf8(before).unwrap_or_default());
            text.push(char::REPLACEMENT_CHARACTER);
            bytes = from.get(SURROGATE..).unwrap_or_default();
        }
        text.push_str(std::str::from_utf8(bytes).unwrap_or_default());
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fields(json: &str) -> Vec<(&str, &str)> {
        let text = |bytes| std::str::from_utf8(bytes).unwrap();
        Fields::of(json.as_bytes()).map(|(name, value)| (text(name), text(value))).collect()
    }

    #[test]
    fn elements_are_as_they_are_written() {
        let elements = |json: &'static str| -> Vec<&str> {
            Elements::of(json.as_bytes()).map(|value| std::str::from_utf8(value).unwrap()).collect()
        };
        assert_eq!(elements("[1]"), ["1"]);
        assert_eq!(
            elements(r#"[[1,2],{"a":[3,"]"]},"\"],[",null,[]]"#),
            ["[1,2]", r#"{"a":[3,"]"]}"#, r#""\"],[""#, "null", "[]"]
        );
        for none in ["[]", "{}", "1", r#""[1]""#, r#"{"a":[1]}"#] {
            assert!(elements(none).is_empty(), "{none}");
        }
    }

    #[test]
    fn fields_are_as_they_are_written() {
        assert_eq!(fields("{}"), []);
        assert_eq!(fields(r#"{"a":1}"#), [("\"a\"", "1")]);
        let json = r#"{"a\\":"}\",{","":[{"b":[]},{}],"\ud800":{"c":"]"},"a\\":null}"#;
        let expected = [
            (r#""a\\""#, r#""}\",{""#),
            (r#""""#, r#"[{"b":[]},{}]"#),
            (r#""\ud800""#, r#"{"c":"]"}"#),
            (r#""a\\""#, "null"),
        ];
        assert_eq!(fields(json), expected);
        for other in ["[1]", "\"{\"", "1", "null"] {
            assert_eq!(fields(other), [], "{other}");
        }
    }

    #[test]
    fn a_text_has_no_lone_surrogates() {
        let cases = [
            (r#""a☃""#, "a☃"),
            (r#""\u0061\n\/\ud83d\ude00""#, "a\n/😀"),
            (r#""\ud800""#, "\u{fffd}"),
            (r#""\udc00\ud800x\ud83d\ud83d\ude00""#, "\u{fffd}\u{fffd}x\u{fffd}😀"),
        ];
        for (json, expected) in cases {
            assert_eq!(text(json.as_bytes()).unwrap(), expected, "{json}");
        }
        for other in ["1", "null", "[\"a\"]", "{}", "\"", ""] {
            assert_eq!(text(other.as_bytes()), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn a_text_is_what_a_parser_makes_of_it(given in "\\PC{0,40}|[\"\\\\\u{0}-\u{20}é😀]{0,20}") {
            let json = serde_json::to_string(&given).unwrap();
            prop_assert_eq!(text(json.as_bytes()).unwrap(), given);
        }

        #[test]
        fn whatever_is_looked_into_no_panic(bytes: Vec<u8>, json in "[\\[\\]{}\",:0\\\\u]{0,24}") {
            for bytes in [bytes.as_slice(), json.as_bytes()] {
                prop_assert!(Fields::of(bytes).count() <= bytes.len());
                let _ = text(bytes);
            }
        }

        #[test]
        fn fields_put_together_again_are_the_object(pairs in proptest::collection::vec(("\\PC{0,6}", "[\\[\\]{}\",:a]{0,6}"), 0..5)) {
            let pairs: Vec<_> = pairs.iter().map(|(name, value)| {
                let text = |text: &str| serde_json::to_string(text).unwrap();
                format!("{}:[{{{}:{}}}]", text(name), text(value), text(value))
            }).collect();
            let json = format!("{{{}}}", pairs.join(","));
            let again: Vec<_> = fields(&json).into_iter().map(|(name, value)| format!("{name}:{value}")).collect();
            prop_assert_eq!(again, pairs);
        }
    }
}
