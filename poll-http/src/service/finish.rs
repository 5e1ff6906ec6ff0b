//! Adds what every response carries, and makes a refusal the response.

use std::net::IpAddr;
use std::task::{Context, Poll};

use http::header::{ALLOW, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Method, StatusCode};

use crate::access::origin::AllowedOrigin;
use crate::message::body::{Body, Piece, Pieces};
use crate::message::head::Head;
use crate::message::refusal::Refusal;
use crate::message::reply::{Reply, Sniffing, Wants};
use crate::message::respond;
use crate::service::router::Dialect;
use crate::worker::Worker;
use crate::worker::settings::ServiceSettings;

/// Completes the response to one request.
pub(super) struct Finish {
    dialect: Dialect,
    wants: Wants,
    origin: Option<AllowedOrigin>,
    /// The address whose rate the request was charged to.
    charged: Option<IpAddr>,
}

/// The body of a response to HEAD where GET would stream.
struct Nothing;

impl Finish {
    pub(super) fn new(head: Head<'_>, settings: &ServiceSettings) -> Self {
        let wants = if *head.method() == Method::HEAD { Wants::HeadOnly } else { Wants::Body };
        let dialect = Dialect::of(head.path());
        Self { dialect, wants, origin: settings.cors.grant(head), charged: None }
    }

    pub(super) fn charged(&mut self, address: IpAddr) {
        self.charged = Some(address);
    }

    /// The response to OPTIONS, including a CORS preflight.
    pub(super) fn options(&self, head: Head<'_>, allow: &'static str) -> Reply {
        let mut reply = respond::bare(StatusCode::NO_CONTENT);
        let headers = reply.headers_mut();
        headers.insert(ALLOW, HeaderValue::from_static(allow));
        if let Some(origin) = &self.origin {
            origin.answer_preflight(head, allow, headers);
        }
        reply
    }

    /// Completes a response.
    pub(super) fn apply(&mut self, worker: &Worker, reply: &mut Reply) {
        if let Some(address) = self.charged.filter(|_| reply.status == StatusCode::NOT_MODIFIED) {
            worker.admission().refund(address);
        }
        reply.sniffing = Sniffing::Forbidden;
        reply.made.get_or_insert_with(|| worker.now());
        // `Reply::sniffing` adds it: not twice.
        reply.remove(&[X_CONTENT_TYPE_OPTIONS]);
        if let Some(origin) = self.origin.take() {
            origin.add_to(reply.headers_mut());
        }
        if self.wants == Wants::HeadOnly && reply.body.exact_length().is_none() {
            reply.body = Body::stream(Nothing);
        }
    }

    /// Counts a refusal and makes it the response, in the format of the dialect.
    pub(super) fn refuse(&mut self, worker: &Worker, refusal: Refusal) -> Reply {
        worker.metrics().refused(refusal.reason());
        let mut reply = self.dialect.refuse(refusal);
        self.apply(worker, &mut reply);
        reply
    }
}

impl Pieces for Nothing {
    fn poll_piece(&mut self, _: &mut Context<'_>) -> Poll<Option<Piece>> {
        Poll::Ready(None)
    }
}
