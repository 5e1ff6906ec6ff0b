//! Adds what every response carries, and makes a refusal the response.

use std::net::IpAddr;
use std::task::{Context, Poll};

use http::header::{ALLOW, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderName, HeaderValue, Method, StatusCode};

use crate::access::origin::{self, AllowedOrigin, Cors};
use crate::message::access_log::{AccessLog, Arrived, Logged};
use crate::message::body::{Body, Piece, Pieces};
use crate::message::connection_info::ConnectionInfo;
use crate::message::head::{Field, Head};
use crate::message::refusal::Refusal;
use crate::message::reply::{Reply, Sniffing, Wants};
use crate::message::request_id::{self, RequestId};
use crate::message::respond;
use crate::message::trace_context::TraceContext;
use crate::service::router::Dialect;
use crate::worker::Worker;

/// Completes the response to one request.
pub(super) struct Finish {
    dialect: Dialect,
    wants: Wants,
    origin: Option<AllowedOrigin>,
    /// The id that the request came with, or that is fixed already.
    id: Option<RequestId>,
    logged: Logged,
    /// The address whose rate the request was charged to.
    charged: Option<IpAddr>,
}

/// Fields of every reply that are its own members.
static OWN: [HeaderName; 2] = [X_CONTENT_TYPE_OPTIONS, request_id::NAME];

/// Which pages may load a response (Fetch, section 3.7).
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

fn resource_policy(cors: &Cors) -> HeaderValue {
    HeaderValue::from_static(if *cors == Cors::Off { "same-origin" } else { "cross-origin" })
}

/// The body of a response to HEAD where GET would stream.
struct Nothing;

impl Finish {
    pub(super) fn new(cors: &Cors, head: Head<'_>) -> Self {
        let wants = if *head.method() == Method::HEAD { Wants::HeadOnly } else { Wants::Body };
        let (dialect, origin) = (Dialect::of(head.path()), cors.grant(head));
        Self { dialect, wants, origin, id: None, logged: Logged::default(), charged: None }
    }

    /// Takes the request's id over, if it has one, and begins to follow the request for the access log, if there is one.
    ///
    /// # Errors
    /// 429 if there is no memory to keep the id.
    #[inline]
    pub(super) fn identify(
        &mut self,
        worker: &Worker,
        head: Head<'_>,
        connection: &ConnectionInfo,
    ) -> Result<(), Refusal> {
        let given = match head.field(Field::XRequestId) {
            Some(id) => RequestId::given(id, worker.store().memory()).map(|id| self.id = id),
            None => Ok(()),
        };
        if let Some(log) = &worker.server().access_log {
            self.log(log, worker, head, connection);
        }
        given.map_err(Refusal::from)
    }

    #[inline(never)]
    fn log(&mut self, log: &AccessLog, worker: &Worker, head: Head<'_>, connection: &ConnectionInfo) {
        let id = self.id.get_or_insert_with(|| worker.request_id()).clone();
        let arrived = Arrived {
            id,
            trace: TraceContext::of(head),
            client: worker.server().proxies.address(connection.peer.ip(), head),
            method: head.method(),
            path: head.path(),
            protocol: connection.protocol,
        };
        self.logged = Logged::begin(log, worker.store().memory(), arrived);
    }

    /// The request in the access log.
    pub(super) fn logged(&self) -> &Logged {
        &self.logged
    }

    pub(super) fn charged(&mut self, address: IpAddr) {
        self.charged = Some(address);
    }

    /// The response to OPTIONS, including a CORS preflight.
    pub(super) fn options(&self, head: Head<'_>, allow: &'static str) -> Reply {
        let mut reply = respond::bare(StatusCode::NO_CONTENT);
        let headers = reply.headers_mut();
        headers.insert(ALLOW, HeaderValue::from_static(allow));
        // Below `/v1/stream/` methods and fields are named to all, and the origin's own field decides.
        let named = self.dialect == Dialect::DurableStreams;
        if named || self.origin.as_ref().is_some_and(AllowedOrigin::is_allowed) {
            origin::answer_preflight(head, allow, self.dialect.cross_origin_fields(), headers);
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
        reply.id = Some(self.id.take().unwrap_or_else(|| worker.request_id()));
        // The reply's own members add them: not twice.
        reply.remove(&OWN);
        if let Some(origin) = self.origin.take() {
            origin.add_to(reply.headers_mut(), self.dialect.cross_origin_fields());
        }
        if self.dialect == Dialect::DurableStreams {
            reply.headers_mut().insert(RESOURCE_POLICY, resource_policy(&worker.settings().cors));
        }
        if self.wants == Wants::HeadOnly && reply.body.exact_length().is_none() {
            reply.body = Body::stream(Nothing);
        }
        if self.logged.is_on() {
            self.log_answer(reply);
        }
    }

    /// The log follows the body from here on.
    #[inline(never)]
    fn log_answer(&mut self, reply: &mut Reply) {
        let logged = std::mem::take(&mut self.logged);
        logged.answered(reply.status, reply.body.exact_length());
        if self.wants == Wants::HeadOnly || reply.body.is_ended() {
            // A body that is not sent tells nothing.
            logged.written();
        } else {
            let body = std::mem::take(&mut reply.body);
            reply.body = body.also_on_written(move || logged.written());
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
