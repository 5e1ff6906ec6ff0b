//! Percent-encoding and `+`, as URLs and forms have them (WHATWG URL §5.1), and how to undo them.

use std::borrow::Cow;

use memchr::memchr2;
use percent_encoding::percent_decode_str;

/// Whether anything in a text stands for something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Encoded,
    Plain,
}

impl Coding {
    pub(crate) fn of(text: &str) -> Self {
        if memchr2(b'%', b'+', text.as_bytes()).is_some() { Self::Encoded } else { Self::Plain }
    }
}

/// Undoes `+` and percent-encoding; `None` where a `%` encodes nothing or the bytes are not UTF-8.
pub(crate) fn decode(value: &str) -> Option<Cow<'_, str>> {
    if Coding::of(value) == Coding::Plain {
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
