//! A request in the form in which it is answered.
//!
//! Its head may lie in a connection's read buffer still, and its content with it: what is to be kept of it for longer
//! than the call has to be copied.

use http::request::Parts;
use http::{HeaderName, Method};

use crate::message::head::Head;
use crate::message::request_body::RequestBody;

/// One request, for as long as it takes to begin its answer.
#[derive(Debug)]
pub struct Request<'a> {
    pub(crate) head: Head<'a>,
    pub(crate) content: Content<'a>,
}

/// A request's content.
#[derive(Debug)]
pub(crate) enum Content<'a> {
    /// All of it, where it was read.
    Here(&'a [u8]),
    Body(RequestBody),
}

impl<'a> Request<'a> {
    /// A request in the types of `http`.
    #[must_use]
    pub fn new(head: &'a Parts, body: RequestBody) -> Self {
        Self { head: Head::Parsed(head), content: Content::Body(body) }
    }

    /// `GET`, `POST`, …
    #[must_use]
    pub fn method(&self) -> &'a Method {
        self.head.method()
    }

    /// The path as it was sent: percent-encoded, without the query.
    #[must_use]
    pub fn path(&self) -> &'a str {
        self.head.path()
    }

    /// What follows the `?`, percent-encoded; empty where nothing does.
    #[must_use]
    pub fn query(&self) -> &'a str {
        self.head.query()
    }

    /// The first value of a field.
    #[must_use]
    pub fn field(&self, name: &HeaderName) -> Option<&'a [u8]> {
        self.head.named(name)
    }

    /// The content, where all of it is here already.
    #[must_use]
    pub fn content(&self) -> Option<&[u8]> {
        self.content.whole()
    }

    /// The same request in the types of `http`, with nothing borrowed.
    #[must_use]
    pub fn into_owned(self) -> http::Request<RequestBody> {
        http::Request::from_parts(self.head.to_parts(), self.content.into_body())
    }
}

impl Content<'_> {
    /// All of it, unless some is still to come.
    pub(crate) fn whole(&self) -> Option<&[u8]> {
        match self {
            Self::Here(content) => Some(content),
            Self::Body(RequestBody::Empty) => Some(&[]),
            Self::Body(RequestBody::Full(content)) => Some(content),
            Self::Body(RequestBody::Stream(_)) => None,
        }
    }

    pub(crate) fn into_body(self) -> RequestBody {
        match self {
            Self::Here(content) => RequestBody::copied(content),
            Self::Body(body) => body,
        }
    }
}
