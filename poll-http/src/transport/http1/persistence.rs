//! Whether a connection is kept (RFC 9112, section 9.3), as both engines have it.

use http::HeaderMap;

use crate::message::reply::asks_to_close;

/// What becomes of the connection after a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    Keep,
    Close,
}

impl After {
    /// As a request's fields have it.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        if asks_to_close(headers) { Self::Close } else { Self::Keep }
    }
}
