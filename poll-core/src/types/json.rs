//! JSON as a payload: checked once, kept compact, never parsed into values.
//!
//! Any value that RFC 8259 allows is accepted, nested up to [`MAX_JSON_DEPTH`]. The grammar leaves some to the reader:
//! escapes of lone surrogates (section 8.2) and numbers that fit no double (section 6) are kept as they are written,
//! as are digits, escapes and the order of keys. Only insignificant white space goes, and characters that some readers
//! take for the end of a line are escaped.

use std::fmt;

use bytes::Bytes;
use serde::de::IgnoredAny;

/// How deep arrays and objects may be nested. Below what common parsers accept by default (PHP 512, Jackson and Python
/// 1000), with room for what an answer puts around a message.
pub const MAX_JSON_DEPTH: usize = 500;

/// The bytes are not one JSON value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonError(String);

/// Checks that `text` is one JSON value, nested at most `most_depth` deep, and gives it without insignificant white space
/// and line separators.
///
/// # Errors
/// When it is not.
pub fn compact_json(text: &[u8], most_depth: usize) -> Result<Bytes, JsonError> {
    let text = std::str::from_utf8(text).map_err(|_| JsonError("not UTF-8".to_owned()))?;
    // Follows the grammar alone, without recursion; a typed walk would refuse lone surrogates and 1e999.
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| JsonError(error.to_string()))?;
    let text = text.trim_matches([' ', '\t', '\r', '\n']).as_bytes();
    let mut out = Vec::with_capacity(text.len());
    let (mut quoted, mut escaped, mut depth) = (false, false, 0);
    for &byte in text {
        if quoted {
            out.push(byte);
            quoted = escaped || byte != b'"';
            escaped = byte == b'\\' && !escaped;
            continue;
        }
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => continue,
            b'"' => quoted = true,
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth -= 1,
            _ => {}
        }
        if depth > most_depth {
            return Err(JsonError(format!("nested deeper than {most_depth}")));
        }
        out.push(byte);
    }
    escape_line_separators(&mut out, 0);
    // The white space that is gone must not remain as spare capacity.
    Ok(out.into_boxed_slice().into())
}

/// Escapes U+2028, U+2029 and U+0085 in JSON text from `start` on. They may only occur in strings, where an escape means
/// the same, and readers that split lines as Unicode does would break there.
pub fn escape_line_separators(json: &mut Vec<u8>, start: usize) {
    let Some((first, _)) = line_separator(&json[start..]) else { return };
    let rest = json.split_off(start + first);
    let mut rest = rest.as_slice();
    while let Some((at, (character, escape))) = line_separator(rest) {
        json.extend_from_slice(&rest[..at]);
        json.extend_from_slice(escape);
        rest = &rest[at + character.len()..];
    }
    json.extend_from_slice(rest);
}

type Escaped = (&'static [u8], &'static [u8]);

/// The first line separator in UTF-8, by its offset, and how it is escaped.
fn line_separator(text: &[u8]) -> Option<(usize, Escaped)> {
    const ALL: [Escaped; 3] = [
        ("\u{85}".as_bytes(), br"\u0085"),
        ("\u{2028}".as_bytes(), br"\u2028"),
        ("\u{2029}".as_bytes(), br"\u2029"),
    ];
    let mut from = 0;
    // Their first bytes begin much else as well, such as typographic quotes.
    while let Some(at) = memchr::memchr2(0xc2, 0xe2, &text[from..]) {
        from += at;
        if let Some(found) = ALL.into_iter().find(|(character, _)| text[from..].starts_with(character)) {
            return Some((from, found));
        }
        from += 1;
    }
    None
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

    fn compact(text: &[u8]) -> Result<Bytes, JsonError> {
        compact_json(text, MAX_JSON_DEPTH)
    }

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
    fn what_the_grammar_allows_is_kept_as_it_is_written() {
        let deepest = "[".repeat(MAX_JSON_DEPTH) + &"]".repeat(MAX_JSON_DEPTH);
        let long = format!("{}.{}e-{}", "9".repeat(400), "1".repeat(400), "7".repeat(30));
        let cases = [
            "1e999",
            "-1E+400",
            "-0.0",
            &long,
            r#""\ud800""#,
            r#""\udc00\ud800 \uD83D\uDE00""#,
            r#"{"\ud800":1,"\ud800":2}"#,
            r#""\u0000\u2028\/""#,
            "\"\u{7f}\u{feff}\u{1f600}\"",
            &deepest,
        ];
        for json in cases {
            assert_eq!(compact(json.as_bytes()).unwrap(), json.as_bytes(), "{json}");
        }
    }

    #[test]
    fn what_the_grammar_does_not_allow_is_refused() {
        let deep = "[".repeat(MAX_JSON_DEPTH + 1) + &"]".repeat(MAX_JSON_DEPTH + 1);
        let open = "[".repeat(100_000);
        let cases = [
            "",
            "{",
            "1 2",
            "nul",
            "NaN",
            "Infinity",
            "01",
            "1.",
            ".5",
            "+1",
            "[1,]",
            "{\"a\":1,}",
            "'a'",
            "\"\u{1}\"",
            r#""\x""#,
            r#""\ud80""#,
            "\u{feff}1",
            "1\u{a0}",
            "//\n1",
            &deep,
            &open,
        ];
        for bad in cases {
            assert!(compact(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(compact(b"\"\xff\"").is_err());
        assert!(compact(b"\"\xed\xa0\x80\"").is_err(), "a surrogate is no character in UTF-8");
    }

    #[test]
    fn what_ends_a_line_elsewhere_is_escaped() {
        let cases = [
            ("\"a\u{2028}b\u{2029}\u{85}c\"", r#""a\u2028b\u2029\u0085c""#),
            ("{\"\u{2028}\": \"\\\u{2028}\"}", ""),
            ("{ \"\u{85}\": \"\\\\\u{85}\" }", r#"{"\u0085":"\\\u0085"}"#),
            ("\"\u{2018}\u{c5}\u{a0}\u{2027}\u{202a}\"", "\"\u{2018}\u{c5}\u{a0}\u{2027}\u{202a}\""),
        ];
        for (given, kept) in cases {
            let got = compact(given.as_bytes());
            assert_eq!(got.ok().as_deref().unwrap_or_default(), kept.as_bytes(), "{given}");
        }
        let mut text = "\u{2028}\u{85}".as_bytes().to_vec();
        escape_line_separators(&mut text, 3);
        assert_eq!(text, "\u{2028}\\u0085".as_bytes(), "from there on");
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
