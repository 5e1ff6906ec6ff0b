//! A request's head as the service reads it, whoever read it off the wire.
//!
//! An engine hands over [`Parts`]. What was read without one stays where it lies, in the read buffer: a poll looks at
//! its path, its query and a handful of fields, and to build maps of all of them would cost more than the rest of its
//! way. Nothing is checked here; both forms come out of readers that did.

use bytes::Bytes;
use http::header::ValueIter;
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderName, HeaderValue, Method, Request, Uri, Version};

use crate::body::RequestBody;

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
    /// As `httparse` takes them: names are tokens, values visible or opaque.
    pub(crate) fields: &'a [httparse::Header<'a>],
}

/// A head to look things up in.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Head<'a> {
    Parsed(&'a Parts),
    Plain(&'a PlainHead<'a>),
}

/// The values of one field, in their order (RFC 9110, section 5.3).
pub(crate) enum Values<'a, 'n> {
    Parsed(ValueIter<'a, HeaderValue>),
    Plain(std::slice::Iter<'a, httparse::Header<'a>>, &'n str),
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
        Head::Plain(&self.head).field(name)
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
        for field in self.fields {
            let name = HeaderName::from_bytes(field.name.as_bytes());
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(field.value)) {
                parts.headers.append(name, value);
            }
        }
        parts
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

    /// The first value of a field.
    pub(crate) fn field(self, name: &HeaderName) -> Option<&'a [u8]> {
        self.fields(name).next()
    }

    /// All values of a field.
    pub(crate) fn fields(self, name: &HeaderName) -> Values<'a, '_> {
        match self {
            Self::Parsed(parts) => Values::Parsed(parts.headers.get_all(name).iter()),
            Self::Plain(head) => Values::Plain(head.fields.iter(), name.as_str()),
        }
    }

    /// The values of a field that are text: visible ASCII, spaces and tabs.
    pub(crate) fn texts(self, name: &HeaderName) -> impl Iterator<Item = &'a str> {
        self.fields(name).filter_map(text)
    }

    /// Whether it has any of these fields.
    pub(crate) fn has_any(self, names: &[HeaderName]) -> bool {
        match self {
            Self::Parsed(parts) => parts.headers.keys().any(|name| names.contains(name)),
            Self::Plain(head) => {
                head.fields.iter().any(|field| names.iter().any(|name| is(field.name, name.as_str())))
            }
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

impl<'a> Iterator for Values<'a, '_> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        match self {
            Self::Parsed(values) => values.next().map(HeaderValue::as_bytes),
            Self::Plain(fields, name) => fields.find(|field| is(field.name, name)).map(|field| field.value),
        }
    }
}

/// Field names have no case (RFC 9110, section 5.1).
fn is(field: &str, name: &str) -> bool {
    field.len() == name.len() && field.eq_ignore_ascii_case(name)
}

/// A field's value as text, if it is visible ASCII, spaces and tabs.
pub(crate) fn text(value: &[u8]) -> Option<&str> {
    let text = value.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~'));
    if text { std::str::from_utf8(value).ok() } else { None }
}
