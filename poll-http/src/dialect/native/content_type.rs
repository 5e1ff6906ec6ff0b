//! The content types of native publishes.

use poll_core::Payload;

use crate::message::head::is_text;

/// How content is parsed, by its `Content-Type` (RFC 9110, section 8.3).
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ContentType {
    Json,
    Lines,
    /// Lines that have been parsed.
    Read(Vec<Payload>),
    Text,
    Form,
    /// With its boundary, if there is one.
    Multipart(Option<Box<str>>),
    Other,
}

impl ContentType {
    pub(super) fn of(content_type: Option<&[u8]>) -> Self {
        let value = match content_type {
            // Common spellings first.
            Some(b"text/plain") => return Self::Text,
            Some(b"application/json") => return Self::Json,
            Some(value) if is_text(value) => value,
            Some(_) | None => return Self::Other,
        };
        let essence = value.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
        let is = |media: &[u8]| essence.eq_ignore_ascii_case(media);
        let part =
            |range: Option<&[u8]>, text: &[u8]| range.is_some_and(|part| part.eq_ignore_ascii_case(text));
        match essence.len() {
            _ if part(essence.get(..b"text/".len()), b"text/") => Self::Text,
            _ if is(b"application/json") => Self::Json,
            _ if is(b"application/x-ndjson") => Self::Lines,
            _ if is(b"application/x-www-form-urlencoded") => Self::Form,
            _ if is(b"multipart/form-data") => {
                Self::Multipart(std::str::from_utf8(value).ok().and_then(boundary))
            }
            length if part(essence.get(length.saturating_sub(b"+json".len())..), b"+json") => Self::Json,
            _ => Self::Other,
        }
    }
}

/// The `boundary` parameter.
fn boundary(content_type: &str) -> Option<Box<str>> {
    multer::parse_boundary(content_type).ok().map(String::into_boxed_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boundary_may_be_quoted() {
        assert_eq!(boundary("multipart/form-data; boundary=\"a b\"").as_deref(), Some("a b"));
        assert_eq!(boundary("multipart/form-data"), None);
    }
}
