//! Requests about subscriptions: rights, content, then the pattern.
//!
//! A subscription reads, so all that a client does with it wants the right to subscribe, and that for every stream that
//! may ever wake it. What a worker says carries the token of its wake, and no other.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use http::request::Parts;
use poll_core::ChannelName;

use crate::access::authority::{self, Grant};
use crate::access::client::Client;
use crate::access::tokens;
use crate::dialect::durable_streams;
use crate::dialect::durable_streams::subscriptions::{
    self, Claim, Configuration, Delivery, Fault, MOST_BYTES, SubscriptionId, SubscriptionPath, Turn,
};
use crate::message::body_charge::BodyCharge;
use crate::message::connection_info::ConnectionInfo;
use crate::message::head::Head;
use crate::message::outcome::Outcome;
use crate::message::refusal::Refusal;
use crate::message::reply::Reply;
use crate::message::request::Content;
use crate::message::request_body::RequestBody;
use crate::pattern::subscription::{Hub, Reach, Speech, What};
use crate::service::program::{Ask, Program};
use crate::service::read_body::{self, Bounds};
use crate::service::router::{Action, Target};
use crate::worker::Worker;

/// What is asked of which subscription.
pub(super) struct Asked {
    pub(super) id: SubscriptionId,
    pub(super) path: SubscriptionPath,
    pub(super) action: Action,
}

/// The client, and its rights.
struct Asker {
    program: Arc<Program>,
    /// For the program's check.
    head: Option<Box<Parts>>,
    grant: Arc<Grant>,
}

/// Content that is here, or still to be read.
enum Incoming {
    Here(Bytes),
    Body(RequestBody),
}

/// Answers what needs no token of the server's: the public keys, and what carries the token of a wake. Gives back the rest.
///
/// # Errors
/// The refusal is inside: 501 without subscriptions, 503 until they are read, and those of the store.
pub(super) fn answer_workers<'a>(
    (worker, program): (&Worker, &Program),
    target: Target,
    head: Head<'_>,
    content: Content<'a>,
    client: &Client,
) -> Result<Result<Outcome, Refusal>, (Target, Content<'a>)> {
    let hub = program.subscriptions.as_ref().ok_or_else(absent);
    let (id, path) = match target {
        Target::WebhookKeys => {
            return Ok(hub.and_then(|hub| {
                let hub = hub.clone();
                Outcome::soon(async move { hub.keys().await })
            }));
        }
        Target::Subscription(id, path) if path.wants_wake_token() => (id, path),
        other => return Err((other, content)),
    };
    client.logged.pattern("subscription");
    let token = tokens::credentials(head, "bearer");
    Ok(hub.and_then(|hub| {
        let token: Box<str> = token?.unwrap_or_default().into();
        let (hub, worker, address) = (hub.clone(), worker.clone(), client.address);
        let incoming = Incoming::of(content);
        Outcome::soon(async move {
            let (content, charge) = incoming.read(&worker).await?;
            let speech = match path {
                SubscriptionPath::Ack => Speech::Ack,
                SubscriptionPath::Release => Speech::Release,
                _ => Speech::Callback,
            };
            let turn = match Turn::parse(content.as_ref()) {
                Ok(turn) => turn,
                Err(fault) => return Ok(refused(&worker, &fault)),
            };
            drop((content, charge));
            let reply = hub.tell(&id, What::Turn { speech, token, turn }).await?;
            if reply.status() == StatusCode::UNAUTHORIZED {
                worker.admission().failed_token(address)?;
            }
            Ok(counted(&worker, reply))
        })
    }))
}

/// Answers everything else.
///
/// # Errors
/// 501 without subscriptions, 503 until they are read, 403 without the right, 413, and those of the store.
pub(super) fn answer(
    (worker, program): (&Worker, &Arc<Program>),
    asked: Asked,
    head: Head<'_>,
    content: Content<'_>,
    connection: &ConnectionInfo,
    client: &Client,
    grant: Arc<Grant>,
) -> Result<Outcome, Refusal> {
    let hub = program.subscriptions.clone().ok_or_else(absent)?;
    client.logged.pattern("subscription");
    let (worker, program) = (worker.clone(), program.clone());
    let asker = Asker { head: program.keep_head(head), program, grant };
    let base = durable_streams::base(head, worker.server().proxies.scheme(connection, head))?;
    let incoming = Incoming::of(content);
    Outcome::soon(async move {
        let reply = match asked.action {
            Action::Get | Action::Head => show(&hub, &asker, asked).await?,
            Action::Delete => delete(&hub, &asker, asked).await?,
            _ => {
                let (content, charge) = incoming.read(&worker).await?;
                let reply = change(&hub, &asker, asked, content.as_ref(), base).await?;
                drop(charge);
                reply
            }
        };
        Ok(counted(&worker, reply))
    })
}

async fn show(hub: &Hub, asker: &Asker, asked: Asked) -> Result<Reply, Refusal> {
    match hub.reach(&asked.id).await? {
        Some(reach) => asker.may_reach(&reach)?,
        None => return Ok(subscriptions::refuse(&Fault::NotFound)),
    }
    hub.tell(&asked.id, What::Show(StatusCode::OK)).await
}

