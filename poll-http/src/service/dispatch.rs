//! From a request to the pattern that answers it.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::header::{ALLOW, ETAG, IF_NONE_MATCH, LINK};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};

use super::finish::Finish;
use super::{Answering, Service};
use crate::access::Right;
use crate::body::{Body, RequestBody};
use crate::client::Client;
use crate::connection::ConnectionInfo;
use crate::dialect::golongpoll;
use crate::drain::Phase;
use crate::early_hints::{Asset, Preload};
use crate::error::Refusal;
use crate::origin;
use crate::pattern::publish;
use crate::respond;
use crate::route::{Action, Dialect, Target};

/// An answer that is there, or one that is to come. What comes may still be a refusal.
#[expect(clippy::large_enum_variant, reason = "lives for one call, and a box would cost each answer")]
pub(super) enum Step {
    Now(Response<Body>),
    Later(std::pin::Pin<Box<dyn Future<Output = Result<Response<Body>, Refusal>> + Send>>),
}

/// An answer that is to come, and what is needed to complete it.
pub(super) struct Later {
    answer: std::pin::Pin<Box<dyn Future<Output = Result<Response<Body>, Refusal>> + Send>>,
    service: Service,
    finish: Finish,
    dialect: Dialect,
}

impl Later {
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Response<Body>> {
        let answer = ready!(self.answer.as_mut().poll(cx));
        let response = answer.unwrap_or_else(|refusal| self.service.refuse(refusal, self.dialect));
        Poll::Ready(self.finish.apply(&self.service, response))
    }
}

/// How long a client that is turned away by a draining server should stay away: until another one has taken
/// over.
const AWAY_WHILE_DRAINING: Duration = Duration::from_secs(1);

impl Step {
    /// The answer itself.
    pub(super) async fn finished(self) -> Result<Response<Body>, Refusal> {
        match self {
            Self::Now(response) => Ok(response),
            Self::Later(answer) => answer.await,
        }
    }
}

impl Service {
    pub(super) fn dispatch(&self, request: Request<RequestBody>, connection: &ConnectionInfo) -> Answering {
        let (head, body) = request.into_parts();
        let dialect = Dialect::of(head.uri.path());
        let mut finish = Finish::new(&head, connection, self.settings());
        match self.begin(head, body, connection, &mut finish) {
            Ok(Step::Now(response)) => Answering::ready(finish.apply(self, response)),
            Err(refusal) => Answering::ready(finish.apply(self, self.refuse(refusal, dialect))),
            Ok(Step::Later(answer)) => {
                Answering::later(Later { answer, service: self.clone(), finish, dialect })
            }
        }
    }

    fn refuse(&self, refusal: Refusal, dialect: Dialect) -> Response<Body> {
        self.metrics().refused(refusal.reason());
        let mut response = refusal.into_response(dialect.shape());
        if dialect == Dialect::Golongpoll {
            golongpoll::uncached(response.headers_mut());
        }
        response
    }

    fn begin(
        &self,
        head: Parts,
        body: RequestBody,
        connection: &ConnectionInfo,
        finish: &mut Finish,
    ) -> Result<Step, Refusal> {
        origin::check_host(&head, &self.settings().hosts)?;
        let path = head.uri.path();
        if path == "*" && head.method == Method::OPTIONS {
            // The server as a whole (RFC 9110 §9.3.7).
            return Ok(Step::Now(options(&head, "GET, HEAD, POST, OPTIONS", finish)));
        }
        let target = Target::of(path)?;
        if target == Target::File && !self.has_file(path) {
            return Err(Refusal::not_found());
        }
        let action = target.action(&head.method)?;
        if action == Action::Options {
            return Ok(Step::Now(options(&head, target.allow(), finish)));
        }
        if head.method == Method::POST {
            origin::check_site(&head, &self.settings().cors)?;
        }
        match target {
            Target::Health => Ok(Step::Now(text("ok\n"))),
            Target::Ready => self.readiness().map(Step::Now),
            Target::Metrics => Ok(Step::Now(text((self.0.shared.metrics_text)()))),
            Target::File => Ok(Step::Now(self.file(&head))),
            target => {
                let client = self.let_in(&head, action, connection, finish)?;
                match action {
                    Action::Post if target != Target::Events => self.take(target, head, body),
                    _ => self.give(target, action, &head, client, connection),
                }
            }
        }
    }

