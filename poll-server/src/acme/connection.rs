//! Requests to the authority, bounded in time and size.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Request};
use http_body_util::Full;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use tokio::time::timeout;

use crate::outbound;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(15);
/// A chain of certificates has some kilobytes.
const MOST_BYTES: usize = 1024 * 1024;

/// See the [module](self).
pub(super) struct Connection;

/// The authority did not answer, or not in its own words.
#[derive(Debug)]
pub(super) struct Unanswered(String);

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unanswered {}

impl HttpClient for Connection {
    fn request(
        &self,
        mut request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(outbound::USER_AGENT));
        Box::pin(async move {
            let unanswered = |why| Error::Other(Box::new(Unanswered(why)));
            let answered = timeout(TIMEOUT, outbound::exchange(request, MOST_BYTES)).await;
            let silent = |_| unanswered(format!("no answer in {} s", TIMEOUT.as_secs()));
            let response = answered.map_err(silent)?.map_err(unanswered)?;
            // An authority says why (RFC 8555, section 6.7); what stands in front of it does not.
            let says_why = response.headers().get(CONTENT_TYPE).is_some_and(|content| {
                content.as_bytes().to_ascii_lowercase().starts_with(b"application/problem+json")
            });
            if !response.status().is_success() && !says_why {
                return Err(unanswered(format!("it is answered {}", response.status())));
            }
            Ok(BytesResponse::from(response.map(Full::new)))
        })
    }
}
