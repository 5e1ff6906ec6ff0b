//! One subscription at work: a task that takes what is said to it and what is new, keeps what follows, and delivers.
//!
//! Nothing is answered and nothing is sent before it is kept. While the store does not keep it, requests are refused and
//! everything else waits.
//!
//! Over a log that servers share, each has such a task for the subscription, and any of them may take any step: what is kept
//! is changed by one of them at a time, and who finds that another was first decides again (`register.rs`). So that they do
//! not all try at once, the one that changed it last, or through which something new came, is first in line. The others
//! look a moment later whether there is still something to do, since it may have ended.

mod answers;
mod looks;
mod state;

use std::sync::Arc;
use std::time::Duration;

use poll_core::life::Condition;
use poll_core::{ChannelName, Charge, Payload, Publish, Timestamp};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

pub(super) use self::looks::seen;
pub(super) use self::state::{Command, Keeper, Line, STREAM_BYTES, SUBSCRIPTION_BYTES};
use self::state::{MOST_TRIES, Next, Scan, Then, Untaken};
pub(crate) use self::state::{Speech, What};
use super::client::{Webhook, WebhookAnswer};
use super::keys::Keys;
use super::news::{Haste, Mailbox};
use super::outside::Outside;
use super::place::Place;
use super::register::{Found, Saved};
use crate::dialect::durable_streams::subscriptions::{
    self, Attempt, AttemptId, Delivery, Keeping, Loopback, Sent, Subscription, SubscriptionId,
};
use crate::message::refusal::Refusal;

/// The pause after the store did not keep something.
const PAUSE: Duration = Duration::from_secs(1);
/// How much later than the first in line the other servers act.
const GRACE: Duration = Duration::from_secs(1);
/// The longest sleep: a clock that is set is noticed by then.
const LONGEST_SLEEP: Duration = Duration::from_secs(10);
impl Keeper {
    pub(super) fn new(
        (outside, keys, mailbox): (Outside, Keys, Arc<Mailbox>),
        id: SubscriptionId,
        subscription: Subscription,
        place: Place,
        charge: Charge,
        line: Line,
    ) -> Self {
        // Before anything can be asked of it.
        mailbox.know(&subscription);
        let kept = subscription.to_record(id.as_str(), place.keeping());
        let (delivery, scan, trace) = (JoinSet::new(), Scan::Due, None);
        Self { outside, keys, id, subscription, place, kept, line, mailbox, charge, delivery, scan, trace }
    }

