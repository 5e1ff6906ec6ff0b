//! What every answer carries, whatever it is about.

use std::net::IpAddr;
use std::task::{Context, Poll};

use http::header::X_CONTENT_TYPE_OPTIONS;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode};

use super::Service;
use crate::body::{Body, Piece, Pieces};
use crate::connection::{ConnectionInfo, Protocol};
use crate::origin::Grant;
use crate::settings::ServiceSettings;

pub(super) const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// Completes an answer to one request.
pub(super) struct Finish {
    head_only: bool,
    keep_alive: KeepAlive,
    grant: Option<Grant>,
    /// Whose rate the request was charged to.
    charged: Option<IpAddr>,
}

/// Whether to promise how long an idle connection is kept.
#[derive(Clone, Copy, PartialEq, Eq)]
enum KeepAlive {
    Said,
    /// The protocol has no field for it.
    Unsaid,
}

/// The field that promises so many seconds of idle keep-alive.
pub(super) fn keep_alive(settings: &ServiceSettings) -> Option<HeaderValue> {
    HeaderValue::from_str(&format!("timeout={}", settings.keep_alive.as_secs())).ok()
}

/// The body of an answer to HEAD whose GET would stream.
struct Nothing;

impl Finish {
    pub(super) fn new(head: &Parts, connection: &ConnectionInfo, settings: &ServiceSettings) -> Self {
        Self {
            head_only: head.method == Method::HEAD,
            keep_alive: match connection.protocol {
                Protocol::Http11 => KeepAlive::Said,
                Protocol::Http10 | Protocol::Http2 => KeepAlive::Unsaid,
            },
            grant: settings.cors.grant(&head.headers),
            charged: None,
        }
    }

    pub(super) fn grant(&self) -> Option<&Grant> {
        self.grant.as_ref()
    }

    pub(super) fn charged(&mut self, address: IpAddr) {
        self.charged = Some(address);
    }

    pub(super) fn apply(&mut self, service: &Service, mut response: Response<Body>) -> Response<Body> {
        if let Some(address) = self.charged.filter(|_| response.status() == StatusCode::NOT_MODIFIED) {
            service.0.shared.admission.refund(address);
        }
        let headers = response.headers_mut();
        headers.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
        if let (KeepAlive::Said, Some(value)) = (self.keep_alive, &service.0.shared.keep_alive) {
            headers.insert(KEEP_ALIVE, value.clone());
        }
        if let Some(grant) = self.grant.take() {
            grant.add_to(headers);
        }
        if self.head_only && response.body().exact_length().is_none() {
            *response.body_mut() = Body::stream(Nothing);
        }
        response
    }
}

impl Pieces for Nothing {
    fn poll_piece(&mut self, _: &mut Context<'_>) -> Poll<Option<Piece>> {
        Poll::Ready(None)
    }
}
