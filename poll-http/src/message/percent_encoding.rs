//! Decoding of percent-encoding and `+` in URLs and forms (WHATWG URL, section 5.1).

use std::borrow::Cow;

use memchr::memchr2;
use percent_encoding::percent_decode_str;

/// Decodes `+` and percent-encoding; `None` where a `%` is not followed by two hexadecimal digits, or the result is not
/// UTF-8.
pub(crate) fn decode(value: &str) -> Option<Cow<'_, str>> {
    if memchr2(b'%', b'+', value.as_bytes()).is_none() {
        return Some(Cow::Borrowed(value));
    }
    if !is_encoded(value.as_bytes()) {
        return None;
    }
    let spaced = value.replace('+', " ");
    let bytes: Vec<u8> = percent_decode_str(&spaced).collect();
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

/// Whether two hexadecimal digits follow each `%`.
pub(crate) fn is_encoded(text: &[u8]) -> bool {
    text.iter().enumerate().filter(|(_, byte)| **byte == b'%').all(|(at, _)| {
        let digits = text.get(at + 1..at + 3);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}
