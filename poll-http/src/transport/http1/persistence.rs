//! Whether a connection persists (RFC 9112, section 9.3): the rule shared by both engines.

use http::HeaderMap;

use crate::message::reply::asks_to_close;

/// Whether the connection persists after a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Persistence {
    Keep,
    Close,
}

impl Persistence {
    /// As a request's fields ask.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        if asks_to_close(headers) { Self::Close } else { Self::Keep }
    }
}
