//! Creating a stream, from nothing or from another one.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use super::answer::{CLOSED, EXPIRES_AT, TTL};
use super::offset::Offset;
use super::stream::DurableStream;
use crate::client::header_value;
use crate::error::Error;

const FORKED_FROM: HeaderName = HeaderName::from_static("stream-forked-from");
const FORK_OFFSET: HeaderName = HeaderName::from_static("stream-fork-offset");
const FORK_SUB_OFFSET: HeaderName = HeaderName::from_static("stream-fork-sub-offset");

/// How a stream is created.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Create {
    content_type: Option<String>,
    ttl: Option<Duration>,
    expires_at: Option<String>,
    end: End,
    fork: Option<Fork>,
    body: Bytes,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum End {
    #[default]
    Open,
    Closed,
}

/// What a stream is forked from.
#[derive(Debug, Clone)]
#[must_use]
pub struct Fork {
    source: String,
    after: Option<Offset>,
    further: Option<u64>,
}

/// A stream that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// Whether this request created it.
    pub birth: Birth,
    /// Its end.
    pub end: Offset,
    /// Its content type, if the server said so.
    pub content_type: Option<String>,
}

/// Whether a stream is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Birth {
    /// This request created it, or the attempt at it whose answer was lost did.
    New,
    /// It was there, with the same configuration.
    Existing,
}

impl Create {
    /// An empty stream of this content type: `application/json` for JSON values, `text/…` for text, any other for bytes.
    pub fn new(content_type: impl Into<String>) -> Self {
        Self { content_type: Some(content_type.into()), ..Self::default() }
    }

    /// A fork, of the content type of its source.
    pub fn fork(fork: Fork) -> Self {
        Self { fork: Some(fork), ..Self::default() }
    }

    /// How long it lives after its last use, in whole seconds. In place of [`Self::expires_at`].
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Until when it lives, as a time of RFC 3339.
    pub fn expires_at(mut self, time: impl Into<String>) -> Self {
        self.expires_at = Some(time.into());
        self
    }

    /// Its first content.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Closes it at once.
    pub fn closed(mut self) -> Self {
        self.end = End::Closed;
        self
    }

    fn headers(&self) -> Result<HeaderMap, Error> {
        let mut headers = HeaderMap::new();
        let mut set = |name: HeaderName, value: &str| {
            header_value(name.as_str(), value).map(|value| headers.insert(name.clone(), value)).map(drop)
        };
        if let Some(content_type) = &self.content_type {
            set(CONTENT_TYPE, content_type)?;
        }
        if let Some(ttl) = self.ttl {
            set(HeaderName::from_static(TTL), &ttl.as_secs().to_string())?;
        }
        if let Some(time) = &self.expires_at {
            set(HeaderName::from_static(EXPIRES_AT), time)?;
        }
        if let Some(Fork { source, after, further }) = &self.fork {
            set(FORKED_FROM, source)?;
            if let Some(after) = after {
                set(FORK_OFFSET, after.as_str())?;
            }
            if let Some(further) = further {
                set(FORK_SUB_OFFSET, &further.to_string())?;
            }
        }
        if self.end == End::Closed {
            headers.insert(CLOSED, HeaderValue::from_static("true"));
        }
        Ok(headers)
    }
}

impl Fork {
    /// Of the stream at `source`, a whole path of the same server, at its end.
    pub fn new(source: impl Into<String>) -> Self {
        Self { source: source.into(), after: None, further: None }
    }

    /// At this offset of the source.
    pub fn after(mut self, offset: &Offset) -> Self {
        self.after = Some(offset.clone());
        self
    }

    /// So many JSON values, or bytes, further into the append that follows the offset, which has to be given.
    pub fn further(mut self, units: u64) -> Self {
        self.further = Some(units);
        self
    }
}

impl DurableStream {
    /// Creates it, or confirms that it is there with the same configuration. Repeated after failures.
    ///
    /// # Errors
    /// [`Error::Refused`] with 409 where it has another configuration, 404 if there is no source to fork; [`Error::Usage`]
    /// if a setting cannot be sent; otherwise as [`Self::delete`].
    pub async fn create(&self, create: &Create) -> Result<Created, Error> {
        let mut call = self.write(Method::PUT, None, create.body.clone());
        call.headers.extend(create.headers()?);
        let answered = self.until_answered(&call).await?;
        let birth = if answered.status == 201 { Birth::New } else { Birth::Existing };
        Ok(Created {
            birth,
            end: answered.next_offset()?,
            content_type: answered.content_type().map(str::to_owned),
        })
    }
}
