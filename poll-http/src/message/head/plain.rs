//! The head of a plain HTTP/1.1 request in the read buffer, as parsed by the fast path.

use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Uri};

use crate::message::head::field::{Field, FieldSet, Repeated, single};

/// The head of a GET or POST that asks for nothing but to keep the connection open.
#[derive(Debug)]
pub(crate) struct PlainHead<'a> {
    pub(crate) method: Method,
    /// Begins with `/`. Only characters that a path may have (RFC 3986, section 3.3).
    pub(crate) path: &'a str,
    /// What follows the `?`. Only characters that a query may have (RFC 3986, section 3.4).
    pub(crate) query: Option<&'a str>,
    pub(crate) fields: &'a Fields<'a>,
}

/// The fields of a head, in the order in which they came.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    all: Vec<(Option<Field>, httparse::Header<'a>)>,
    there: FieldSet,
}

/// The values of one field.
pub(crate) struct PlainValues<'h, 'a> {
    field: Field,
    headers: std::slice::Iter<'h, (Option<Field>, httparse::Header<'a>)>,
}

/// A plain head has at most this many fields. Browsers send about fifteen, proxies add a few.
const MOST_FIELDS: usize = 32;

impl PlainHead<'_> {
    /// Converts to the types of `http`.
    pub(crate) fn parts(&self) -> Parts {
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.method = self.method.clone();
        let target = self.query.map(|query| [self.path, "?", query].concat());
        // A head with any other target is not read as a plain one.
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
    /// Reads a header section with its empty line. `None` if `text` is not exactly that, or has too many fields.
    pub(crate) fn read(text: &'a [u8]) -> Option<Self> {
        let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
        let Ok(httparse::Status::Complete((length, fields))) = httparse::parse_headers(text, &mut fields)
        else {
            return None;
        };
        if length != text.len() {
            return None;
        }
        let all: Vec<_> = fields.iter().map(|header| (Field::of(header.name.as_bytes()), *header)).collect();
        let mut there = FieldSet::default();
        all.iter().filter_map(|(field, _)| *field).for_each(|field| there.insert(field));
        Some(Self { all, there })
    }

    /// Names and values.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (&'a [u8], &'a [u8])> {
        self.all.iter().map(|(_, header)| (header.name.as_bytes(), header.value))
    }

    /// Which known fields there are.
    pub(crate) fn there(&self) -> FieldSet {
        self.there
    }

    /// The first value of a field.
    pub(crate) fn first(&self, field: Field) -> Option<&'a [u8]> {
        self.all(field).next()
    }

    /// The first value of the field of this name.
    pub(crate) fn named(&self, name: &HeaderName) -> Option<&[u8]> {
        let name = name.as_str().as_bytes();
        match Field::of(name) {
            Some(field) => self.first(field),
            None => self.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value),
        }
    }

    /// The value of a field that may occur only once.
    pub(crate) fn single(&self, field: Field) -> Result<Option<&'a [u8]>, Repeated> {
        single(self.all(field))
    }

    /// All values of a field.
    pub(crate) fn all(&self, field: Field) -> PlainValues<'_, 'a> {
        // Most fields asked for are absent.
        let headers = if self.there.has(field) { &self.all[..] } else { &[] };
        PlainValues { field, headers: headers.iter() }
    }
}

impl<'a> Iterator for PlainValues<'_, 'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.headers.find(|(field, _)| *field == Some(self.field)).map(|(_, header)| header.value)
    }
}
