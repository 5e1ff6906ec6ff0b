//! Appending and closing, once.

use bytes::{BufMut, Bytes, BytesMut};
use http::Method;
use http::header::{HeaderName, HeaderValue};
use serde::Serialize;

use super::answer::{CLOSED, SEQ};
use super::error::AppendError;
use super::offset::Offset;
use super::stream::DurableStream;
use crate::client::header_value;
use crate::error::Error;
use crate::exchange::{Call, Repeat};

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// What is appended in one request.
#[derive(Debug, Clone)]
#[must_use]
pub struct Append {
    content_type: HeaderValue,
    body: Bytes,
    seq: Option<HeaderValue>,
}

impl Append {
    /// A body of the stream's content type: in a JSON stream a value, or an array of values.
    ///
    /// # Errors
    /// [`Error::Usage`] if the type has a character that headers cannot carry.
    pub fn new(content_type: &str, body: impl Into<Bytes>) -> Result<Self, Error> {
        let content_type = header_value("content type", content_type)?;
        Ok(Self { content_type, body: body.into(), seq: None })
    }

    /// One value of a JSON stream, whatever it is.
    ///
    /// # Errors
    /// [`Error::Usage`] if it cannot be serialized.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Self, Error> {
        Self::json_values([value])
    }

    /// Values of a JSON stream, all or none.
    ///
    /// # Errors
    /// [`Error::Usage`] if one cannot be serialized.
    pub fn json_values<'a, T: Serialize + ?Sized + 'a>(
        values: impl IntoIterator<Item = &'a T>,
    ) -> Result<Self, Error> {
        // Always an array: a value that is one itself would be taken apart.
        let mut body = BytesMut::from("[").writer();
        for (at, value) in values.into_iter().enumerate() {
            if at > 0 {
                body.get_mut().put_u8(b',');
            }
            serde_json::to_writer(&mut body, value).map_err(|error| Error::Usage(error.to_string()))?;
        }
        let mut body = body.into_inner();
        body.put_u8(b']');
        Ok(Self { content_type: JSON, body: body.freeze(), seq: None })
    }

    /// Its place in its writer's order, which the server compares byte by byte: it is refused unless it is above the last
    /// one's.
    ///
    /// # Errors
    /// [`Error::Usage`] if it has a character that headers cannot carry.
    pub fn seq(mut self, seq: &str) -> Result<Self, Error> {
        self.seq = Some(header_value("sequence", seq)?);
        Ok(self)
    }
}

impl DurableStream {
    /// Appends, without retries, and returns the stream's new end.
    ///
    /// # Errors
    /// Any. Where [`AppendError::may_have_happened`], it may be appended all the same: ask that before appending it anew. A
    /// [`Producer`](super::Producer) appends once however often it has to try.
    pub async fn append(&self, append: Append) -> Result<Offset, AppendError> {
        self.write_once(&self.append_call(append)).await
    }

    /// Appends and closes in one step, without retries.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub async fn append_and_close(&self, append: Append) -> Result<Offset, AppendError> {
        self.write_once(&closing(self.append_call(append))).await
    }

    /// Closes it, if it is not closed, and returns its end. Repeated after failures.
    ///
    /// # Errors
    /// Those that are not transient, or the last one once the client's retries are used up.
    pub async fn close(&self) -> Result<Offset, Error> {
        let call = closing(self.write(Method::POST, None, Bytes::new()));
        self.until_answered(&call).await?.next_offset()
    }

    /// The request for an append, which may not be repeated.
    pub(super) fn append_call(&self, append: Append) -> Call {
        let mut call = self.write(Method::POST, Some(&append.content_type), append.body);
        call.repeat = Repeat::Never;
        match append.seq {
            Some(seq) => call.header(HeaderName::from_static(SEQ), seq),
            None => call,
        }
    }

    async fn write_once(&self, call: &Call) -> Result<Offset, AppendError> {
        let answered = self.once(call).await?;
        if !answered.status.is_success() {
            return Err(AppendError::refused(&answered));
        }
        Ok(answered.next_offset()?)
    }
}

/// The same request, closing the stream.
pub(super) fn closing(call: Call) -> Call {
    call.header(HeaderName::from_static(CLOSED), HeaderValue::from_static("true"))
}
