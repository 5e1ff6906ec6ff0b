//! A request's head as the service reads it: [`Parts`] from hyper or h2, or a plain head still in the read buffer.
//!
//! A poll looks at its path, its query and a handful of fields, so building a map of all of them would cost more than
//! the rest of the request. Nothing is validated here: both kinds come from readers that did.

pub(crate) mod field;
pub(crate) mod plain;

use http::header::ValueIter;
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderName, HeaderValue, Method, Version};

use field::single;
pub(crate) use field::{Field, FieldSet, Repeated};
use plain::PlainValues;
pub(crate) use plain::{Fields, PlainHead};

/// Ends a head in HTTP/1.1 (RFC 9112, section 2.1).
pub(crate) const HEAD_END: &[u8] = b"\r\n\r\n";

/// A request's head.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Head<'a> {
    Parsed(&'a Parts),
    Plain(&'a PlainHead<'a>),
}

/// The values of one field, in their order (RFC 9110, section 5.3).
pub(crate) enum Values<'a> {
    Parsed(ValueIter<'a, HeaderValue>),
    Plain(PlainValues<'a, 'a>),
}

impl<'a> Head<'a> {
    pub(crate) fn method(self) -> &'a Method {
        match self {
            Self::Parsed(parts) => &parts.method,
            Self::Plain(head) => &head.method,
        }
    }

    pub(crate) fn version(self) -> Version {
        match self {
            Self::Parsed(parts) => parts.version,
            Self::Plain(_) => Version::HTTP_11,
        }
    }

    /// Of a target in absolute form; in HTTP/2 `:authority`.
    pub(crate) fn authority(self) -> Option<&'a Authority> {
        match self {
            Self::Parsed(parts) => parts.uri.authority(),
            Self::Plain(_) => None,
        }
    }

    /// Of a target in absolute form; in HTTP/2 `:scheme`.
    pub(crate) fn scheme(self) -> Option<&'a str> {
        match self {
            Self::Parsed(parts) => parts.uri.scheme_str(),
            Self::Plain(_) => None,
        }
    }

    pub(crate) fn path(self) -> &'a str {
        match self {
            Self::Parsed(parts) => parts.uri.path(),
            Self::Plain(head) => head.path,
        }
    }

    /// Empty where there is none.
    pub(crate) fn query(self) -> &'a str {
        match self {
            Self::Parsed(parts) => parts.uri.query(),
            Self::Plain(head) => head.query,
        }
        .unwrap_or_default()
    }

    /// The first value of a field.
    pub(crate) fn field(self, field: Field) -> Option<&'a [u8]> {
        #[cfg(test)]
        crate::message::asked::note(field.name().as_str());
        match self {
            Self::Parsed(parts) => parts.headers.get(field.name()).map(HeaderValue::as_bytes),
            Self::Plain(head) => head.fields.first(field),
        }
    }

    /// The first value of the field that has this name.
    pub(crate) fn named(self, name: &HeaderName) -> Option<&'a [u8]> {
        #[cfg(test)]
        crate::message::asked::note(name.as_str());
        match self {
            Self::Parsed(parts) => parts.headers.get(name).map(HeaderValue::as_bytes),
            Self::Plain(head) => head.fields.named(name),
        }
    }

    /// The value of a field that may occur only once.
    pub(crate) fn single(self, field: Field) -> Result<Option<&'a [u8]>, Repeated> {
        single(self.fields(field))
    }

    /// All values of a field.
    pub(crate) fn fields(self, field: Field) -> Values<'a> {
        #[cfg(test)]
        crate::message::asked::note(field.name().as_str());
        match self {
            Self::Parsed(parts) => Values::Parsed(parts.headers.get_all(field.name()).iter()),
            Self::Plain(head) => Values::Plain(head.fields.all(field)),
        }
    }

    /// Those values of a field that are text: visible ASCII, spaces and tabs.
    pub(crate) fn texts(self, field: Field) -> impl Iterator<Item = &'a str> {
        self.fields(field).filter_map(text)
    }

    /// Whether it has any of these fields.
    pub(crate) fn has_any(self, fields: FieldSet) -> bool {
        match self {
            Self::Parsed(parts) => {
                let mut there = parts.headers.keys().filter_map(|name| Field::of(name.as_str().as_bytes()));
                there.any(|field| fields.has(field))
            }
            Self::Plain(head) => head.fields.there().meets(fields),
        }
    }

    /// Converts to the types of `http`.
    pub(crate) fn to_parts(self) -> Parts {
        match self {
            Self::Parsed(parts) => parts.clone(),
            Self::Plain(head) => head.parts(),
        }
    }

    /// Shows the head in the types of `http`.
    pub(crate) fn with_parts<T>(self, look: impl FnOnce(&Parts) -> T) -> T {
        match self {
            Self::Parsed(parts) => look(parts),
            Self::Plain(head) => look(&head.parts()),
        }
    }
}

impl<'a> From<&'a Parts> for Head<'a> {
    fn from(parts: &'a Parts) -> Self {
        Self::Parsed(parts)
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        match self {
            Self::Parsed(values) => values.next().map(HeaderValue::as_bytes),
            Self::Plain(values) => values.next(),
        }
    }
}

/// Whether a field's value is text: visible ASCII, spaces and tabs.
pub(crate) fn is_text(value: &[u8]) -> bool {
    value.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~'))
}

/// A field's value as text, if it is that.
pub(crate) fn text(value: &[u8]) -> Option<&str> {
    if is_text(value) { std::str::from_utf8(value).ok() } else { None }
}