async fn delete(hub: &Hub, asker: &Asker, asked: Asked) -> Result<Reply, Refusal> {
    match hub.reach(&asked.id).await? {
        Some(reach) => asker.may_reach(&reach)?,
        None if asked.path == SubscriptionPath::Whole => return Ok(subscriptions::done()),
        None => return Ok(subscriptions::refuse(&Fault::NotFound)),
    }
    match asked.path {
        SubscriptionPath::Stream(name) => hub.tell(&asked.id, What::Unname(name)).await,
        _ => hub.delete(asked.id).await,
    }
}

async fn change(
    hub: &Hub,
    asker: &Asker,
    asked: Asked,
    content: &[u8],
    base: String,
) -> Result<Reply, Refusal> {
    let refused = |fault| Ok(subscriptions::refuse(&fault));
    if asked.path == SubscriptionPath::Whole {
        let configuration = match Configuration::parse(content, hub.loopback()) {
            Ok(configuration) => configuration,
            Err(fault) => return refused(fault),
        };
        if base.is_empty() {
            return Err(Refusal::bad_request("`Host` is missing: receivers have to know it"));
        }
        asker.may_read(&configuration)?;
        if let Delivery::PullWake(stream) = &configuration.delivery {
            asker.check(Ask::Publish(stream))?;
        }
        if let Some(known) = hub.reach(&asked.id).await?
            && *known.configuration == configuration
        {
            // It is shown, with what was added.
            asker.may_reach(&known)?;
        }
        return hub.put(asked.id, configuration, base).await;
    }
    match hub.reach(&asked.id).await? {
        Some(reach) => asker.may_reach(&reach)?,
        None => return refused(Fault::NotFound),
    }
    let what = if asked.path == SubscriptionPath::Streams {
        match subscriptions::streams(content) {
            Ok(streams) => {
                asker.may_read_each(streams.iter().map(|name| &**name))?;
                What::Name(streams)
            }
            Err(fault) => return refused(fault),
        }
    } else {
        match Claim::parse(content) {
            Ok(claim) => What::Claim(claim),
            Err(fault) => return refused(fault),
        }
    };
    hub.tell(&asked.id, what).await
}

impl Asker {
    fn check(&self, ask: Ask<'_>) -> Result<(), Refusal> {
        self.program.check(self.head.as_deref().map(Head::from), &self.grant, ask)
    }

    /// Whether it may read all that a subscription that there is may ever tell of.
    fn may_reach(&self, reach: &Reach) -> Result<(), Refusal> {
        self.may_read(&reach.configuration)?;
        self.may_read_each(reach.named.iter().map(|name| &**name))
    }

    /// Whether it may read all that a subscription may tell of that is made like this.
    fn may_read(&self, configuration: &Configuration) -> Result<(), Refusal> {
        if let Some(pattern) = &configuration.pattern {
            if !pattern.is_within(&self.grant.subscribe) {
                return Err(authority::insufficient());
            }
            // The program may refuse it by its name.
            if let (Some(_), Ok(name)) = (&self.head, ChannelName::parse(pattern.as_str())) {
                let all = Grant { subscribe: authority::Scope::All, ..Grant::default() };
                self.program.check(self.head.as_deref().map(Head::from), &all, Ask::Read(&name))?;
            }
        }
        self.may_read_each(configuration.streams.iter().map(|name| &**name))
    }

    fn may_read_each<'a>(&self, names: impl Iterator<Item = &'a str>) -> Result<(), Refusal> {
        for name in names {
            self.check(Ask::Read(&ChannelName::parse(name)?))?;
        }
        Ok(())
    }
}

impl Incoming {
    fn of(content: Content<'_>) -> Self {
        match content.whole().map(Bytes::copy_from_slice) {
            Some(content) => Self::Here(content),
            None => Self::Body(content.into_body()),
        }
    }

    /// The content, within limits.
    async fn read(self, worker: &Worker) -> Result<(read_body::Content, BodyCharge), Refusal> {
        match self {
            Self::Here(content) if content.len() > MOST_BYTES => {
                Err(Refusal::too_large("the content", MOST_BYTES))
            }
            Self::Here(content) => {
                let charge = BodyCharge::whole(worker.store().memory(), content.len());
                Ok((read_body::Content::One(content), charge))
            }
            Self::Body(body) => {
                let bounds = Bounds { bytes: MOST_BYTES, time: worker.settings().body };
                read_body::read(body, bounds, worker.store().memory(), worker.timers()).await
            }
        }
    }
}

fn absent() -> Refusal {
    Refusal::new(StatusCode::NOT_IMPLEMENTED, "this server has no subscriptions")
}

fn refused(worker: &Worker, fault: &Fault) -> Reply {
    counted(worker, subscriptions::refuse(fault))
}

/// Counts a reply that refuses.
fn counted(worker: &Worker, reply: Reply) -> Reply {
    if reply.status().is_client_error() {
        worker.metrics().refused(Refusal::new(reply.status(), "").reason());
    }
    reply
}
