//! What a stream's content type means for its content: JSON values, text, or bytes.

use poll_core::life::ContentType;

/// How the content of a stream is read and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Media {
    /// A list of JSON values.
    Json,
    /// Text, which is sent in events as it is.
    Text,
    /// Bytes, which are sent in events in base64.
    Bytes,
}

/// The content type of a stream that was created without one.
pub(crate) const DEFAULT: &str = "application/octet-stream";
/// That of a channel that was born by a publish.
pub(crate) const OF_PUBLISHED: &str = "application/json";

impl Media {
    /// Of a content type; without one, of a channel that was born by a publish.
    pub(crate) fn of(content_type: Option<&ContentType>) -> Self {
        match content_type {
            None => Self::Json,
            Some(content_type) if content_type.is_json() => Self::Json,
            Some(content_type) if content_type.is_text() => Self::Text,
            Some(_) => Self::Bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_without_its_parameters_decides() {
        let cases = [
            ("application/json", Media::Json),
            ("Application/JSON; charset=utf-8", Media::Json),
            ("text/plain", Media::Text),
            ("TEXT/html ;x=y", Media::Text),
            ("application/ld+json", Media::Bytes),
            ("application/x-ndjson", Media::Bytes),
            (DEFAULT, Media::Bytes),
            (OF_PUBLISHED, Media::Json),
            ("image/png", Media::Bytes),
        ];
        for (content_type, media) in cases {
            assert_eq!(Media::of(Some(&ContentType::parse(content_type).unwrap())), media, "{content_type}");
        }
        assert_eq!(Media::of(None), Media::Json);
    }
}
