//! What every answer carries, whatever it is about.

use std::net::IpAddr;
use std::task::{Context, Poll};

use http::header::X_CONTENT_TYPE_OPTIONS;
use http::{Method, StatusCode};

use crate::access::origin::Grant;
use crate::message::body::{Body, Piece, Pieces};
use crate::message::head::Head;
use crate::message::reply::{Reply, Sniffing};
use crate::service::Service;
use crate::worker::settings::ServiceSettings;

/// Completes an answer to one request.
pub(super) struct Finish {
    head_only: bool,
    grant: Option<Grant>,
    /// Whose rate the request was charged to.
    charged: Option<IpAddr>,
}

/// The body of an answer to HEAD whose GET would stream.
struct Nothing;

impl Finish {
    pub(super) fn new(head: Head<'_>, settings: &ServiceSettings) -> Self {
        Self { head_only: *head.method() == Method::HEAD, grant: settings.cors.grant(head), charged: None }
    }

    pub(super) fn grant(&self) -> Option<&Grant> {
        self.grant.as_ref()
    }

    pub(super) fn charged(&mut self, address: IpAddr) {
        self.charged = Some(address);
    }

    pub(super) fn apply(&mut self, service: &Service, reply: &mut Reply) {
        if let Some(address) = self.charged.filter(|_| reply.status == StatusCode::NOT_MODIFIED) {
            service.0.shared.admission.refund(address);
        }
        reply.sniffing = Sniffing::Forbidden;
        // Said once, and by us.
        reply.remove(&[X_CONTENT_TYPE_OPTIONS]);
        if let Some(grant) = self.grant.take() {
            grant.add_to(reply.headers_mut());
        }
        if self.head_only && reply.body.exact_length().is_none() {
            reply.body = Body::stream(Nothing);
        }
    }
}

impl Pieces for Nothing {
    fn poll_piece(&mut self, _: &mut Context<'_>) -> Poll<Option<Piece>> {
        Poll::Ready(None)
    }
}
