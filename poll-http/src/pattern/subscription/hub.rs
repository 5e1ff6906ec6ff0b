//! All subscriptions of a server: which there are, what they are kept as, and who is told of what is new.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::StatusCode;
use poll_core::environment::Environment;
use poll_core::life::Use;
use poll_core::{ChannelName, JournalError, Kind, Store, Timestamp};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::cell::Cell;
use super::client::WebhookClient;
use super::keeper::{Command, Keeper, STREAM_BYTES, SUBSCRIPTION_BYTES, Scan, What, seen};
use super::keys::Keys;
use super::news::News;
use super::outside::Outside;
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

/// The names of what is kept.
const INDEX: &str = "__ds/index";
const SECRET: &str = "__ds/secret";

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
    keys: Keys,
    entries: BTreeMap<SubscriptionId, Entry>,
}

#[derive(Clone)]
struct Entry {
    configuration: Arc<Configuration>,
    commands: mpsc::Sender<Command>,
}

/// Where it is kept which subscriptions there are.
struct Records {
    /// Their names.
    index: Cell,
    /// The secret that keys are made from, until it is kept: before there is a subscription, nothing is written.
    new_secret: Option<(Cell, String)>,
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
}

impl Hub {
    /// The subscriptions in a store. They do nothing before they [run](Self::run).
    pub(crate) fn new(store: Store, environment: Environment, client: Arc<dyn WebhookClient>) -> Self {
        let news = Arc::new(News::default());
        let told = news.clone();
        store.notifier().observe(move |channel| told.of(channel));
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
    /// 503 until they are read.
    pub(crate) fn keys(&self) -> Result<Reply, Refusal> {
        Ok(subscriptions::key_set(&self.0.entered().keys()?.public()))
    }

    /// What a subscription is for; `None` if there is none.
    ///
    /// # Errors
    /// 503 until subscriptions are read.
    pub(crate) fn configuration(&self, id: &SubscriptionId) -> Result<Option<Arc<Configuration>>, Refusal> {
        Ok(self.0.entered().entry(id)?.map(|entry| entry.configuration))
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
        self.0.entered().keys()?;
        let (reply, answer) = oneshot::channel();
        self.0.orders.send(Order { id, what, reply }).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    /// Says something to a subscription.
    ///
    /// # Errors
    /// If the store does not keep what follows from it.
    pub(crate) async fn tell(&self, id: &SubscriptionId, what: What) -> Result<Reply, Refusal> {
        self.0.tell(id, what).await
    }

    /// Reads what was kept, and keeps all subscriptions at work. Never ends. Call it once, on a tokio runtime.
    pub(crate) async fn run(self) {
        let Some(mut orders) = lock(&self.0.inbox).take() else { return };
        let mut tasks = JoinSet::new();
        let news = self.0.news.clone();
        tasks.spawn(async move {
            loop {
                news.arrived().await;
                news.sort();
            }
        });
        let mut records = loop {
            match self.0.load(&mut tasks).await {
                Ok(records) => break records,
                Err(refusal) => {
                    tracing::warn!("subscriptions cannot be read: {}", refusal.detail());
                    tokio::time::sleep(PAUSE).await;
                }
            }
        };
        loop {
            tokio::select! {
                biased;
                order = orders.recv() => {
                    let Some(Order { id, what, reply }) = order else { return };
                    let answer = match what {
                        Wanted::Put(configuration, base) => {
                            self.0.put(id, configuration, base, &mut records, &mut tasks).await
                        }
                        Wanted::Deleted => self.0.delete(&id, &mut records.index).await,
                    };
                    // The client may be gone.
                    let _ = reply.send(answer);
                }
                Some(_ended) = tasks.join_next() => {}
            }
        }
    }
}

/// What is read from the table, if there is one.
struct Entered<'a>(MutexGuard<'a, Option<Table>>);

impl Entered<'_> {
    fn keys(&self) -> Result<Keys, Refusal> {
        self.0.as_ref().map(|table| table.keys.clone()).ok_or_else(unread)
    }

