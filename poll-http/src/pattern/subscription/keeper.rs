//! One subscription at work: a task that takes what is said to it and what is new, keeps what follows, and delivers.
//!
//! Nothing is answered and nothing is sent before it is kept. While the store does not keep it, requests are refused and
//! everything else waits.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use poll_core::life::{Condition, Standing, Use};
use poll_core::{
    ChannelName, Charge, Cursor, JournalError, Limit, Payload, Position, Publish, Selection, Seq, Timestamp,
};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::cell::Cell;
use super::client::{Webhook, WebhookAnswer};
use super::keys::Keys;
use super::news::{Mailbox, Taken};
use super::outside::Outside;
use crate::dialect::durable_streams::subscriptions::{
    self, Attempt, Claim, Delivery, Fault, From, Seen, Sent, Subscription, SubscriptionId, Turn,
};
use crate::message::refusal::Refusal;
use crate::message::reply::Reply;
use crate::message::trace_context::TraceContext;

/// The pause after the store did not keep something.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest sleep: a clock that is set is noticed by then.
const LONGEST_SLEEP: Duration = Duration::from_secs(10);
/// What a subscription costs beside its streams, and a stream beside its name.
pub(super) const SUBSCRIPTION_BYTES: u64 = 4_096;
pub(super) const STREAM_BYTES: u64 = 256;
/// How many channels are looked through at a time.
const PAGE: usize = 256;

/// What is said to a subscription, and where the answer goes.
pub(super) struct Command {
    pub(super) what: What,
    pub(super) reply: oneshot::Sender<Result<Reply, Refusal>>,
}

/// What is said to a subscription.
pub(crate) enum What {
    /// Show it, with this status.
    Show(StatusCode),
    /// It has these streams as well.
    Name(BTreeSet<Box<str>>),
    /// It does not need this one.
    Unname(ChannelName),
    Claim(Claim),
    Turn {
        speech: Speech,
        token: Box<str>,
        turn: Turn,
    },
    /// It is deleted, and this task ends.
    End,
}

/// What a worker says with the token of its wake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speech {
    /// A webhook's receiver.
    Callback,
    Ack,
    Release,
}

pub(super) struct Keeper {
    pub(super) outside: Outside,
    pub(super) keys: Keys,
    pub(super) id: SubscriptionId,
    pub(super) subscription: Subscription,
    pub(super) cell: Cell,
    /// What was kept last.
    pub(super) kept: Vec<u8>,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) charge: Charge,
    /// The webhook that is on its way, with its generation.
    pub(super) delivery: JoinSet<(u64, Sent)>,
    pub(super) scan: Scan,
    /// The trace of what came last, which webhooks carry on.
    pub(super) trace: Option<TraceContext>,
}

/// Whether all streams are to be looked through for those that match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scan {
    Due,
    Done,
}

/// Whether the task goes on.
#[derive(PartialEq, Eq)]
enum Next {
    Go,
    End,
}

