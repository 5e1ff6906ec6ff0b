//! An answer on its way to the connection.
//!
//! Nearly all answers have the same few fields. They are struct fields, which the fast path writes as they are; a map is
//! built only for hyper and h2.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, ETAG, LOCATION, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE, X_CONTENT_TYPE_OPTIONS,
};
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use poll_core::{Charge, Timestamp};

use crate::message::body::Body;
use crate::message::request_id::{self, RequestId};

/// An answer: status, fields and body. Made from a `Response<Body>`, and made into one by
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
    /// `X-Request-Id`.
    pub(crate) id: Option<RequestId>,
    /// Its `Date`, if it is known.
    pub(crate) made: Option<Timestamp>,
    /// `X-Content-Type-Options`.
    pub(crate) sniffing: Sniffing,
    /// Other fields, which few answers have.
    pub(crate) more: Option<Box<More>>,
    pub(crate) body: Body,
}

/// Whether a browser may guess the content type (Fetch, section 3.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sniffing {
    Forbidden,
    /// No field is sent.
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

    /// How long a request waits: a HEAD does not.
    pub(crate) fn wait(self, wait: Duration) -> Duration {
        if self == Self::HeadOnly { Duration::ZERO } else { wait }
    }
}

/// Fields that frame a message (RFC 9112, section 6) or are hop-by-hop (RFC 9110, section 7.6.1). Most of them are
/// malformed in HTTP/2 (RFC 9113, section 8.2.2).
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

/// The only value of `X-Content-Type-Options`.
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
            id: None,
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

    /// The status code.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Fields other than those of the struct.
    pub(crate) fn headers(&self) -> Option<&HeaderMap> {
        self.more.as_ref().map(|more| &more.headers)
    }

    /// Fields other than those of the struct, to add to.
    pub(crate) fn headers_mut(&mut self) -> &mut HeaderMap {
        &mut self.more.get_or_insert_default().headers
    }

    /// Removes fields other than those of the struct.
    pub(crate) fn remove(&mut self, names: &[HeaderName]) {
        if let Some(more) = &mut self.more {
            names.iter().for_each(|name| drop(more.headers.remove(name)));
        }
    }

    /// Removes framing and hop-by-hop fields, which are the connection's, except for `Connection: close`. An interim
    /// answer in place of a final one becomes a 500.
    pub(crate) fn leave_framing(&mut self, wants: Wants) {
        if self.status.is_informational() {
            *self = Self::new(StatusCode::INTERNAL_SERVER_ERROR, Body::empty());
        }
        let Some(more) = &mut self.more else { return };
        if more.headers.is_empty() {
            return;
        }
        let closes = asks_to_close(&more.headers);
        // HEAD: the length that GET would have (RFC 9110, section 8.6) is known from this field alone.
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

    /// An extension, by type.
    pub(crate) fn extension<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.more.as_ref()?.extensions.get()
    }

    /// The extensions, to add to.
    pub(crate) fn extensions_mut(&mut self) -> &mut Extensions {
        &mut self.more.get_or_insert_default().extensions
    }

    /// Converts to the types of `http`. Invalid field values are left out.
    #[must_use]
    pub fn into_response(self) -> Response<Body> {
        let more = self.more.map_or_else(More::default, |more| *more);
        let mut response = Response::new(self.body);
        *response.status_mut() = self.status;
        *response.extensions_mut() = more.extensions;
        let headers = response.headers_mut();
        // What nearly all answers have, with the date and length added later.
        let own = 6 + usize::from(self.tag.is_some() && self.media.is_some());
        *headers = HeaderMap::with_capacity(own + more.headers.len());
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
        if let Some(id) = self.id.and_then(|id| id.to_value()) {
            headers.insert(request_id::NAME, id);
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

/// Whether fields ask to close the connection after this message (RFC 9112, section 9.6).
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
