//! What a channel's messages are, as its creator said.

use std::fmt;
use std::sync::Arc;

/// A media type (RFC 9110 §8.3.1) as it was given, parameters included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentType(Arc<str>);

/// The text is not a media type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentTypeError;

impl ContentType {
    /// The longest one in bytes.
    pub const MAX_BYTES: usize = 255;

    /// Parses `type/subtype`, with parameters or without.
    ///
    /// # Errors
    /// When it has another form, is longer than [`Self::MAX_BYTES`], or holds anything but visible ASCII and spaces.
    pub fn parse(text: &str) -> Result<Self, ContentTypeError> {
        let text = text.trim();
        let visible = text.bytes().all(|byte| (b' '..=b'~').contains(&byte) || byte == b'\t');
        let (kind, subtype) = media(text).split_once('/').ok_or(ContentTypeError)?;
        let fits = visible && text.len() <= Self::MAX_BYTES;
        if fits && is_token(kind) && is_token(subtype) {
            Ok(Self(text.into()))
        } else {
            Err(ContentTypeError)
        }
    }

    /// As it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the two say the same, whatever their parameters and case.
    #[must_use]
    pub fn is_same_media(&self, other: &Self) -> bool {
        self.is(media(other.as_str()))
    }

    /// Whether this is `application/json`.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.is("application/json")
    }

    /// Whether this is `text/…`.
    #[must_use]
    pub fn is_text(&self) -> bool {
        self.as_str().get(..5).is_some_and(|kind| kind.eq_ignore_ascii_case("text/"))
    }

    fn is(&self, other: &str) -> bool {
        media(self.as_str()).eq_ignore_ascii_case(other)
    }
}

/// The part before the parameters.
fn media(text: &str) -> &str {
    text.split(';').next().unwrap_or_default().trim()
}

/// RFC 9110 §5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

impl fmt::Display for ContentTypeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a media type")
    }
}

impl std::error::Error for ContentTypeError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_media_type() {
        for good in ["text/plain", "Application/JSON; charset=utf-8", "application/vnd.a+json", " a/b "] {
            assert!(ContentType::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "text", "/plain", "text/", "text/pl ain", "text/plain/x", "a/b; c=\u{e9}", "a\n/b"] {
            assert_eq!(ContentType::parse(bad), Err(ContentTypeError), "{bad}");
        }
    }

    #[test]
    fn parameters_and_case_do_not_matter() {
        let parse = |text| ContentType::parse(text).unwrap();
        assert!(parse("application/json; charset=utf-8").is_same_media(&parse("APPLICATION/json")));
        assert!(!parse("text/plain").is_same_media(&parse("text/html")));
        assert!(parse("Text/Plain").is_text() && !parse("application/text").is_text());
        assert!(parse("application/JSON;x=1").is_json());
    }
}
