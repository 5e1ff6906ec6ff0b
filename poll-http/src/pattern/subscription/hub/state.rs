//! All subscriptions of a server in memory, and what every step about them needs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::StatusCode;
use poll_core::life::ProducerId;
use poll_core::{ChannelName, Charge, JournalError, Kind, Timestamp};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::dialect::durable_streams::subscriptions::{
    self, Configuration, Fault, Seen, Subscription, SubscriptionId,
};
use crate::message::refusal::Refusal;
use crate::message::reply::Reply;
use crate::pattern::subscription::keeper::{
    Command, Keeper, Line, STREAM_BYTES, SUBSCRIPTION_BYTES, What, seen,
};
use crate::pattern::subscription::keys::Keys;
use crate::pattern::subscription::news::{Mailbox, News};
use crate::pattern::subscription::outside::Outside;
use crate::pattern::subscription::place::Place;

/// Where the secret is kept that webhooks are signed with.
pub(super) const SECRET: &str = "__ds/secret";
/// The most subscriptions.
pub(super) const MOST_SUBSCRIPTIONS: usize = 1_000;
/// How much may be said to one before it answers.
pub(super) const MOST_WAITING: usize = 16;

/// All subscriptions, and how what happens to them reaches them.
pub(super) struct Inner {
    pub(super) outside: Outside,
    pub(super) news: Arc<News>,
    /// `None` until what was kept is read.
    pub(super) table: Mutex<Option<Table>>,
    pub(super) orders: mpsc::Sender<Order>,
    /// Taken by the task that runs them.
    pub(super) inbox: Mutex<Option<mpsc::Receiver<Order>>>,
}

#[derive(Default)]
pub(super) struct Table {
    /// In a log that servers share `None` until there is a subscription.
    pub(super) keys: Option<Keys>,
    pub(super) entries: BTreeMap<SubscriptionId, Entry>,
    /// Those of which what is kept cannot be read. In a log that servers share none: each look at it decides.
    pub(super) damaged: BTreeSet<SubscriptionId>,
}

#[derive(Clone)]
pub(super) struct Entry {
    pub(super) configuration: Arc<Configuration>,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) commands: mpsc::Sender<Command>,
    /// Which one of this name it is, in a log that servers share.
    pub(super) life: Option<ProducerId>,
}

/// What changes which subscriptions there are.
pub(super) struct Order {
    pub(super) id: SubscriptionId,
    pub(super) what: Wanted,
    pub(super) reply: oneshot::Sender<Result<Reply, Refusal>>,
}

pub(super) enum Wanted {
    /// A subscription, for a client that knows the server by this address.
    Put(Configuration, Arc<str>),
    Deleted,
    /// Whether another server has made it.
    Sought,
}

/// A subscription that begins to work here.
pub(super) struct Begun {
    pub(super) id: SubscriptionId,
    pub(super) subscription: Subscription,
    pub(super) place: Place,
    pub(super) charge: Charge,
    pub(super) line: Line,
}

/// The tasks of all subscriptions; each ends with the name of its own.
pub(super) type Tasks = JoinSet<SubscriptionId>;

impl Inner {
    pub(super) fn with_table<T>(&self, look: impl FnOnce(&mut Table) -> T) -> Result<T, Refusal> {
        lock(&self.table).as_mut().map(look).ok_or_else(unread)
    }

    /// # Errors
    /// 503 until subscriptions are read, 500 if this one cannot be.
    pub(super) fn entry(&self, id: &SubscriptionId) -> Result<Option<Entry>, Refusal> {
        self.with_table(|table| {
            if table.damaged.contains(id) {
                return Err(damaged("the subscription cannot be read"));
            }
            Ok(table.entries.get(id).cloned())
        })?
    }

