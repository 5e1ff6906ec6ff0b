//! A request's head as the service reads it, whoever read it off the wire.
//!
//! An engine hands over [`Parts`]. What was read without one stays where it lies, in the read buffer: a poll looks at
//! its path, its query and a handful of fields, and to build maps of all of them would cost more than the rest of its
//! way. Nothing is checked here; both forms come out of readers that did.

mod field;

use bytes::Bytes;
use http::header::ValueIter;
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderName, HeaderValue, Method, Request, Uri, Version};

use crate::body::RequestBody;
use crate::query::Coding;
pub(crate) use field::{Field, FieldSet};

/// A plain request of HTTP/1.1 where it lies in the read buffer: a whole GET or POST that asks nothing of its
/// connection but to be kept.
#[derive(Debug)]
pub struct PlainRequest<'a> {
    pub(crate) head: PlainHead<'a>,
    /// Its content, whole.
    pub(crate) content: &'a [u8],
}

/// The head of a [`PlainRequest`].
#[derive(Debug)]
pub(crate) struct PlainHead<'a> {
    pub(crate) method: Method,
    /// From its first `/` to the query. Holds nothing that RFC 3986 does not let stand in a path.
    pub(crate) path: &'a str,
    /// Behind the `?`, if there is one. Holds nothing that RFC 3986 does not let stand in a query.
    pub(crate) query: Option<&'a str>,
    /// Of path and query.
    pub(crate) coding: Coding,
    pub(crate) fields: PlainFields<'a>,
}

/// The fields of a [`PlainHead`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct PlainFields<'a> {
    /// As `httparse` takes them: names are tokens, values visible or opaque.
    pub(crate) all: &'a [httparse::Header<'a>],
    pub(crate) places: &'a Places,
}

/// Where among the fields of a head those are that anything here looks at.
#[derive(Debug, Default)]
pub(crate) struct Places {
    there: FieldSet,
    /// More than once.
    repeated: FieldSet,
    /// The first of each.
    first: [u8; Field::COUNT],
}

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
    Among(std::slice::Iter<'a, httparse::Header<'a>>, Field),
}

impl PlainRequest<'_> {
    /// GET or POST.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.head.method
    }

    /// From its first `/` to the query, as it was sent: percent-encoded.
    #[must_use]
    pub fn path(&self) -> &str {
        self.head.path
    }

    /// What stands behind the `?`, if there is one; percent-encoded.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.head.query
    }

    /// The first value of a field, if there is one.
    #[must_use]
    pub fn field(&self, name: &HeaderName) -> Option<&[u8]> {
        let (fields, name) = (self.head.fields, name.as_str());
        match Field::of(name.as_bytes()) {
            Some(field) => fields.first(field),
            None => {
                fields.all.iter().find(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
            }
        }
    }

    /// Its content, whole; of a GET empty.
    #[must_use]
    pub fn content(&self) -> &[u8] {
        self.content
    }

    /// The same in the types of `http`, with nothing borrowed.
    #[must_use]
    pub fn into_request(self) -> Request<RequestBody> {
        let body = if self.content.is_empty() {
            RequestBody::Empty
        } else {
            RequestBody::Full(Bytes::copy_from_slice(self.content))
        };
        Request::from_parts(self.head.parts(), body)
    }
}

impl PlainHead<'_> {
    /// The same in the types of `http`.
    fn parts(&self) -> Parts {
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.method = self.method.clone();
        let target = self.query.map(|query| [self.path, "?", query].concat());
        // What its reader lets through is a target.
        parts.uri = Uri::try_from(target.as_deref().unwrap_or(self.path)).unwrap_or_default();
        for field in self.fields.all {
            let name = HeaderName::from_bytes(field.name.as_bytes());
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(field.value)) {
                parts.headers.append(name, value);
            }
        }
        parts
    }
}

impl<'a> PlainFields<'a> {
    /// The first value of a field.
    pub(crate) fn first(self, field: Field) -> Option<&'a [u8]> {
        if !self.places.there.has(field) {
            return None;
        }
        let place = self.places.first[field as usize];
        self.all.get(usize::from(place)).map(|field| field.value)
    }

    /// The value of a field that may be there once.
    pub(crate) fn single(self, field: Field) -> Result<Option<&'a [u8]>, Repeated> {
        if self.places.repeated.has(field) { Err(Repeated) } else { Ok(self.first(field)) }
    }

    /// All values of a field.
    pub(crate) fn all(self, field: Field) -> Values<'a> {
        self.single(field).map_or_else(|Repeated| Values::Among(self.all.iter(), field), Values::Only)
    }
}

impl Places {
    /// Notes where fields are, of which there are no more than a byte counts.
    pub(crate) fn note(&mut self, fields: &[httparse::Header<'_>]) {
        for (place, name) in (0..=u8::MAX).zip(fields.iter().map(|field| field.name)) {
            let Some(field) = Field::of(name.as_bytes()) else { continue };
            if self.there.has(field) {
                self.repeated.insert(field);
            } else {
                self.there.insert(field);
                self.first[field as usize] = place;
            }
        }
    }

    /// Which fields there are.
    pub(crate) fn there(&self) -> FieldSet {
        self.there
    }
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

    /// Of the target, where that is in absolute form.
    pub(crate) fn authority(self) -> Option<&'a Authority> {
        match self {
            Self::Parsed(parts) => parts.uri.authority(),
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
            Self::Plain(head) => head.fields.places.there().meets(fields),
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
            Self::Among(fields, field) => {
                let same = |other: &&httparse::Header<'_>| Field::of(other.name.as_bytes()) == Some(*field);
                fields.find(same).map(|field| field.value)
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
