//! Fetches a set of keys (RFC 7517) by HTTP/1.1.
//!
//! Bounded in time and size. A redirect is not followed: the URL was chosen by the operator, and what it answers decides
//! who may do what.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, USER_AGENT};
use http::{Request, StatusCode, Uri};
use http_body_util::Empty;
use poll_http::jwt::{VerifyingKey, parse_jwks};
use tokio::time::timeout;

use crate::config::KeySetUrl;
use crate::outbound;

/// How long a set may take to arrive.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);
/// A set has some kilobytes.
const MOST_BYTES: usize = 1024 * 1024;

/// The keys that are there now, which may be none; an error is a few words.
pub(super) async fn fetch(url: &KeySetUrl) -> Result<Vec<VerifyingKey>, String> {
    let fetched = timeout(TIMEOUT, content(&url.0)).await;
    let content = fetched.map_err(|_| format!("no answer in {} s", TIMEOUT.as_secs()))??;
    parse_jwks(&content).map_err(|error| format!("what came cannot be used: {error}"))
}

async fn content(url: &Uri) -> Result<Bytes, String> {
    let request = Request::get(url)
        .header(ACCEPT, "application/jwk-set+json, application/json")
        .header(USER_AGENT, outbound::USER_AGENT)
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let response = outbound::exchange(request, MOST_BYTES).await?;
    match response.status() {
        StatusCode::OK => Ok(response.into_body()),
        status => Err(format!("it is answered {status}")),
    }
}