    /// Works until it is deleted, or nothing can be said to it any more. Returns its name.
    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<Command>) -> SubscriptionId {
        self.look_at_all_again();
        let mailbox = self.mailbox.clone();
        let mut at = Some(self.in_line(Instant::now()));
        let mut works = true;
        loop {
            let time = async {
                match at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    Some(command) => {
                        if self.hear(command).await == Next::End {
                            break;
                        }
                    }
                    None => break,
                },
                ended = self.delivery.join_next(), if works && !self.delivery.is_empty() => {
                    // One that was aborted says nothing, and the one in its place is still under way.
                    let Some(Ok((attempt, sent))) = ended else { continue };
                    self.hear_of(attempt, sent).await;
                }
                haste = mailbox.arrived(), if works => {
                    if haste == Haste::Later || (self.is_shared() && self.subscription.has_wake()) {
                        let later = Instant::now() + GRACE;
                        at = Some(at.map_or(later, |at| at.min(later)));
                        continue;
                    }
                }
                () = time => {}
            }
            let took = self.advance().await;
            works = !matches!(took, Err(Untaken::Refused(_)));
            at = match took {
                Ok(()) => self.until_due().map(|due| self.in_line(Instant::now() + due)),
                Err(Untaken::Outdated) => Some(Instant::now()),
                Err(Untaken::Gone) => break,
                Err(Untaken::Refused(_)) => Some(Instant::now() + PAUSE),
            };
        }
        self.id
    }

    fn is_shared(&self) -> bool {
        self.place.keeping() == Keeping::Shared
    }

    /// When this server does something that is to be done at a time.
    fn in_line(&self, at: Instant) -> Instant {
        match self.line {
            Line::First => at,
            Line::Later => at + GRACE,
        }
    }

    fn now(&self) -> Timestamp {
        self.outside.environment.now()
    }

    fn until_due(&self) -> Option<Duration> {
        Some(self.subscription.due()?.since(self.now()).min(LONGEST_SLEEP))
    }

    /// Who the tokens of its wakes are for.
    fn subject(&self) -> String {
        format!("{}\n{}", self.id, self.subscription.created.as_micros())
    }

    /// Takes in what is new, and does what is due.
    async fn advance(&mut self) -> Result<(), Untaken> {
        self.refresh().await?;
        let now = self.now();
        match self.look_at_news(Then::Attempt).await? {
            None => {}
            Some(Attempt::Webhook(attempt, wake)) => {
                let token = self.keys.token(&self.subject(), wake.generation);
                let content = subscriptions::delivery(&self.subscription, self.id.as_str(), &wake, &token);
                self.send(now, attempt, content);
            }
            Some(Attempt::Event(attempt, wake, stream)) => {
                let content = subscriptions::wake_event(self.id.as_str(), &wake, now);
                let sent = self.write_event(now, &stream, &content).await;
                self.hear_of(attempt, sent).await;
            }
        }
        Ok(())
    }

    /// Takes over what another server has made of it.
    async fn refresh(&mut self) -> Result<(), Untaken> {
        let now = self.now();
        let value = match self.place.read(&self.outside.store, now).await? {
            Found::Same => return Ok(()),
            Found::Gone => return Err(Untaken::Gone),
            Found::Changed(value) => value.into_bytes(),
        };
        let Some((_, mut subscription)) = Subscription::of_record(&value, Loopback::Allowed) else {
            return Err(Refusal::unready("the subscription cannot be read").into());
        };
        let unknown = subscription.know_ends_of(&self.subscription);
        self.mailbox.put_back(unknown.iter().filter_map(|name| ChannelName::parse(name).ok()), None);
        (self.subscription, self.kept, self.line) = (subscription, value, Line::Later);
        self.settle_streams();
        Ok(())
    }

    /// Keeps a subscription as it is now.
    async fn keep(&mut self, next: Subscription) -> Result<(), Untaken> {
        let record = next.to_record(self.id.as_str(), self.place.keeping());
        if record != self.kept {
            let now = self.now();
            match self.place.save(&self.outside.store, now, &record).await? {
                Saved::Kept => (self.kept, self.line) = (record, Line::First),
                Saved::Outdated => return Err(Untaken::Outdated),
            }
        }
        self.subscription = next;
        Ok(())
    }

    /// Sends a webhook, in place of one that is still under way.
    fn send(&mut self, now: Timestamp, attempt: AttemptId, content: Vec<u8>) {
        let Delivery::Webhook(url) = &self.subscription.configuration.delivery else { return };
        let signature = self.keys.signature(now, &content);
        let time = self.subscription.configuration.lease;
        let (url, content, trace) = (url.clone(), content.into(), self.trace);
        let sending = self.outside.client.send(Webhook { url, signature, content, trace, time });
        let (id, is_first) = (self.id.clone(), !self.subscription.is_failing());
        self.delivery.abort_all();
        self.delivery.spawn(async move {
            let why = match sending.await {
                Ok(answer) if answer.status.is_success() => return (attempt, meaning(&answer)),
                Ok(answer) => format!("it answered {}", answer.status),
                Err(why) => why,
            };
            if is_first {
                tracing::warn!(subscription = %id, "the webhook of subscription {id} fails: {why}");
            }
            (attempt, Sent::Failed)
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
    async fn hear_of(&mut self, attempt: AttemptId, sent: Sent) {
        for _ in 0..MOST_TRIES {
            match self.note(attempt, sent).await {
                Ok(()) | Err(Untaken::Gone) => return,
                Err(Untaken::Outdated) => {}
                Err(Untaken::Refused(_)) => break,
            }
        }
        if !self.is_shared() {
            // As if it had not been answered: it is sent again. Where it is shared, that follows from its record.
            let (now, random) = (self.now(), self.outside.random());
            self.subscription.sent(now, attempt, Sent::Failed, random);
        }
    }

    async fn note(&mut self, attempt: AttemptId, sent: Sent) -> Result<(), Untaken> {
        self.refresh().await?;
        let mut next = self.subscription.clone();
        next.sent(self.now(), attempt, sent, self.outside.random());
        self.keep(next).await
    }
}

/// What a receiver says that has taken a webhook.
fn meaning(answer: &WebhookAnswer) -> Sent {
    let said: serde_json::Value = serde_json::from_slice(&answer.content).unwrap_or_default();
    if said.get("done") == Some(&serde_json::Value::Bool(true)) { Sent::Done } else { Sent::Taken }
}