    fn entry(&self, id: &SubscriptionId) -> Result<Option<Entry>, Refusal> {
        self.0.as_ref().map(|table| table.entries.get(id).cloned()).ok_or_else(unread)
    }
}

impl Inner {
    fn entered(&self) -> Entered<'_> {
        Entered(lock(&self.table))
    }

    fn entries(&self, change: impl FnOnce(&mut BTreeMap<SubscriptionId, Entry>)) -> Vec<String> {
        let mut table = lock(&self.table);
        let Some(table) = table.as_mut() else { return Vec::new() };
        change(&mut table.entries);
        table.entries.keys().map(|id| id.as_str().to_owned()).collect()
    }

    async fn tell(&self, id: &SubscriptionId, what: What) -> Result<Reply, Refusal> {
        let entry = self.entered().entry(id)?;
        let Some(entry) = entry else { return Ok(subscriptions::refuse(&Fault::NotFound)) };
        self.news.sort();
        let (reply, answer) = oneshot::channel();
        entry.commands.send(Command { what, reply }).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    /// Reads the secret and all subscriptions; makes a secret if there is none. Returns where they are kept.
    async fn load(self: &Arc<Self>, tasks: &mut JoinSet<()>) -> Result<Records, Refusal> {
        let (store, now) = (&self.outside.store, self.outside.environment.now());
        let (cell, kept) = Cell::load(store, now, SECRET).await.map_err(Refusal::unreadable)?;
        let (secret, new_secret) = match kept.as_deref().and_then(secret_of) {
            Some(secret) => (secret, None),
            None => {
                let secret = self.new_secret();
                let text: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
                (secret, Some((cell, text)))
            }
        };
        let keys = Keys::new(self.outside.client.signer(&secret));
        let (index, kept) = Cell::load(store, now, INDEX).await.map_err(Refusal::unreadable)?;
        let ids: Vec<String> = kept.and_then(|kept| serde_json::from_str(&kept).ok()).unwrap_or_default();
        let mut found = Vec::new();
        for id in ids.iter().filter_map(|id| SubscriptionId::parse(id)) {
            let (cell, kept) = self.load_one(now, &id).await.map_err(Refusal::unreadable)?;
            // Of one whose creation or deletion was cut off there is no more than its name.
            let Some(kept) = kept else { continue };
            match Subscription::of_record(kept.as_bytes(), Loopback::Allowed) {
                Some((_, subscription)) => found.push((id, subscription, cell)),
                None => tracing::error!(subscription = %id, "subscription {id} cannot be read"),
            }
        }
        *lock(&self.table) = Some(Table { keys: keys.clone(), entries: BTreeMap::new() });
        for (id, subscription, cell) in found {
            let bytes = SUBSCRIPTION_BYTES;
            let charge = store.memory().charge_unbounded(Kind::Names, bytes);
            let mailbox = self.news.add(id.clone(), subscription.configuration.clone());
            let kept = subscription.to_record(id.as_str());
            let keys = keys.clone();
            let keeper = Keeper {
                outside: self.outside.clone(),
                keys,
                id,
                subscription,
                cell,
                kept,
                mailbox,
                charge,
                delivery: JoinSet::new(),
                scan: Scan::Due,
                trace: None,
            };
            self.start(keeper, tasks);
        }
        Ok(Records { index, new_secret })
    }

    async fn load_one(
        &self,
        now: Timestamp,
        id: &SubscriptionId,
    ) -> Result<(Cell, Option<String>), JournalError> {
        Cell::load(&self.outside.store, now, &format!("__ds/subscriptions/{id}")).await
    }

    fn new_secret(&self) -> [u8; 32] {
        let mut secret = [0; 32];
        for part in secret.chunks_exact_mut(8) {
            part.copy_from_slice(&self.outside.environment.random().to_be_bytes());
        }
        secret
    }

    fn start(&self, keeper: Keeper, tasks: &mut JoinSet<()>) {
        let (commands, received) = mpsc::channel(MOST_WAITING);
        let configuration = keeper.subscription.configuration.clone();
        let id = keeper.id.clone();
        self.entries(|entries| drop(entries.insert(id, Entry { configuration, commands })));
        tasks.spawn(keeper.run(received));
    }

    async fn put(
        self: &Arc<Self>,
        id: SubscriptionId,
        configuration: Configuration,
        base: Arc<str>,
        records: &mut Records,
        tasks: &mut JoinSet<()>,
    ) -> Result<Reply, Refusal> {
        let (known, keys) = {
            let table = self.entered();
            (table.entry(&id)?, table.keys()?)
        };
        if let Some(known) = known {
            if *known.configuration != configuration {
                return Ok(subscriptions::refuse(&Fault::Exists));
            }
            return self.tell(&id, What::Show(StatusCode::OK)).await;
        }
        let mut names = self.entries(|_| {});
        if names.len() >= MOST_SUBSCRIPTIONS {
            return Ok(subscriptions::refuse(&Fault::TooMany("there are 1000 subscriptions")));
        }
        let streams: u64 = configuration.streams.iter().map(|name| name.len() as u64 + STREAM_BYTES).sum();
        let charge = self.outside.store.memory().charge(Kind::Names, SUBSCRIPTION_BYTES + streams)?;
        // First, so that nothing escapes it that is published from here on.
        let mailbox = self.news.add(id.clone(), Arc::new(configuration.clone()));
        let made = async {
            let now = self.outside.environment.now();
            let mut subscription = Subscription::new(configuration, base, now);
            for name in subscription.configuration.clone().streams.iter() {
                let seen = self.look(now, name).await.map_err(Refusal::unreadable)?;
                // There are no more than a configuration may have.
                let _ = subscription.name(name, seen);
            }
            names.push(id.as_str().to_owned());
            if let Some((cell, secret)) = &mut records.new_secret {
                cell.save(&self.outside.store, now, secret.as_bytes()).await?;
                records.new_secret = None;
            }
            let (mut cell, _) = self.load_one(now, &id).await.map_err(Refusal::unreadable)?;
            records
                .index
                .save(&self.outside.store, now, &serde_json::to_vec(&names).unwrap_or_default())
                .await?;
            let kept = subscription.to_record(id.as_str());
            cell.save(&self.outside.store, now, &kept).await?;
            Ok((subscription, cell, kept))
        };
        let (subscription, cell, kept) = match made.await {
            Ok(made) => made,
            Err(refusal) => {
                self.news.remove(&id);
                return Err(refusal);
            }
        };
        let keeper = Keeper {
            outside: self.outside.clone(),
            keys,
            id: id.clone(),
            subscription,
            cell,
            kept,
            mailbox,
            charge,
            delivery: JoinSet::new(),
            scan: Scan::Due,
            trace: None,
        };
        self.start(keeper, tasks);
        self.tell(&id, What::Show(StatusCode::CREATED)).await
    }

    async fn look(&self, now: Timestamp, name: &str) -> Result<Seen, JournalError> {
        let Ok(name) = ChannelName::parse(name) else { return Ok(Seen::Absent) };
        Ok(seen(&self.outside.store.describe(now, &name, Use::Look).await?))
    }

    async fn delete(&self, id: &SubscriptionId, index: &mut Cell) -> Result<Reply, Refusal> {
        if self.entered().entry(id)?.is_none() {
            return Ok(subscriptions::done());
        }
        let ended = self.tell(id, What::End).await?;
        let names = self.entries(|entries| drop(entries.remove(id)));
        self.news.remove(id);
        // A name that stays there means nothing.
        let _ = index
            .save(
                &self.outside.store,
                self.outside.environment.now(),
                &serde_json::to_vec(&names).unwrap_or_default(),
            )
            .await;
        Ok(ended)
    }
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
