//! All subscriptions of a server: which there are, what they are kept as, and who is told of what is new.

mod own;
mod shared;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use poll_core::environment::Environment;
use poll_core::life::ProducerId;
use poll_core::{ChannelName, Charge, Heard, JournalError, Kind, Store, Timestamp};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::own::OwnRecords;
use super::client::WebhookClient;
use super::keeper::{Command, Keeper, Line, STREAM_BYTES, SUBSCRIPTION_BYTES, What, seen};
use super::keys::Keys;
use super::news::{Haste, News};
use super::outside::Outside;
use super::place::Place;
use crate::dialect::durable_streams::subscriptions::{
    self, Configuration, Fault, Loopback, Seen, Subscription, SubscriptionId,
};
use crate::message::head::Head;
use crate::message::refusal::Refusal;
use crate::message::reply::Reply;
use crate::message::trace_context::TraceContext;

/// The most subscriptions.
const MOST_SUBSCRIPTIONS: usize = 1_000;
/// How much may be said to one before it answers.
const MOST_WAITING: usize = 16;
/// The pause before the store is read again.
const PAUSE: Duration = Duration::from_secs(1);

/// All subscriptions. A clone is the same.
#[derive(Clone)]
pub(crate) struct Hub(Arc<Inner>);

struct Inner {
    outside: Outside,
    news: Arc<News>,
    /// `None` until what was kept is read.
    table: Mutex<Option<Table>>,
    orders: mpsc::Sender<Order>,
    /// Taken by the one that [runs](Hub::run).
    inbox: Mutex<Option<mpsc::Receiver<Order>>>,
}

struct Table {
    /// In a log that servers share `None` until there is a subscription.
    keys: Option<Keys>,
    entries: BTreeMap<SubscriptionId, Entry>,
}

#[derive(Clone)]
struct Entry {
    configuration: Arc<Configuration>,
    commands: mpsc::Sender<Command>,
    /// Which one of this name it is, in a log that servers share.
    life: Option<ProducerId>,
}

/// Where it is kept which subscriptions there are.
enum Records {
    Own(OwnRecords),
    /// In the names of their records.
    Shared,
}

/// What changes which subscriptions there are.
struct Order {
    id: SubscriptionId,
    what: Wanted,
    reply: oneshot::Sender<Result<Reply, Refusal>>,
}

enum Wanted {
    /// A subscription, for a client that knows the server by this address.
    Put(Configuration, Arc<str>),
    Deleted,
    /// Whether another server has made it.
    Sought,
}

/// A subscription that begins to work here.
struct Begun {
    id: SubscriptionId,
    subscription: Subscription,
    place: Place,
    charge: Charge,
    line: Line,
}

/// The tasks of all subscriptions; each ends with the name of its own.
type Tasks = JoinSet<SubscriptionId>;

impl Hub {
    /// The subscriptions in a store. They do nothing before they [run](Self::run).
    pub(crate) fn new(store: Store, environment: Environment, client: Arc<dyn WebhookClient>) -> Self {
        let news = Arc::new(News::default());
        let (told, is_shared) = (news.clone(), store.is_shared());
        store.notifier().observe(move |heard| match heard {
            // What is shown of a shared log was announced.
            Heard::Shown(channel) if !is_shared => told.of(channel, Haste::Now),
            Heard::Changed(channel) => told.of(channel, Haste::Now),
            Heard::Announced(channel) => told.of(channel, Haste::Later),
            Heard::Missed => told.missed(),
            Heard::Shown(_) => {}
        });
        let (orders, inbox) = mpsc::channel(MOST_WAITING);
        let (table, inbox) = (Mutex::default(), Mutex::new(Some(inbox)));
        let outside = Outside { store, environment, client };
        Self(Arc::new(Inner { outside, news, table, orders, inbox }))
    }

    pub(crate) fn loopback(&self) -> Loopback {
        self.0.outside.client.loopback()
    }

    /// The trace of a request to publish, if webhooks may have to carry it on.
    pub(crate) fn trace_of(&self, head: Head<'_>) -> Option<TraceContext> {
        if self.0.news.is_wanted() { TraceContext::of(head) } else { None }
    }

    /// A request of this trace is about to publish to a channel.
    pub(crate) fn follow(&self, channel: &ChannelName, trace: Option<TraceContext>) {
        self.0.news.follow(channel, trace);
    }

