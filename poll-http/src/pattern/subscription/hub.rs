//! All subscriptions of a server: which there are, what they are kept as, and who is told of what is new.

mod own;
mod shared;
mod state;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use poll_core::environment::Environment;
use poll_core::{ChannelName, Heard, Store};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use self::own::OwnRecords;
use self::state::{Entry, Inner, MOST_WAITING, Order, Tasks, Wanted, lock, stopped};
use super::client::WebhookClient;
use super::keeper::What;
use super::news::{Haste, News};
use super::outside::Outside;
use crate::dialect::durable_streams::subscriptions::{self, Configuration, Loopback, SubscriptionId};
use crate::message::head::Head;
use crate::message::refusal::Refusal;
use crate::message::reply::Reply;
use crate::message::trace_context::TraceContext;

/// The pause before the store is read again.
const PAUSE: Duration = Duration::from_secs(1);

/// All subscriptions. A clone is the same.
#[derive(Clone)]
pub(crate) struct Hub(Arc<Inner>);

/// Where it is kept which subscriptions there are.
enum Records {
    Own(OwnRecords),
    /// In the names of their records.
    Shared,
}

/// What a subscription may tell of.
pub(crate) struct Reach {
    pub(crate) configuration: Arc<Configuration>,
    /// The streams that it names now: more than it was made with, or fewer.
    pub(crate) named: Vec<Box<str>>,
}

impl Reach {
    fn of(entry: &Entry) -> Self {
        Self { configuration: entry.configuration.clone(), named: entry.mailbox.named() }
    }
}

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

    /// What a subscription may tell of; `None` if there is none.
    ///
    /// # Errors
    /// 503 until subscriptions are read, or while a log that servers share cannot be asked.
    pub(crate) async fn reach(&self, id: &SubscriptionId) -> Result<Option<Reach>, Refusal> {
        let known = self.0.entry(id)?;
        if !self.0.outside.store.is_shared() {
            return Ok(known.as_ref().map(Reach::of));
        }
        if let Some(entry) = known
            && self.0.tell(id, What::Stand).await?.status().is_success()
        {
            return Ok(Some(Reach::of(&entry)));
        }
        self.order(id.clone(), Wanted::Sought).await?;
        Ok(self.0.entry(id)?.as_ref().map(Reach::of))
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
}
