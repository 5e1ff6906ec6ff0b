//! The head of a plain request of HTTP/1.1 where it was read, without an engine.

use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Uri};

use crate::message::head::{Field, FieldSet, Repeated, Values};
use crate::message::url_encoding::Coding;

/// The head of a GET or POST that asks nothing of its connection but to be kept.
#[derive(Debug)]
pub(crate) struct PlainHead<'a> {
    pub(crate) method: Method,
    /// From its first `/` to the query. Holds nothing that RFC 3986 does not let stand in a path.
    pub(crate) path: &'a str,
    /// Behind the `?`, if there is one. Holds nothing that RFC 3986 does not let stand in a query.
    pub(crate) query: Option<&'a str>,
    /// Of path and query.
    pub(crate) coding: Coding,
    pub(crate) fields: &'a Fields<'a>,
}

/// The fields of a head, and where among them those are that anything here looks at.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    /// In the order in which they came.
    all: Vec<httparse::Header<'a>>,
    there: FieldSet,
    /// More than once.
    repeated: FieldSet,
    /// The first of each.
    first: [u8; Field::COUNT],
}

/// Fields of a plain head. Browsers send about fifteen, proxies add a few.
const MOST_FIELDS: usize = 32;

impl PlainHead<'_> {
    /// The same in the types of `http`.
    pub(crate) fn parts(&self) -> Parts {
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.method = self.method.clone();
        let target = self.query.map(|query| [self.path, "?", query].concat());
        // What its reader lets through is a target.
        parts.uri = Uri::try_from(target.as_deref().unwrap_or(self.path)).unwrap_or_default();
        for (name, value) in self.fields.iter() {
            let name = HeaderName::from_bytes(name);
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
                parts.headers.append(name, value);
            }
        }
        parts
    }
}

impl<'a> Fields<'a> {
    /// Reads fields, of which `text` holds no more and no less, with the empty line behind them. `None` where it does
    /// not, and where there are more than a plain head has.
    pub(crate) fn read(text: &'a [u8]) -> Option<Self> {
        let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
        let Ok(httparse::Status::Complete((length, fields))) = httparse::parse_headers(text, &mut fields)
        else {
            return None;
        };
        if length != text.len() {
            return None;
        }
        let (mut there, mut repeated) = (FieldSet::default(), FieldSet::default());
        let mut first = [0; Field::COUNT];
        for (place, field) in (0..=u8::MAX).zip(fields.iter()) {
            let Some(field) = Field::of(field.name.as_bytes()) else { continue };
            if there.has(field) {
                repeated.insert(field);
            } else {
                there.insert(field);
                first[field as usize] = place;
            }
        }
        Some(Self { all: fields.to_vec(), there, repeated, first })
    }

    /// Names, which are tokens, and values, which are visible or opaque.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (&'a [u8], &'a [u8])> {
        self.all.iter().map(|field| (field.name.as_bytes(), field.value))
    }

    /// Which fields there are.
    pub(crate) fn there(&self) -> FieldSet {
        self.there
    }

    /// The first value of a field.
    pub(crate) fn first(&self, field: Field) -> Option<&'a [u8]> {
        if !self.there.has(field) {
            return None;
        }
        let place = self.first[field as usize];
        self.all.get(usize::from(place)).map(|field| field.value)
    }

    /// The first value of the field that has this name.
    pub(crate) fn named(&self, name: &HeaderName) -> Option<&[u8]> {
        let name = name.as_str().as_bytes();
        match Field::of(name) {
            Some(field) => self.first(field),
            None => self.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value),
        }
    }

    /// The value of a field that may be there once.
    pub(crate) fn single(&self, field: Field) -> Result<Option<&'a [u8]>, Repeated> {
        if self.repeated.has(field) { Err(Repeated) } else { Ok(self.first(field)) }
    }

    /// All values of a field.
    pub(crate) fn all(&self, field: Field) -> Values<'_> {
        self.single(field).map_or_else(|Repeated| Values::Among(self, 0, field), Values::Only)
    }
}