    /// The keys that webhooks are signed with.
    ///
    /// # Errors
    /// 503 until they are read, or while they cannot be.
    pub(crate) async fn keys(&self) -> Result<Reply, Refusal> {
        let known = self.0.with_table(|table| table.keys.clone())?;
        let keys = match known {
            None if self.0.outside.store.is_shared() => self.0.known_keys().await?,
            known => known,
        };
        Ok(subscriptions::key_set(&keys.map_or_else(Vec::new, |keys| keys.public())))
    }

    /// What a subscription is for; `None` if there is none.
    ///
    /// # Errors
    /// 503 until subscriptions are read, or while a log that servers share cannot be asked.
    pub(crate) async fn configuration(
        &self,
        id: &SubscriptionId,
    ) -> Result<Option<Arc<Configuration>>, Refusal> {
        let known = self.0.entry(id)?;
        if !self.0.outside.store.is_shared() {
            return Ok(known.map(|entry| entry.configuration));
        }
        if let Some(entry) = known
            && self.0.tell(id, What::Stand).await?.status().is_success()
        {
            return Ok(Some(entry.configuration));
        }
        self.order(id.clone(), Wanted::Sought).await?;
        Ok(self.0.entry(id)?.map(|entry| entry.configuration))
    }

    /// Makes a subscription, or confirms that there is one like it.
    ///
    /// # Errors
    /// If the store does not keep it, or there is no memory for it.
    pub(crate) async fn put(
        &self,
        id: SubscriptionId,
        configuration: Configuration,
        base: String,
    ) -> Result<Reply, Refusal> {
        self.order(id, Wanted::Put(configuration, base.into())).await
    }

    /// Deletes a subscription.
    ///
    /// # Errors
    /// If the store does not.
    pub(crate) async fn delete(&self, id: SubscriptionId) -> Result<Reply, Refusal> {
        self.order(id, Wanted::Deleted).await
    }

    async fn order(&self, id: SubscriptionId, what: Wanted) -> Result<Reply, Refusal> {
        self.0.with_table(|_| ())?;
        let (reply, answer) = oneshot::channel();
        self.0.orders.send(Order { id, what, reply }).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    /// Says something to a subscription.
    ///
    /// # Errors
    /// If the store does not keep what follows from it.
    pub(crate) async fn tell(&self, id: &SubscriptionId, what: What) -> Result<Reply, Refusal> {
        if self.0.outside.store.is_shared() && self.0.entry(id)?.is_none() {
            self.order(id.clone(), Wanted::Sought).await?;
        }
        self.0.tell(id, what).await
    }

    /// Reads what was kept, and keeps all subscriptions at work. Never ends. Call it once, on a tokio runtime.
    pub(crate) async fn run(self) {
        let Some(inbox) = lock(&self.0.inbox).take() else { return };
        let news = self.0.news.clone();
        let sort = async {
            loop {
                news.arrived().await;
                news.sort();
            }
        };
        tokio::join!(sort, self.0.work(inbox));
    }
}

impl Inner {
    async fn work(self: &Arc<Self>, mut orders: mpsc::Receiver<Order>) {
        let mut tasks = Tasks::new();
        let mut records = loop {
            match self.load(&mut tasks).await {
                Ok(records) => break records,
                Err(refusal) => {
                    tracing::warn!("subscriptions cannot be read: {}", refusal.detail());
                    tokio::time::sleep(PAUSE).await;
                }
            }
        };
        let mut looks_at = Instant::now();
        loop {
            let unknown = async {
                tokio::time::sleep_until(looks_at).await;
                self.news.unknown().await
            };
            tokio::select! {
                biased;
                order = orders.recv() => {
                    let Some(Order { id, what, reply }) = order else { return };
                    let answer = self.carry_out(id, what, &mut records, &mut tasks).await;
                    // The client may be gone.
                    let _ = reply.send(answer);
                }
                Some(ended) = tasks.join_next() => {
                    if let Ok(id) = ended {
                        self.ended(&id);
                    }
                }
                unknown = unknown => {
                    if let Records::Shared = records {
                        self.look_for(unknown, &mut tasks).await;
                    }
                    looks_at = Instant::now() + PAUSE;
                }
            }
        }
    }

    async fn load(self: &Arc<Self>, tasks: &mut Tasks) -> Result<Records, Refusal> {
        if self.outside.store.is_shared() {
            return self.load_shared(tasks).await.map(|()| Records::Shared);
        }
        self.load_own(tasks).await.map(Records::Own)
    }

