//! From a request to the pattern that answers it.

use std::time::Duration;

use http::header::{ALLOW, ETAG, IF_NONE_MATCH, LINK};
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode};
use poll_core::{ChannelName, Found, Locator};

use super::finish::Finish;
use super::{Answering, Service};
use crate::body::{Body, RequestBody};
use crate::connection::ConnectionInfo;
use crate::dialect::native;
use crate::drain::Phase;
use crate::early_hints::{Asset, Preload};
use crate::error::{Refusal, Shape};
use crate::origin;
use crate::pattern::{long_poll, progress, publish, push, short_poll, stream};
use crate::respond;
use crate::route::{Action, Target};

/// An answer that is there, or one that is to come. What comes may still be a refusal.
enum Step {
    Now(Response<Body>),
    Later(std::pin::Pin<Box<dyn Future<Output = Result<Response<Body>, Refusal>> + Send>>),
}

/// How long a client that is turned away by a draining server should stay away: until another one has taken
/// over.
const AWAY_WHILE_DRAINING: Duration = Duration::from_secs(1);

impl Service {
    pub(super) fn dispatch(&self, request: Request<RequestBody>, connection: &ConnectionInfo) -> Answering {
        let (head, body) = request.into_parts();
        let finish = Finish::new(&head, connection, self.settings());
        match self.begin(head, body, connection, &finish) {
            Ok(Step::Now(response)) => Answering::ready(finish.apply(response)),
            Err(refusal) => Answering::ready(finish.apply(self.refuse(refusal))),
            Ok(Step::Later(answer)) => {
                let service = self.clone();
                Answering::waiting(async move {
                    let response = answer.await.unwrap_or_else(|refusal| service.refuse(refusal));
                    finish.apply(response)
                })
            }
        }
    }

    fn refuse(&self, refusal: Refusal) -> Response<Body> {
        self.metrics().refused(refusal.reason());
        refusal.into_response(Shape::Problem)
    }

    fn begin(
        &self,
        head: Parts,
        body: RequestBody,
        connection: &ConnectionInfo,
        finish: &Finish,
    ) -> Result<Step, Refusal> {
        origin::check_host(&head, &self.settings().hosts)?;
        let path = head.uri.path();
        let target = Target::of(path)?;
        if target == Target::File && !self.has_file(path) {
            return Err(Refusal::not_found());
        }
        let action = target.action(&head.method)?;
        if action == Action::Options {
            return Ok(Step::Now(options(&head, &target, finish)));
        }
        if action == Action::Post {
            origin::check_site(&head, &self.settings().cors)?;
        }
        match target {
            Target::Health => Ok(Step::Now(text("ok\n"))),
            Target::Ready => self.readiness().map(Step::Now),
            Target::Metrics => Ok(Step::Now(text((self.0.shared.metrics_text)()))),
            target => self.serve(target, action, head, body, connection),
        }
    }

    fn serve(
        &self,
        target: Target,
        action: Action,
        head: Parts,
        body: RequestBody,
        connection: &ConnectionInfo,
    ) -> Result<Step, Refusal> {
        if self.0.shared.drain.is_draining() {
            let detail = "the server is going down";
            return Err(
                Refusal::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(AWAY_WHILE_DRAINING)
            );
        }
        let service = self.clone();
        Ok(match target {
            Target::Publish => later(publish::publish(service, head, body)),
            Target::Job(job) if action == Action::Post => later(publish::report(service, job, body)),
            Target::ShortPoll => {
                let (question, seen) = (native::short_poll(&head)?, short_poll::condition(&head.headers));
                answer(short_poll::answer(service, question, seen))
            }
            Target::LongPoll => {
                let mut question = native::long_poll(&head, self.settings().max_poll)?;
                question.wait = if action == Action::Head { Duration::ZERO } else { question.wait };
                let write = |given: &_| native::poll(given, "timestamp", respond::NO_STORE);
                answer(long_poll::answer(service, question, write))
            }
            Target::Stream => {
                let (question, given) = native::stream(&head)?;
                let framing = stream::framing(&head.headers);
                answer(stream::answer(service, question, given, framing))
            }
            Target::Push => {
                let (question, _) = native::stream(&head)?;
                answer(push::answer(service, question, connection.push))
            }
            Target::Job(job) => {
                let (_, given) = native::stream(&head)?;
                answer(progress::answer(service, job, given, stream::framing(&head.headers)))
            }
            Target::DemoJob if action == Action::Head => {
                let framing = stream::framing(&head.headers);
                Step::Now(respond::streamed(native::content_type(framing), Body::empty()))
            }
            Target::DemoJob => later(progress::demo(service, stream::framing(&head.headers))),
            Target::Message(channel, locator) => later(message(service, channel, locator)),
            Target::File => Step::Now(self.file(&head)),
            Target::Health | Target::Ready | Target::Metrics => {
                Step::Now(respond::bare(StatusCode::NO_CONTENT))
            }
        })
    }

    fn readiness(&self) -> Result<Response<Body>, Refusal> {
        let unready =
            |why: String| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, why).retry_after(AWAY_WHILE_DRAINING);
        if self.0.shared.drain.phase() != Phase::Serving {
            return Err(unready("the server is going down".to_owned()));
        }
        (self.0.shared.ready)().map_err(unready)?;
        Ok(text("ready\n"))
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

fn later(answer: impl Future<Output = Result<Response<Body>, Refusal>> + Send + 'static) -> Step {
    Step::Later(Box::pin(answer))
}

fn answer(answer: impl Future<Output = Response<Body>> + Send + 'static) -> Step {
    Step::Later(Box::pin(async move { Ok(answer.await) }))
}

async fn message(
    service: Service,
    channel: ChannelName,
    locator: Locator,
) -> Result<Response<Body>, Refusal> {
    let now = service.now();
    match service.store().message(now, &channel, locator).await {
        Found::Message(message, _, until) => {
            // A bare number means another message once the channel begins anew, so it is asked for each time.
            let cache = match locator {
                Locator::Cursor(_) => native::message_cache(now, until),
                Locator::Seq(_) => respond::NO_CACHE,
            };
            Ok(native::message(&message, cache))
        }
        Found::Gone => Err(Refusal::new(StatusCode::GONE, "the message is no longer retained")),
        Found::Never => Err(Refusal::new(StatusCode::NOT_FOUND, "there never was such a message")),
    }
}

fn options(head: &Parts, target: &Target, finish: &Finish) -> Response<Body> {
    let mut response = respond::bare(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    headers.insert(ALLOW, HeaderValue::from_static(target.allow()));
    if let Some(grant) = finish.grant() {
        grant.answer_preflight(&head.headers, target.allow(), headers);
    }
    response
}

/// Plain text; `version` is that of the Prometheus text format and means nothing to others.
fn text(text: impl Into<bytes::Bytes>) -> Response<Body> {
    let plain = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    respond::whole(StatusCode::OK, plain, respond::NO_STORE, Body::full(text))
}