impl Keeper {
    /// Works until it is deleted, or nothing can be said to it any more.
    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let names = self.subscription.links().filter_map(|(name, _)| ChannelName::parse(name).ok()).collect();
        self.mailbox.put_back(names, None);
        self.mailbox.know(self.subscription.links().map(|(name, _)| name));
        loop {
            let went = self.advance().await;
            let sleep = if went.is_ok() { self.until_due() } else { Some(PAUSE) };
            let mailbox = self.mailbox.clone();
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    Some(command) => {
                        if self.hear(command).await == Next::End {
                            return;
                        }
                    }
                    None => return,
                },
                Some(Ok((generation, sent))) = self.delivery.join_next(), if went.is_ok() => {
                    self.hear_of(generation, sent).await;
                }
                () = mailbox.arrived(), if went.is_ok() => {}
                () = tokio::time::sleep(sleep.unwrap_or(PAUSE)), if sleep.is_some() => {}
            }
        }
    }

    fn now(&self) -> Timestamp {
        self.outside.environment.now()
    }

    fn random(&self) -> u128 {
        let random = || u128::from(self.outside.environment.random());
        random() << 64 | random()
    }

    fn until_due(&self) -> Option<Duration> {
        Some(self.subscription.due()?.since(self.now()).min(LONGEST_SLEEP))
    }

    /// Who the tokens of its wakes are for.
    fn subject(&self) -> String {
        format!("{}\n{}", self.id, self.subscription.created.as_micros())
    }

    /// Takes in what is new, and does what is due.
    async fn advance(&mut self) -> Result<(), Refusal> {
        self.look_at_news().await?;
        let now = self.now();
        let mut next = self.subscription.clone();
        let Some(attempt) = next.attempt(now) else { return Ok(()) };
        self.keep(next).await?;
        match attempt {
            Attempt::Webhook(wake) => {
                let token = self.keys.token(&self.subject(), wake.generation);
                let content = subscriptions::delivery(&self.subscription, self.id.as_str(), &wake, &token);
                self.send(now, wake.generation, content);
            }
            Attempt::Event(wake, stream) => {
                let content = subscriptions::wake_event(self.id.as_str(), &wake, now);
                let sent = self.write_event(now, &stream, &content).await;
                self.hear_of(wake.generation, sent).await;
            }
        }
        Ok(())
    }

    /// Looks at the streams that have something new, and begins a wake if one is wanted.
    async fn look_at_news(&mut self) -> Result<(), Refusal> {
        if self.scan == Scan::Due {
            self.scan().await?;
            self.scan = Scan::Done;
        }
        let (now, random) = (self.now(), self.random());
        let Taken { names, left_out, trace } = self.mailbox.take();
        if !names.is_empty() {
            self.trace = trace;
        }
        let mut next = self.subscription.clone();
        next.leave_out(left_out);
        let looked = self.look_at_each(&mut next, &names).await;
        next.pass(now, random);
        let kept = match looked {
            Ok(()) => self.keep(next).await,
            Err(error) => Err(Refusal::unreadable(error)),
        };
        if !names.is_empty() {
            self.settle_charge();
        }
        if kept.is_err() {
            self.mailbox.put_back(names, trace);
        } else if !names.is_empty() {
            self.mailbox.know(self.subscription.links().map(|(name, _)| name));
        }
        kept
    }

    /// Finds the streams that match and are not its own yet: all that there are when it begins, and what came just before
    /// a crash after a restart.
    async fn scan(&mut self) -> Result<(), Refusal> {
        let mut next = self.subscription.clone();
        let prefix = match &next.configuration.pattern {
            Some(pattern) => ChannelName::parse(pattern.prefix()).ok(),
            None => return Ok(()),
        };
        let (mut after, random) = (None, self.random());
        loop {
            let now = self.now();
            let selection = Selection { prefix: prefix.clone(), after, limit: PAGE };
            let page = self.outside.store.list(now, selection).await.map_err(Refusal::unreadable)?;
            let names = page.channels.into_iter().map(|listed| listed.channel);
            let is_new =
                |name: &ChannelName| !next.has(name.as_str()) && next.configuration.matches(name.as_str());
            let names: Vec<ChannelName> = names.filter(is_new).collect();
            self.look_at_each(&mut next, &names).await.map_err(Refusal::unreadable)?;
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        next.is_scanned = true;
        next.pass(self.now(), random);
        let kept = self.keep(next).await;
        self.settle_charge();
        kept?;
        self.mailbox.know(self.subscription.links().map(|(name, _)| name));
        Ok(())
    }

    async fn look_at_each(
        &mut self,
        next: &mut Subscription,
        names: &[ChannelName],
    ) -> Result<(), JournalError> {
        for name in names {
            let standing = self.outside.store.describe(self.now(), name, Use::Look).await?;
            let mut from = From::End;
            if let (Standing::Live(found), false) = (&standing, next.has(name.as_str())) {
                if self.charge.grow(STREAM_BYTES + name.as_str().len() as u64).is_err() {
                    next.leave_out(1);
                    continue;
                }
                from = self.beginning(next, name, found.end()).await?;
            }
            next.see(name.as_str(), seen(&standing), from);
        }
        Ok(())
    }

    /// What was charged for streams that it does not have is free again.
    fn settle_charge(&mut self) {
        let streams = self.subscription.links().map(|(name, _)| STREAM_BYTES + name.len() as u64);
        let wanted = SUBSCRIPTION_BYTES + streams.sum::<u64>();
        self.charge.shrink(self.charge.bytes().saturating_sub(wanted));
    }

    /// Where a stream begins for a subscription that does not have it.
    async fn beginning(
        &self,
        next: &Subscription,
        name: &ChannelName,
        end: Cursor,
    ) -> Result<From, JournalError> {
        Ok(match (next.is_scanned, next.leaves_out()) {
            (false, _) => From::End,
            // It has all that there were before it, so this one came later.
            (true, false) => From::After(Cursor { epoch: end.epoch, seq: Seq::ZERO }),
            (true, true) => From::After(self.before_what_came_since(next.created, name, end).await?),
        })
    }

    /// Where a stream ended when the subscription was made.
    async fn before_what_came_since(
        &self,
        created: Timestamp,
        name: &ChannelName,
        end: Cursor,
    ) -> Result<Cursor, JournalError> {
        let (store, now) = (&self.outside.store, self.now());
        let pinned = store.pin(now, name, Position::AfterTime(created)).await?;
        let view = store.read(now, name, &pinned, Limit::default()).await?;
        let first = view.batch.as_ref().and_then(|batch| batch.messages().first().map(|first| first.seq));
        Ok(Cursor { epoch: end.epoch, seq: first.map_or(end.seq, Seq::previous) })
    }

    /// Keeps a subscription as it is now.
    async fn keep(&mut self, next: Subscription) -> Result<(), Refusal> {
        let record = next.to_record(self.id.as_str());
        if record != self.kept {
            let now = self.now();
            self.cell.save(&self.outside.store, now, &record).await?;
            self.kept = record;
        }
        self.subscription = next;
        Ok(())
    }

    /// Sends a webhook, in place of one that is still under way.
    fn send(&mut self, now: Timestamp, generation: u64, content: Vec<u8>) {
        let Delivery::Webhook(url) = &self.subscription.configuration.delivery else { return };
        let signature = self.keys.signature(now, &content);
        let time = self.subscription.configuration.lease;
        let (url, content, trace) = (url.clone(), content.into(), self.trace);
        let sending = self.outside.client.send(Webhook { url, signature, content, trace, time });
        let (id, is_first) = (self.id.clone(), !self.subscription.is_failing());
        self.delivery.abort_all();
        self.delivery.spawn(async move {
            let why = match sending.await {
                Ok(answer) if answer.status.is_success() => return (generation, meaning(&answer)),
                Ok(answer) => format!("it answered {}", answer.status),
                Err(why) => why,
            };
            if is_first {
                tracing::warn!(subscription = %id, "the webhook of subscription {id} fails: {why}");
            }
            (generation, Sent::Failed)
        });
    }

    /// Writes the event of a wake into its stream.
    async fn write_event(&self, now: Timestamp, stream: &ChannelName, content: &[u8]) -> Sent {
        let Ok(payload) = Payload::json(content) else { return Sent::Failed };
        let appended =
            self.outside.store.append(now, stream, Publish::one(payload), Condition::default()).await;
        match appended {
            Ok(_) => Sent::Taken,
            Err(error) => {
                if !self.subscription.is_failing() {
                    let id = &self.id;
                    tracing::warn!(subscription = %id, "the wake stream of subscription {id} takes nothing: {error}");
                }
                Sent::Failed
            }
        }
    }

    /// An attempt to deliver has ended.
    async fn hear_of(&mut self, generation: u64, sent: Sent) {
        let (now, random) = (self.now(), self.random());
        let mut next = self.subscription.clone();
        next.sent(now, generation, sent, random);
        if self.keep(next).await.is_err() {
            // As if it had not been answered: it is sent again.
            self.subscription.sent(now, generation, Sent::Failed, random);
        }
    }

    /// Answers what is said.
    async fn hear(&mut self, Command { what, reply }: Command) -> Next {
        let mut next = Next::Go;
        let answer = match self.look_at_news().await {
            Ok(()) => match what {
                What::End => self.end(&mut next).await,
                what => self.answer(what).await,
            },
            Err(refusal) => Err(refusal),
        };
        // The client may be gone.
        let _ = reply.send(answer);
        next
    }

    async fn end(&mut self, next: &mut Next) -> Result<Reply, Refusal> {
        let now = self.now();
        self.cell.remove(&self.outside.store, now).await?;
        *next = Next::End;
        Ok(subscriptions::done())
    }

    async fn answer(&mut self, what: What) -> Result<Reply, Refusal> {
        let (now, random) = (self.now(), self.random());
        let mut next = self.subscription.clone();
        let answer = match what {
            What::Show(status) => {
                Ok(subscriptions::created(status, &next, self.id.as_str(), &self.keys.id()))
            }
            What::Name(streams) => self.name(&mut next, &streams).await?,
            What::Unname(stream) => {
                next.unname(stream.as_str());
                Ok(subscriptions::done())
            }
            What::Claim(claim) => next.claim(now, &claim.worker, random).cloned().map(|wake| {
                let token = self.keys.token(&self.subject(), wake.generation);
                subscriptions::claimed(&next, &wake, &token)
            }),
            What::Turn { speech, token, turn } => self.turn(&mut next, speech, &token, &turn),
            What::End => Ok(subscriptions::done()),
        };
        let kept = self.keep(next).await;
        self.settle_charge();
        kept?;
        self.mailbox.know(self.subscription.links().map(|(name, _)| name));
        Ok(answer.unwrap_or_else(|fault| subscriptions::refuse(&fault)))
    }

    async fn name(
        &mut self,
        next: &mut Subscription,
        streams: &BTreeSet<Box<str>>,
    ) -> Result<Result<Reply, Fault>, Refusal> {
        for stream in streams {
            let Ok(name) = ChannelName::parse(stream) else { continue };
            if !next.has(stream) {
                self.charge.grow(STREAM_BYTES + stream.len() as u64)?;
            }
            let standing = self.outside.store.describe(self.now(), &name, Use::Look).await;
            let standing = standing.map_err(Refusal::unreadable)?;
            if let Err(fault) = next.name(stream, seen(&standing)) {
                *next = self.subscription.clone();
                return Ok(Err(fault));
            }
        }
        Ok(Ok(subscriptions::done()))
    }

    fn turn(
        &self,
        next: &mut Subscription,
        speech: Speech,
        token: &str,
        turn: &Turn,
    ) -> Result<Reply, Fault> {
        let is_webhook = matches!(next.configuration.delivery, Delivery::Webhook(_));
        if is_webhook != (speech == Speech::Callback) {
            return Err(Fault::Invalid("the subscription is of the other type".into()));
        }
        let generation = self.keys.generation(&self.subject(), token).ok_or(Fault::TokenInvalid)?;
        if generation != turn.generation {
            return Err(Fault::Fenced);
        }
        let (now, random) = (self.now(), self.random());
        match speech {
            Speech::Callback | Speech::Ack => next.turn(now, turn, random).map(subscriptions::turned),
            Speech::Release => next.release(now, turn, random).map(|()| subscriptions::done()),
        }
    }
}

pub(super) fn seen(standing: &Standing) -> Seen {
    match standing {
        Standing::Live(found) => Seen::Until(found.end()),
        Standing::Absent | Standing::Hidden => Seen::Absent,
    }
}

/// What a receiver says that has taken a webhook.
fn meaning(answer: &WebhookAnswer) -> Sent {
    let said: serde_json::Value = serde_json::from_slice(&answer.content).unwrap_or_default();
    if said.get("done") == Some(&serde_json::Value::Bool(true)) { Sent::Done } else { Sent::Taken }
}
