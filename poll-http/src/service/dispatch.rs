//! From a request to the pattern that answers it.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use http::header::{ALLOW, ETAG, LINK};
use http::{HeaderValue, Method, StatusCode};
use poll_core::{Charge, Kind, OverBudget, Published, Publishing};

use crate::access::client::Client;
use crate::access::origin;
use crate::access::tokens::{Denied, Right};
use crate::dialect::golongpoll;
use crate::message::body::Body;
use crate::message::coding;
use crate::message::connection_info::{ConnectionInfo, Unread};
use crate::message::early_hints::{Asset, Preload};
use crate::message::head::{Field, Head};
use crate::message::refusal::{Refusal, Shape};
use crate::message::reply::Reply;
use crate::message::request::{Content, Request};
use crate::message::respond;
use crate::pattern::publish::Posted;
use crate::service::check::Ask;
use crate::service::finish::Finish;
use crate::service::read_body::{self, Bounds, Held};
use crate::service::router::{Action, Dialect, Target};
use crate::service::{Answering, Service};
use crate::worker::drain::Phase;
use crate::worker::turn::{self, cost};

/// An answer that is there, or one that is to come.
#[expect(clippy::large_enum_variant, reason = "lives for one call, and a box would cost each answer")]
pub(super) enum Step {
    Now(Reply),
    Later(Coming),
}

/// What comes may still be a refusal.
type Coming = Pin<Box<dyn Future<Output = Result<Reply, Refusal>> + Send>>;

/// An answer that is to come, and what is needed to complete it.
pub(super) struct Later {
    answer: Coming,
    service: Service,
    finish: Finish,
    dialect: Dialect,
}

impl Later {
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Reply> {
        Poll::Ready(match ready!(self.answer.as_mut().poll(cx)) {
            Ok(mut reply) => {
                self.finish.apply(&self.service, &mut reply);
                reply
            }
            Err(refusal) => self.service.refused(refusal, self.dialect, &mut self.finish),
        })
    }
}

/// Answers up to this many bytes are on no account: there is one to a socket, or what waits on an HTTP/2 connection is
/// bounded there.
const SMALL_ANSWER: u64 = 4 * 1024;

/// Of a large body of lines so many bytes are read at once: half a millisecond's worth.
const PIECE: usize = 64 * 1024;

/// How long a client that is turned away by a draining server should stay away: until another one has taken
/// over.
const AWAY_WHILE_DRAINING: Duration = Duration::from_secs(1);

impl Step {
    /// The answer itself.
    pub(super) async fn finished(self) -> Result<Reply, Refusal> {
        match self {
            Self::Now(reply) => Ok(reply),
            Self::Later(answer) => answer.await,
        }
    }
}

impl Service {
    /// Answers one request. What needs no waiting is done in the call, and its answer is ready when it is first polled.
    pub(crate) fn dispatch(&self, request: Request<'_>, connection: &ConnectionInfo) -> Answering {
        let Request { head, content } = request;
        turn::charge(cost::REQUEST);
        let dialect = Dialect::of(head.path());
        let mut finish = Finish::new(head, self.settings());
        let mut begun = self.begin(head, content, connection, &mut finish);
        // Where it lies: an answer is large, and each move shows.
        if let Ok(Step::Now(reply)) = &mut begun {
            finish.apply(self, reply);
        }
        match begun {
            Ok(Step::Now(reply)) => Answering::ready(reply),
            Ok(Step::Later(answer)) => {
                Answering::later(Later { answer, service: self.clone(), finish, dialect })
            }
            Err(refusal) => Answering::ready(self.refused(refusal, dialect, &mut finish)),
        }
    }

    fn refused(&self, refusal: Refusal, dialect: Dialect, finish: &mut Finish) -> Reply {
        self.metrics().refused(refusal.reason());
        let mut reply = refusal.into_reply(dialect.shape());
        if dialect == Dialect::Golongpoll {
            golongpoll::uncached(&mut reply);
        }
        finish.apply(self, &mut reply);
        reply
    }