    async fn carry_out(
        self: &Arc<Self>,
        id: SubscriptionId,
        what: Wanted,
        records: &mut Records,
        tasks: &mut Tasks,
    ) -> Result<Reply, Refusal> {
        match (what, records) {
            (Wanted::Put(configuration, base), Records::Own(records)) => {
                self.put_own(id, configuration, base, records, tasks).await
            }
            (Wanted::Put(configuration, base), Records::Shared) => {
                self.put_shared(id, configuration, base, tasks).await
            }
            (Wanted::Deleted, Records::Own(records)) => self.delete_own(&id, records).await,
            (Wanted::Deleted, Records::Shared) => self.delete_shared(&id, tasks).await,
            (Wanted::Sought, Records::Own(_)) => Ok(subscriptions::done()),
            (Wanted::Sought, Records::Shared) => {
                self.seek(&id, tasks).await?;
                Ok(subscriptions::done())
            }
        }
    }

    fn with_table<T>(&self, look: impl FnOnce(&mut Table) -> T) -> Result<T, Refusal> {
        lock(&self.table).as_mut().map(look).ok_or_else(unread)
    }

    fn entry(&self, id: &SubscriptionId) -> Result<Option<Entry>, Refusal> {
        self.with_table(|table| table.entries.get(id).cloned())
    }

    async fn tell(&self, id: &SubscriptionId, what: What) -> Result<Reply, Refusal> {
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
    fn ended(&self, id: &SubscriptionId) {
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

    fn start(&self, keys: Keys, begun: Begun, tasks: &mut Tasks) {
        let Begun { id, subscription, place, charge, line } = begun;
        let (commands, received) = mpsc::channel(MOST_WAITING);
        let configuration = subscription.configuration.clone();
        let mailbox = self.news.add(id.clone(), configuration.clone());
        let life = match &place {
            Place::Own(_) => None,
            Place::Shared(register) => Some(register.life().clone()),
        };
        let outside = (self.outside.clone(), keys, mailbox);
        let keeper = Keeper::new(outside, id.clone(), subscription, place, charge, line);
        let entry = Entry { configuration, commands, life };
        // It was read before anything was started.
        let _ = self.with_table(|table| table.entries.insert(id, entry));
        tasks.spawn(keeper.run(received));
    }

    fn charge(&self, configuration: &Configuration) -> Result<Charge, Refusal> {
        let streams: u64 = configuration.streams.iter().map(|name| name.len() as u64 + STREAM_BYTES).sum();
        Ok(self.outside.store.memory().charge(Kind::Names, SUBSCRIPTION_BYTES + streams)?)
    }

    /// A subscription that was kept is there, whether there is memory for it or not.
    fn charge_kept(&self) -> Charge {
        self.outside.store.memory().charge_unbounded(Kind::Names, SUBSCRIPTION_BYTES)
    }

    /// A new subscription, with the streams that it names.
    async fn make(&self, configuration: Configuration, base: Arc<str>) -> Result<Subscription, Refusal> {
        let now = self.outside.environment.now();
        let mut subscription = Subscription::new(configuration, base, now);
        for name in subscription.configuration.clone().streams.iter() {
            let seen = self.look(now, name).await.map_err(Refusal::unreadable)?;
            // There are no more than a configuration may have.
            let _ = subscription.name(name, seen);
        }
        Ok(subscription)
    }

    async fn look(&self, now: Timestamp, name: &str) -> Result<Seen, JournalError> {
        let Ok(name) = ChannelName::parse(name) else { return Ok(Seen::Absent) };
        Ok(seen(&self.outside.store.describe_latest(now, &name).await?))
    }

    fn random(&self) -> u128 {
        let random = || u128::from(self.outside.environment.random());
        random() << 64 | random()
    }

    fn new_secret(&self) -> [u8; 32] {
        let mut secret = [0; 32];
        for part in secret.chunks_exact_mut(8) {
            part.copy_from_slice(&self.outside.environment.random().to_be_bytes());
        }
        secret
    }
}

fn text_of(secret: &[u8; 32]) -> String {
    secret.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn secret_of(text: &str) -> Option<[u8; 32]> {
    let mut secret = [0; 32];
    for (byte, digits) in secret.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    (text.len() == 64).then_some(secret)
}

fn unread() -> Refusal {
    Refusal::unready("the subscriptions are not read yet")
}

fn stopped() -> Refusal {
    Refusal::unready("the subscriptions have stopped")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
