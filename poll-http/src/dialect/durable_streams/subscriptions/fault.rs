//! Why a request about a subscription is refused, and by which status and code.

use std::borrow::Cow;

use http::StatusCode;

use super::webhook_url::WebhookUrlError;

/// Why a request about a subscription is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The content is not what it has to be.
    Invalid(Cow<'static, str>),
    NotFound,
    /// There is one of that id with another configuration.
    Exists,
    UrlRejected(WebhookUrlError),
    /// The token is not one of the subscription's.
    TokenInvalid,
    /// The wake is over.
    Fenced,
    AlreadyClaimed {
        holder: Box<str>,
        generation: u64,
    },
    NoPendingWork,
    InvalidOffset(&'static str),
    /// A limit is reached.
    TooMany(&'static str),
}

impl Fault {
    pub(super) fn parts(&self) -> (StatusCode, &'static str, &str) {
        match self {
            Self::Invalid(why) => (StatusCode::BAD_REQUEST, "INVALID_REQUEST", why),
            Self::NotFound => {
                (StatusCode::NOT_FOUND, "SUBSCRIPTION_NOT_FOUND", "there is no such subscription")
            }
            Self::Exists => (
                StatusCode::CONFLICT,
                "SUBSCRIPTION_ALREADY_EXISTS",
                "there is a subscription of this id with another configuration",
            ),
            Self::UrlRejected(WebhookUrlError(why)) => (StatusCode::BAD_REQUEST, "WEBHOOK_URL_REJECTED", why),
            Self::TokenInvalid => {
                (StatusCode::UNAUTHORIZED, "TOKEN_INVALID", "the token is not one of this subscription")
            }
            Self::Fenced => (StatusCode::CONFLICT, "FENCED", "the wake is over"),
            Self::AlreadyClaimed { .. } => {
                (StatusCode::CONFLICT, "ALREADY_CLAIMED", "another worker has the wake")
            }
            Self::NoPendingWork => (StatusCode::CONFLICT, "NO_PENDING_WORK", "everything is acknowledged"),
            Self::InvalidOffset(why) => (StatusCode::CONFLICT, "INVALID_OFFSET", why),
            Self::TooMany(why) => (StatusCode::TOO_MANY_REQUESTS, "TOO_MANY", why),
        }
    }
}