    fn begin(
        &self,
        head: Head<'_>,
        content: Content<'_>,
        connection: &ConnectionInfo,
        finish: &mut Finish,
    ) -> Result<Step, Refusal> {
        coding::check(head)?;
        origin::check_host(head, &self.settings().hosts)?;
        let path = head.path();
        if path == "*" && *head.method() == Method::OPTIONS {
            // The server as a whole (RFC 9110 §9.3.7).
            return Ok(Step::Now(options(head, "GET, HEAD, POST, OPTIONS", finish)));
        }
        let target = Target::of(path)?;
        if target == Target::File && !self.has_file(path) {
            return Err(Refusal::not_found());
        }
        let action = target.action(head.method())?;
        if action == Action::Options {
            return Ok(Step::Now(options(head, target.allow(), finish)));
        }
        let right = right(&target, action);
        if *head.method() == Method::POST || right == Right::Publish {
            origin::check_site(head, &self.settings().cors)?;
        }
        let publishes = action == Action::Post && target != Target::Events;
        if connection.unread == Unread::TooMuch && !publishes {
            return Err(OverBudget(Kind::Answers).into());
        }
        match target {
            Target::Health => Ok(Step::Now(text(respond::PLAIN, "ok\n"))),
            Target::Ready => Ok(Step::Now(self.readiness())),
            Target::Metrics => Ok(Step::Now(text(PROMETHEUS, (self.0.shared.metrics_text)()))),
            Target::File => Ok(Step::Now(self.file(head))),
            target => {
                let client = self.let_in(head, right, connection, finish)?;
                if publishes {
                    self.take(target, head, content)
                } else {
                    self.give(target, action, head, client, connection)
                }
            }
        }
    }

    /// Whether this client may ask this now.
    fn let_in(
        &self,
        head: Head<'_>,
        right: Right,
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
        let client = Client::of(connection.peer.ip(), head, &shared.proxies)?;
        shared.admission.charge(client.address)?;
        finish.charged(client.address);
        match self.settings().access.check(right, head) {
            Ok(()) => Ok(client),
            Err(denied) => {
                if denied == Denied::Unknown {
                    shared.admission.failed_token(client.address)?;
                }
                Err(denied.into())
            }
        }
    }

    /// Requests that publish.
    fn take(&self, target: Target, head: Head<'_>, content: Content<'_>) -> Result<Step, Refusal> {
        let mut posted = Posted::of(target, head)?;
        let most = posted.most_bytes(self.settings());
        if let Some(content) = content.whole() {
            if content.len() > most {
                return Err(Refusal::too_large("the content", most));
            }
            turn::charge(cost::JSON_BYTE * content.len() as u64);
            return self.publish_content(posted, content, None, |ask| self.ask(head, ask));
        }
        let body = content.into_body();
        let (service, head) = (self.clone(), self.kept(head));
        Ok(later(async move {
            let settings = service.settings();
            let bounds = Bounds { bytes: most, time: settings.body };
            let memory = service.store().memory();
            let (content, held) = read_body::read(body, bounds, memory, service.deadlines()).await?;
            read_lines(&mut posted, content.as_ref()).await?;
            let asked = |ask: Ask<'_>| head.map_or(Ok(()), |head| service.ask(Head::from(&*head), ask));
            let step = service.publish_content(posted, content.as_ref(), Some(held), asked)?;
            drop(content);
            step.finished().await
        }))
    }

    /// Publishes what a request brought, if it may, as far as that goes without waiting. What is held for it is let go of
    /// with the answer.
    fn publish_content(
        &self,
        posted: Posted,
        content: &[u8],
        held: Option<Held>,
        ask: impl FnOnce(Ask<'_>) -> Result<(), Refusal>,
    ) -> Result<Step, Refusal> {
        let (channel, publish, told) = posted.with(content, self.settings())?;
        turn::charge(cost::MESSAGE * publish.payloads.len() as u64);
        // Before it is published: then there is no way back.
        let room = self.room_for(told.most_bytes(publish.payloads.len()) as u64)?;
        let held =
            move |service: &Self| held.unwrap_or_else(|| Held::whole(service.store().memory(), content));
        ask(Ask::Publish(&channel))?;
        if !self.0.shared.hooks.is_empty() {
            let (service, held) = (self.clone(), held(self));
            return Ok(later(async move {
                let published = service.publish(&channel, publish).await?;
                drop(held);
                Ok(charged(told.reply(&channel, &published), room))
            }));
        }
        let now = self.now();
        let publishing = self.store().start_publish(now, &channel, publish)?;
        let tell = move |service: &Self, published: &Published| {
            service.count_published(&channel, published);
            charged(told.reply(&channel, published), room)
        };
        Ok(match publishing {
            Publishing::Done(published) => {
                let mut reply = tell(self, &published);
                reply.made = Some(now);
                Step::Now(reply)
            }
            Publishing::Waiting(published) => {
                let (service, held) = (self.clone(), held(self));
                later(async move {
                    let published = published.await?;
                    drop(held);
                    Ok(tell(&service, &published))
                })
            }
        })
    }

    /// Room on the account for an answer of so many bytes; small ones need none.
    pub(super) fn room_for(&self, bytes: u64) -> Result<Option<Charge>, OverBudget> {
        let room = |bytes| self.store().memory().charge(Kind::Answers, bytes);
        (bytes > SMALL_ANSWER).then_some(bytes).map(room).transpose()
    }

    /// One line a fault, or `ready`: load balancers and people read it, so it is no problem in JSON.
    fn readiness(&self) -> Reply {
        let ready = match self.0.shared.drain.phase() {
            Phase::Serving => (self.0.shared.ready)(),
            Phase::Unready | Phase::Draining { .. } => Err("the server is going down".to_owned()),
        };
        match ready {
            Ok(note) if note.is_empty() => text(respond::PLAIN, "ready\n"),
            Ok(note) => text(respond::PLAIN, format!("ready\n{note}\n")),
            Err(why) => {
                let unready =
                    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, why).retry_after(AWAY_WHILE_DRAINING);
                self.metrics().refused(unready.reason());
                unready.into_reply(Shape::Plain)
            }
        }
    }

