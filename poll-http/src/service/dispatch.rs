//! From a request to the pattern that answers it, step by step.

use std::sync::Arc;

use http::Method;
use poll_core::{Kind, OverBudget};

use crate::access::administration::{Face, is_operators};
use crate::access::authority::{Grant, Right};
use crate::access::client::Client;
use crate::access::origin::{self, Cors, HostCheck};
use crate::message::connection_info::{ConnectionInfo, Unread};
use crate::message::head::Head;
use crate::message::outcome::Outcome;
use crate::message::refusal::Refusal;
use crate::message::request::{Content, Request};
use crate::message::transfer_coding;
use crate::pattern::delete;
use crate::service::administration;
use crate::service::admit::{self, Judged};
use crate::service::answering::Answering;
use crate::service::finish::Finish;
use crate::service::parse;
use crate::service::program::{Ask, Program};
use crate::service::publish;
use crate::service::resources;
use crate::service::router::{Action, Dialect, Target};
use crate::service::subscriptions;
use crate::worker::Worker;
use crate::worker::budget::{self, cost};
use crate::worker::settings::{DurableStreams, KeepPresence};

/// What answers requests.
#[derive(Clone)]
pub(super) struct Dispatcher {
    pub(super) worker: Worker,
    pub(super) program: Arc<Program>,
    pub(super) face: Face,
}

impl Dispatcher {
    /// Answers one request. Whatever needs no waiting is done in the call.
    pub(super) fn dispatch(&self, request: Request<'_>, connection: &ConnectionInfo) -> Answering {
        let Request { head, content } = request;
        budget::charge(cost::REQUEST);
        connection.note_request();
        let mut finish = Finish::new(self.cors(head), head);
        let mut begun = self.begin(head, content, connection, &mut finish);
        // In place: a reply is large, and each move shows.
        if let Ok(Outcome::Now(reply)) = &mut begun {
            finish.apply(&self.worker, reply);
        }
        match begun {
            Ok(Outcome::Now(reply)) => Answering::ready(reply),
            Ok(Outcome::Later(answer)) => Answering::waiting(answer, self.worker.clone(), finish),
            Err(refusal) => Answering::ready(finish.refuse(&self.worker, refusal)),
        }
    }

    /// Which other origins may do what is asked for. What is for operators is for none: a browser adds their password to
    /// whatever page asks.
    fn cors(&self, head: Head<'_>) -> &Cors {
        if is_operators(self.face, head.path()) { &Cors::Off } else { &self.worker.settings().cors }
    }

    fn begin(
        &self,
        head: Head<'_>,
        content: Content<'_>,
        connection: &ConnectionInfo,
        finish: &mut Finish,
    ) -> Result<Outcome, Refusal> {
        let (worker, program) = (&self.worker, &*self.program);
        finish.identify(worker, head, connection)?;
        transfer_coding::check(head)?;
        origin::check_host(head, self.hosts())?;
        if head.path() == "*" && *head.method() == Method::OPTIONS {
            // The server as a whole (RFC 9110 §9.3.7).
            return Ok(Outcome::Now(finish.options(head, "GET, HEAD, POST, OPTIONS")));
        }
        admit::check_administration(worker, self.face, head, connection)?;
        let (target, action) = route(worker, program, head)?;
        if action == Action::Options {
            return Ok(Outcome::Now(finish.options(head, target.allow())));
        }
        let right = target.right(action);
        let changes = matches!(action, Action::Put | Action::Delete);
        if *head.method() == Method::POST || right == Right::Publish || changes {
            origin::check_site(head, connection.scheme(), self.cors(head))?;
        }
        let publishes = action.is_write() && target != Target::Events;
        if connection.unread == Unread::TooMuch && !publishes {
            return Err(OverBudget(Kind::Answers).into());
        }
        if target.is_administration() {
            finish.logged().pattern("admin");
            return administration::answer(worker, target, action, head, content, connection);
        }
        if let Some(reply) = resources::answer(worker, program, &target, head) {
            return Ok(Outcome::Now(reply));
        }
        let client = admit::admit(worker, head, connection, finish)?;
        let (target, content) =
            match subscriptions::answer_workers((worker, program), target, head, content, &client) {
                Ok(answered) => return answered,
                Err(others) => others,
            };
        let asked = Asked { target, action, right };
        match admit::judge(worker, head, right, &client)? {
            Judged::Granted(grant) => self.answer(asked, head, content, connection, client, grant),
            Judged::After(fetched) => {
                let (this, connection) = (self.clone(), connection.clone());
                let (head, body) = (head.to_parts(), content.into_body());
                Ok(Outcome::later(async move {
                    fetched.await;
                    let (head, content) = (Head::from(&head), Content::Body(body));
                    match admit::judge(&this.worker, head, asked.right, &client)? {
                        Judged::Granted(grant) => {
                            this.answer(asked, head, content, &connection, client, grant)?
                        }
                        // The set that was just fetched does not have it either.
                        Judged::After(_) => return Err(admit::unknown_key(&this.worker, &client)),
                    }
                    .finished()
                    .await
                }))
            }
        }
    }

    fn hosts(&self) -> &HostCheck {
        match self.face {
            Face::Public => &self.worker.settings().hosts,
            Face::Administration => &self.worker.settings().admin_hosts,
        }
    }

    /// Parses, checks and answers an admitted request.
    fn answer(
        &self,
        asked: Asked,
        head: Head<'_>,
        content: Content<'_>,
        connection: &ConnectionInfo,
        client: Client,
        grant: Arc<Grant>,
    ) -> Result<Outcome, Refusal> {
        let (worker, program) = (&self.worker, &*self.program);
        let Asked { target, action, .. } = asked;
        if let Target::Subscription(id, path) = target {
            let asked = subscriptions::Asked { id, path, action };
            let around = (worker, &self.program);
            return subscriptions::answer(around, asked, head, content, connection, &client, grant);
        }
        if let (Action::Delete, Target::DurableStream(channel)) = (action, &target) {
            client.logged.pattern("delete");
            client.logged.channels(std::slice::from_ref(channel));
            program.check(Some(head), &grant, Ask::Publish(channel))?;
            return delete::answer(worker, channel.clone());
        }
        if action.is_write() && target != Target::Events {
            let posted = parse::publish(worker, target, action, head, connection)?;
            client.logged.pattern("publish");
            return publish::answer(worker, &self.program, posted, head, content, grant, client.logged);
        }
        let client = client.holding(&grant);
        let mut read = parse::read(worker, target, action, head, connection, &grant)?;
        read.log(&client.logged);
        read.check(worker, program, head, &grant)?;
        read.answer(worker, client)
    }
}

/// What is asked of which resource.
struct Asked {
    target: Target,
    action: Action,
    right: Right,
}

/// The request's target and action.
fn route(worker: &Worker, program: &Program, head: Head<'_>) -> Result<(Target, Action), Refusal> {
    let settings = worker.settings();
    // Asked first because it is cheap: nearly every server speaks it.
    let off = settings.durable_streams == DurableStreams::Off;
    let target = if off && !Dialect::of(head.path()).is_spoken(settings) {
        Target::File
    } else {
        Target::of(head.path())?
    };
    if target.is_presence() && settings.presence == KeepPresence::Off {
        return Err(Refusal::not_found());
    }
    if target == Target::File && program.site.find(head.path()).is_none() {
        return Err(Refusal::not_found());
    }
    let action = target.action(head.method())?;
    Ok((target, action))
}
