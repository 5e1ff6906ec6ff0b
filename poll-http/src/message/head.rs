//! A request's head as the service reads it, whoever read it off the wire.
//!
//! An engine hands over [`Parts`]. What was read without one stays where it lies, in the read buffer: a poll looks at
//! its path, its query and a handful of fields, and to build maps of all of them would cost more than the rest of its
//! way. Nothing is checked here; both forms come out of readers that did.

pub(crate) mod field;
pub(crate) mod plain;

use http::header::ValueIter;
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderName, HeaderValue, Method, Version};

use crate::message::url_encoding::Coding;
pub(crate) use field::{Field, FieldSet};
pub(crate) use plain::{Fields, PlainHead};

/// A head to look things up in.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Head<'a> {
    Parsed(&'a Parts),
    Plain(&'a PlainHead<'a>),
}

/// A field is there more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Repeated;

/// The values of one field, in their order (RFC 9110, section 5.3).
pub(crate) enum Values<'a> {
    Parsed(ValueIter<'a, HeaderValue>),
    /// There is no other.
    Only(Option<&'a [u8]>),
    /// All fields of a head, from the one of this number on.
    Among(&'a Fields<'a>, usize, Field),
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

    /// Of the target, where that is in absolute form; in HTTP/2 `:authority`.
    pub(crate) fn authority(self) -> Option<&'a Authority> {
        match self {
            Self::Parsed(parts) => parts.uri.authority(),
            Self::Plain(_) => None,
        }
    }

    /// Of the target, where that is in absolute form; in HTTP/2 `:scheme`.
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

    /// Of the query.
    pub(crate) fn coding(self) -> Coding {
        match self {
            Self::Parsed(_) => Coding::of(self.query()),
            Self::Plain(head) => head.coding,
        }
    }

    /// The first value of a field.
    pub(crate) fn field(self, field: Field) -> Option<&'a [u8]> {
        match self {
            Self::Parsed(parts) => parts.headers.get(field.name()).map(HeaderValue::as_bytes),
            Self::Plain(head) => head.fields.first(field),
        }
    }

    /// The first value of the field that has this name.
    pub(crate) fn named(self, name: &HeaderName) -> Option<&'a [u8]> {
        match self {
            Self::Parsed(parts) => parts.headers.get(name).map(HeaderValue::as_bytes),
            Self::Plain(head) => head.fields.named(name),
        }
    }

    /// The value of a field that may be there once.
    pub(crate) fn single(self, field: Field) -> Result<Option<&'a [u8]>, Repeated> {
        match self {
            Self::Parsed(parts) => {
                let mut values = parts.headers.get_all(field.name()).iter().map(HeaderValue::as_bytes);
                let value = values.next();
                if values.next().is_some() { Err(Repeated) } else { Ok(value) }
            }
            Self::Plain(head) => head.fields.single(field),
        }
    }

    /// All values of a field.
    pub(crate) fn fields(self, field: Field) -> Values<'a> {
        match self {
            Self::Parsed(parts) => Values::Parsed(parts.headers.get_all(field.name()).iter()),
            Self::Plain(head) => head.fields.all(field),
        }
    }

    /// The values of a field that are text: visible ASCII, spaces and tabs.
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

    /// The same in the types of `http`.
    pub(crate) fn to_parts(self) -> Parts {
        match self {
            Self::Parsed(parts) => parts.clone(),
            Self::Plain(head) => head.parts(),
        }
    }

    /// What `look` makes of it in the types of `http`.
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
            Self::Only(value) => value.take(),
            Self::Among(fields, from, field) => {
                let mut others = fields.iter().enumerate().skip(*from);
                let (at, (_, value)) = others.find(|(_, (name, _))| Field::of(name) == Some(*field))?;
                *from = at + 1;
                Some(value)
            }
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