    /// Whether this client may ask this now.
    fn let_in(
        &self,
        head: &Parts,
        action: Action,
        connection: &ConnectionInfo,
        finish: &mut Finish,
    ) -> Result<Client, Refusal> {
        let shared = &self.0.shared;
        if shared.drain.is_draining() {
            let detail = "the server is going down";
            return Err(
                Refusal::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(AWAY_WHILE_DRAINING)
            );
        }
        let client = Client::of(connection.peer.ip(), &head.headers, &shared.proxies)?;
        shared.admission.charge(client.address)?;
        finish.charged(client.address);
        let right = if action == Action::Post { Right::Publish } else { Right::Subscribe };
        self.settings().access.check(right, head)?;
        Ok(client)
    }

    /// Requests that publish.
    fn take(&self, target: Target, head: Parts, body: RequestBody) -> Result<Step, Refusal> {
        let service = self.clone();
        Ok(match target {
            Target::Publish => later(publish::publish(service, head, body)),
            Target::Job(job) => later(publish::report(service, head, job, body)),
            Target::PublishEvent => later(publish::event(service, head, body)),
            Target::Chat => later(publish::chat(service, head, body)),
            Target::ChannelPublish(channel) => later(publish::to_channel(service, head, channel, body)),
            other => return Err(Refusal::method_not_allowed(other.allow())),
        })
    }

    fn readiness(&self) -> Result<Response<Body>, Refusal> {
        let unready =
            |why: String| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, why).retry_after(AWAY_WHILE_DRAINING);
        if self.0.shared.drain.phase() != Phase::Serving {
            return Err(unready("the server is going down".to_owned()));
        }
        let note = (self.0.shared.ready)().map_err(unready)?;
        Ok(text(if note.is_empty() { "ready\n".to_owned() } else { format!("ready\n{note}\n") }))
    }

    fn has_file(&self, path: &str) -> bool {
        self.find_file(path).is_some()
    }

    fn find_file(&self, path: &str) -> Option<&Asset> {
        let site = &self.0.shared.site;
        site.page.iter().chain(site.assets.iter()).find(|asset| asset.path == path)
    }

    fn file(&self, head: &Parts) -> Response<Body> {
        let Some(asset) = self.find_file(head.uri.path()) else {
            return respond::bare(StatusCode::NOT_FOUND);
        };
        let tag = asset.headers.get(ETAG);
        let seen = head.headers.get(IF_NONE_MATCH);
        let mut response = if tag.is_some() && tag == seen {
            respond::bare(StatusCode::NOT_MODIFIED)
        } else {
            Response::new(Body::full(asset.body.clone()))
        };
        *response.headers_mut() = asset.headers.clone();
        let site = &self.0.shared.site;
        let is_page = site.page.as_ref().is_some_and(|page| page.path == asset.path);
        if is_page && response.status() == StatusCode::OK && !site.assets.is_empty() {
            for asset in site.assets.iter() {
                response.headers_mut().append(LINK, asset.link.clone());
            }
            response.extensions_mut().insert(Preload { assets: site.assets.clone() });
        }
        response
    }
}

pub(super) fn later(answer: impl Future<Output = Result<Response<Body>, Refusal>> + Send + 'static) -> Step {
    Step::Later(Box::pin(answer))
}

fn options(head: &Parts, allow: &'static str, finish: &Finish) -> Response<Body> {
    let mut response = respond::bare(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    headers.insert(ALLOW, HeaderValue::from_static(allow));
    if let Some(grant) = finish.grant() {
        grant.answer_preflight(&head.headers, allow, headers);
    }
    response
}

/// Plain text; `version` is that of the Prometheus text format and means nothing to others.
fn text(text: impl Into<bytes::Bytes>) -> Response<Body> {
    let plain = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    respond::whole(StatusCode::OK, plain, respond::NO_STORE, Body::full(text))
}