    fn has_file(&self, path: &str) -> bool {
        self.find_file(path).is_some()
    }

    fn find_file(&self, path: &str) -> Option<&Asset> {
        let site = &self.0.shared.site;
        site.page.iter().chain(site.assets.iter()).find(|asset| asset.path == path)
    }

    fn file(&self, head: Head<'_>) -> Reply {
        let Some(asset) = self.find_file(head.path()) else {
            return respond::bare(StatusCode::NOT_FOUND);
        };
        let tag = asset.headers.get(ETAG).map(HeaderValue::as_bytes);
        let seen = head.field(Field::IfNoneMatch);
        let mut reply = if tag.is_some() && tag == seen {
            respond::bare(StatusCode::NOT_MODIFIED)
        } else {
            Reply::new(StatusCode::OK, Body::full(asset.body.clone()).sharing(asset.body.len()))
        };
        *reply.headers_mut() = asset.headers.clone();
        let site = &self.0.shared.site;
        let is_page = site.page.as_ref().is_some_and(|page| page.path == asset.path);
        if is_page && reply.status == StatusCode::OK && !site.assets.is_empty() {
            for asset in site.assets.iter() {
                reply.headers_mut().append(LINK, asset.link.clone());
            }
            reply.extensions_mut().insert(Preload { assets: site.assets.clone() });
        }
        reply
    }
}

pub(super) fn charged(reply: Reply, room: Option<Charge>) -> Reply {
    let Some(room) = room else { return reply };
    Reply { body: reply.body.charged(room), ..reply }
}

/// Reads a large body of lines as turns of the worker allow.
async fn read_lines(posted: &mut Posted, content: &[u8]) -> Result<(), Refusal> {
    let lines = if content.len() > PIECE { posted.lines(content) } else { None };
    let Some((mut lines, incoming)) = lines else {
        turn::charge(cost::JSON_BYTE * content.len() as u64);
        return Ok(());
    };
    loop {
        let read = lines.read(PIECE)?;
        turn::charge(cost::JSON_BYTE * read as u64);
        if read == 0 {
            return incoming.give(lines);
        }
        poll_fn(turn::poll_go_on).await;
    }
}

/// The same, if it has to be waited for at all.
pub(super) fn soon(
    answer: impl Future<Output = Result<Reply, Refusal>> + Send + 'static,
) -> Result<Step, Refusal> {
    let mut answer = Box::pin(answer);
    // Nobody is to be woken: whoever waits for it polls it again.
    match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer.map(Step::Now),
        Poll::Pending => Ok(Step::Later(answer)),
    }
}

pub(super) fn later(answer: impl Future<Output = Result<Reply, Refusal>> + Send + 'static) -> Step {
    Step::Later(Box::pin(answer))
}

/// What a request needs. The demonstration job is started by a GET, and publishes.
fn right(target: &Target, action: Action) -> Right {
    match (action, target) {
        (Action::Post, _) | (_, Target::DemoJob) => Right::Publish,
        _ => Right::Subscribe,
    }
}

fn options(head: Head<'_>, allow: &'static str, finish: &Finish) -> Reply {
    let mut reply = respond::bare(StatusCode::NO_CONTENT);
    let headers = reply.headers_mut();
    headers.insert(ALLOW, HeaderValue::from_static(allow));
    if let Some(grant) = finish.grant() {
        grant.answer_preflight(head, allow, headers);
    }
    reply
}

/// The Prometheus text format.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

fn text(media: &'static str, text: impl Into<bytes::Bytes>) -> Reply {
    respond::whole(StatusCode::OK, media, respond::NO_STORE, Body::full(text))
}
