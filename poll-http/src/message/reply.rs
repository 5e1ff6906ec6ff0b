//! An answer of the service on its way to a connection.
//!
//! Nearly all answers have the same few fields. They are kept by name, so that HTTP/1.1 writes them as they are; a map
//! is made of them only where an engine wants one.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, ETAG, LOCATION, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE, X_CONTENT_TYPE_OPTIONS,
};
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use poll_core::{Charge, Timestamp};

use crate::message::body::Body;

/// An answer: its status, its fields, its body. Made from a `Response<Body>`, and made into one by
/// [`into_response`](Self::into_response).
#[derive(Debug)]
pub struct Reply {
    pub(crate) status: StatusCode,
    /// `Content-Type`.
    pub(crate) media: Option<&'static str>,
    /// `Cache-Control`.
    pub(crate) cache: Option<Cow<'static, str>>,
    /// `ETag`.
    pub(crate) tag: Option<Box<[u8]>>,
    /// `Location`.
    pub(crate) location: Option<Box<[u8]>>,
    /// When it was made, if somebody looked; its `Date`.
    pub(crate) made: Option<Timestamp>,
    /// `X-Content-Type-Options`.
    pub(crate) sniffing: Sniffing,
    /// What few answers have.
    pub(crate) more: Option<Box<More>>,
    pub(crate) body: Body,
}

/// Whether a browser may guess what a body is (Fetch §3.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sniffing {
    Forbidden,
    /// Nothing is said of it.
    Unsaid,
}

#[derive(Debug, Default)]
pub(crate) struct More {
    headers: HeaderMap,
    extensions: Extensions,
}

/// Whether an answer's body is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wants {
    Body,
    /// The request was a HEAD.
    HeadOnly,
}

impl Wants {
    pub(crate) fn of<B>(request: &Request<B>) -> Self {
        if request.method() == Method::HEAD { Self::HeadOnly } else { Self::Body }
    }
}

/// What a message says of its framing (RFC 9112, section 6), or to the next hop only (RFC 9110, section 7.6.1). In
/// HTTP/2 most of them make it malformed (RFC 9113, section 8.2.2).
const FRAMING: [HeaderName; 8] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    CONTENT_LENGTH,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// The one value that the field has.
pub(crate) const NOSNIFF: &str = "nosniff";

impl Reply {
    /// An answer without fields.
    pub(crate) fn new(status: StatusCode, body: Body) -> Self {
        Self {
            status,
            media: None,
            cache: None,
            tag: None,
            location: None,
            made: None,
            sniffing: Sniffing::Unsaid,
            more: None,
            body,
        }
    }

    /// The same with its bytes charged for as long as any of them is held, if there is a charge.
    #[must_use]
    pub(crate) fn charged(self, charge: Option<Charge>) -> Self {
        let Some(charge) = charge else { return self };
        Self { body: self.body.charged(charge), ..self }
    }

    /// What it says of how the request went.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Fields that have no place of their own.
    pub(crate) fn headers(&self) -> Option<&HeaderMap> {
        self.more.as_ref().map(|more| &more.headers)
    }

    /// The same, to add to.
    pub(crate) fn headers_mut(&mut self) -> &mut HeaderMap {
        &mut self.more.get_or_insert_default().headers
    }

    /// Takes fields out that have no place of their own.
    pub(crate) fn remove(&mut self, names: &[HeaderName]) {
        if let Some(more) = &mut self.more {
            names.iter().for_each(|name| drop(more.headers.remove(name)));
        }
    }

    /// Leaves it to the connection how the end of the body is told, and what holds for one hop; only a wish to close
    /// is kept, as the one `Connection` field. An interim answer in place of a final one becomes a 500.
    pub(crate) fn leave_framing(&mut self, wants: Wants) {
        if self.status.is_informational() {
            *self = Self::new(StatusCode::INTERNAL_SERVER_ERROR, Body::empty());
        }
        let Some(more) = &mut self.more else { return };
        if more.headers.is_empty() {
            return;
        }
        let closes = asks_to_close(&more.headers);
        // Only of what GET would have sent is nothing else known.
        let length = more.headers.get(CONTENT_LENGTH).filter(|length| {
            wants == Wants::HeadOnly && self.body.exact_length() == Some(0) && is_number(length.as_bytes())
        });
        let length = length.cloned();
        FRAMING.iter().for_each(|name| drop(more.headers.remove(name)));
        if let Some(length) = length {
            more.headers.insert(CONTENT_LENGTH, length);
        }
        if closes {
            more.headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
    }

    /// What it carries for those on its way, by type.
    pub(crate) fn extension<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.more.as_ref()?.extensions.get()
    }

    /// The same, to add to.
    pub(crate) fn extensions_mut(&mut self) -> &mut Extensions {
        &mut self.more.get_or_insert_default().extensions
    }

    /// The answer in the types of `http`. A field that could not be written is left out.
    #[must_use]
    pub fn into_response(self) -> Response<Body> {
        let more = self.more.map_or_else(More::default, |more| *more);
        let mut response = Response::new(self.body);
        *response.status_mut() = self.status;
        *response.extensions_mut() = more.extensions;
        let headers = response.headers_mut();
        // With date and length, which are put in behind, this is what nearly all answers have.
        *headers = HeaderMap::with_capacity(6 + more.headers.len());
        if let Some(media) = self.media {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
        }
        let cache = self.cache.and_then(|cache| match cache {
            Cow::Borrowed(cache) => Some(HeaderValue::from_static(cache)),
            Cow::Owned(cache) => HeaderValue::try_from(cache).ok(),
        });
        let text = |text: Box<[u8]>| HeaderValue::from_maybe_shared(Bytes::from(text)).ok();
        let fields = [
            (CACHE_CONTROL, cache),
            (ETAG, self.tag.and_then(text)),
            (LOCATION, self.location.and_then(text)),
        ];
        for (name, value) in fields {
            value.into_iter().for_each(|value| drop(headers.insert(name.clone(), value)));
        }
        if self.sniffing == Sniffing::Forbidden {
            headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static(NOSNIFF));
        }
        if !more.headers.is_empty() {
            headers.extend(more.headers);
        }
        response
    }
}

/// Whether fields ask to close the connection behind this message (RFC 9112, section 9.6).
pub(crate) fn asks_to_close(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(CONNECTION).iter().map(HeaderValue::as_bytes);
    let mut options = lines.flat_map(|line| line.split(|byte| *byte == b','));
    options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"))
}

fn is_number(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}

impl From<Response<Body>> for Reply {
    fn from(response: Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        let mut reply = Self::new(parts.status, body);
        if !parts.headers.is_empty() || !parts.extensions.is_empty() {
            let more = More { headers: parts.headers, extensions: parts.extensions };
            reply.more = Some(Box::new(more));
        }
        reply
    }
}
