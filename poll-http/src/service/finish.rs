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
    /// Seconds of idle keep-alive to promise, where the protocol has a field for it.
    keep_alive: Option<u64>,
    grant: Option<Grant>,
    /// Whose rate the request was charged to.
    charged: Option<IpAddr>,
}

/// The body of an answer to HEAD whose GET would stream.
struct Nothing;

impl Finish {
    pub(super) fn new(head: &Parts, connection: &ConnectionInfo, settings: &ServiceSettings) -> Self {
        Self {
            head_only: head.method == Method::HEAD,
            keep_alive: (connection.protocol == Protocol::Http11).then_some(settings.keep_alive.as_secs()),
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

    pub(super) fn apply(self, service: &Service, mut response: Response<Body>) -> Response<Body> {
        if let Some(address) = self.charged.filter(|_| response.status() == StatusCode::NOT_MODIFIED) {
            service.0.shared.admission.refund(address);
        }
        let headers = response.headers_mut();
        headers.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
        if let Some(seconds) = self.keep_alive {
            let value = HeaderValue::from_str(&format!("timeout={seconds}"));
            value.into_iter().for_each(|value| drop(headers.insert(KEEP_ALIVE, value)));
        }
        if let Some(grant) = self.grant {
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