    pub(super) async fn tell(&self, id: &SubscriptionId, what: What) -> Result<Reply, Refusal> {
        let not_found = || Ok(subscriptions::refuse(&Fault::NotFound));
        let Some(entry) = self.entry(id)? else { return not_found() };
        self.news.sort();
        let (reply, answer) = oneshot::channel();
        if entry.commands.send(Command { what, reply }).await.is_err() {
            // It found that it was deleted elsewhere.
            return if entry.life.is_some() { not_found() } else { Err(stopped()) };
        }
        match answer.await {
            Ok(answer) => answer,
            Err(_) if entry.life.is_some() => not_found(),
            Err(_) => Err(stopped()),
        }
    }

    /// The task of a subscription has ended.
    pub(super) fn ended(&self, id: &SubscriptionId) {
        let is_over = |table: &mut Table| {
            let is_over = table.entries.get(id).is_some_and(|entry| entry.commands.is_closed());
            if is_over {
                table.entries.remove(id);
            }
            is_over
        };
        if self.with_table(is_over).unwrap_or(false) {
            self.news.remove(id);
        }
    }

    pub(super) fn start(&self, keys: Keys, begun: Begun, tasks: &mut Tasks) {
        let Begun { id, subscription, place, charge, line } = begun;
        let (commands, received) = mpsc::channel(MOST_WAITING);
        let configuration = subscription.configuration.clone();
        let mailbox = self.news.add(id.clone(), configuration.clone());
        let life = match &place {
            Place::Own(_) => None,
            Place::Shared(register) => Some(register.life().clone()),
        };
        let outside = (self.outside.clone(), keys, mailbox.clone());
        let keeper = Keeper::new(outside, id.clone(), subscription, place, charge, line);
        let entry = Entry { configuration, mailbox, commands, life };
        // It was read before anything was started.
        let _ = self.with_table(|table| table.entries.insert(id, entry));
        tasks.spawn(keeper.run(received));
    }

    pub(super) fn charge(&self, configuration: &Configuration) -> Result<Charge, Refusal> {
        let streams: u64 = configuration.streams.iter().map(|name| name.len() as u64 + STREAM_BYTES).sum();
        Ok(self.outside.store.memory().charge(Kind::Names, SUBSCRIPTION_BYTES + streams)?)
    }

    /// A subscription that was kept is there, whether there is memory for it or not.
    pub(super) fn charge_kept(&self) -> Charge {
        self.outside.store.memory().charge_unbounded(Kind::Names, SUBSCRIPTION_BYTES)
    }

    /// A new subscription, with the streams that it names.
    pub(super) async fn make(
        &self,
        configuration: Configuration,
        base: Arc<str>,
    ) -> Result<Subscription, Refusal> {
        let now = self.outside.environment.now();
        let mut subscription = Subscription::new(configuration, base, now);
        for name in subscription.configuration.clone().streams.iter() {
            let seen = self.look(now, name).await.map_err(Refusal::unreadable)?;
            // There are no more than a configuration may have.
            let _ = subscription.name(name, seen);
        }
        Ok(subscription)
    }

    pub(super) async fn look(&self, now: Timestamp, name: &str) -> Result<Seen, JournalError> {
        let Ok(name) = ChannelName::parse(name) else { return Ok(Seen::Absent) };
        Ok(seen(&self.outside.store.describe_latest(now, &name).await?))
    }

    pub(super) fn new_secret(&self) -> [u8; 32] {
        let mut secret = [0; 32];
        for part in secret.chunks_exact_mut(8) {
            part.copy_from_slice(&self.outside.environment.random().to_be_bytes());
        }
        secret
    }
}

pub(super) fn text_of(secret: &[u8; 32]) -> String {
    secret.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn secret_of(text: &str) -> Option<[u8; 32]> {
    let mut secret = [0; 32];
    for (byte, digits) in secret.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    (text.len() == 64).then_some(secret)
}

pub(super) fn damaged(why: &'static str) -> Refusal {
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, why)
}

pub(super) fn unread() -> Refusal {
    Refusal::unready("the subscriptions are not read yet")
}

pub(super) fn stopped() -> Refusal {
    Refusal::unready("the subscriptions have stopped")
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
