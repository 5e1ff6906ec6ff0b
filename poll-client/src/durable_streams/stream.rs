//! A stream as a path of a server, and its requests.

use bytes::Bytes;
use http::Method;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use super::answer::Answered;
use crate::client::{Client, header_value};
use crate::error::Error;
use crate::exchange::{Call, Repeat};
use crate::retry::Attempts;

/// A stream of one server. Cheap to clone; whether it exists is not asked.
#[derive(Debug, Clone)]
pub struct DurableStream {
    pub(super) client: Client,
    /// With a query, if there is one.
    pub(super) path: String,
    headers: HeaderMap,
}

impl DurableStream {
    /// The stream at `path`, which follows the client's URL. A poll server has its streams below `/v1/stream/`. A query, such
    /// as the one of a signed link, is part of every request.
    ///
    /// # Errors
    /// [`Error::Usage`] if it does not begin with a slash, or has what a URL cannot have as it is.
    pub fn new(client: &Client, path: &str) -> Result<Self, Error> {
        let is_path = path.starts_with('/') && !path.contains('#');
        if !is_path || path.parse::<http::uri::PathAndQuery>().is_err() {
            return Err(Error::Usage(format!("{path}: not the path of a stream")));
        }
        Ok(Self { client: client.clone(), path: path.to_owned(), headers: HeaderMap::new() })
    }

    /// The same stream with one more header in its requests, in place of the client's of that name. One whose value
    /// changes belongs to a handle of its own.
    ///
    /// # Errors
    /// [`Error::Usage`] if it is not a header.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, Error> {
        let known = name.parse().map_err(|_| Error::Usage(format!("{name}: not the name of a header")))?;
        self.headers.insert::<HeaderName>(known, header_value(name, value)?);
        Ok(self)
    }

    /// Its path, and the query if there is one.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Deletes it. Repeated after failures, so a 404 may be due to the client's own deletion. If the answer to a deletion is
    /// lost, the repeat also deletes a stream that was created at this path in between.
    ///
    /// # Errors
    /// Those that are not transient, or the last one once the client's retries are used up.
    pub async fn delete(&self) -> Result<(), Error> {
        self.until_answered(&self.call(Method::DELETE)).await.map(drop)
    }

    pub(super) fn call(&self, method: Method) -> Call {
        let (target, headers) = (self.path.clone(), self.headers.clone());
        let head_within = self.client.inner.settings.answer_within;
        Call { method, target, headers, body: Bytes::new(), head_within, repeat: Repeat::Harmless }
    }

    /// A call that sends content. Only what has a type is content.
    pub(super) fn write(&self, method: Method, content_type: Option<&HeaderValue>, body: Bytes) -> Call {
        let mut call = self.call(method);
        call.body = body;
        if let Some(value) = content_type {
            call.headers.insert(CONTENT_TYPE, value.clone());
        }
        call
    }

    /// Repeats the call until it succeeds or will not.
    pub(super) async fn until_answered(&self, call: &Call) -> Result<Answered, Error> {
        let mut attempts = Attempts::new(&self.client.inner);
        loop {
            match self.once(call).await.and_then(Answered::successful) {
                Ok(answered) => {
                    attempts.answered();
                    return Ok(answered);
                }
                Err(error) => attempts.failed(error).await?,
            }
        }
    }

    /// Makes the call and reads the whole answer, whatever its status.
    pub(super) async fn once(&self, call: &Call) -> Result<Answered, Error> {
        let inner = &self.client.inner;
        Answered::read(inner.send(call, &inner.stats).await?, &self.client).await
    }
}
