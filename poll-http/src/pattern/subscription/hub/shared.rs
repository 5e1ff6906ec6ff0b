//! Subscriptions in a log that several servers share: a secret and a register for each subscription, no index.
//!
//! Any server may make and delete them. The others hear of it, or find it when they are asked for a name that they do not
//! know.

use std::sync::Arc;

use http::StatusCode;
use poll_core::{ChannelName, JournalError, Selection};

use super::state::{Begun, Entry, Inner, MOST_SUBSCRIPTIONS, SECRET, Table, Tasks, lock, secret_of, text_of};
use crate::dialect::durable_streams::subscriptions::{
    self, Configuration, Fault, Keeping, Loopback, Subscription, SubscriptionId,
};
use crate::message::refusal::Refusal;
use crate::message::reply::Reply;
use crate::pattern::subscription::keeper::{Line, What};
use crate::pattern::subscription::keys::Keys;
use crate::pattern::subscription::news::{Others, Unknown};
use crate::pattern::subscription::place::Place;
use crate::pattern::subscription::register::{RECORDS, Register, id_of, record_of};

/// How many records are listed at a time.
const PAGE: usize = 256;
/// How often another server may be first before a request is refused.
const MOST_TRIES: usize = 32;

impl Inner {
    /// Reads all subscriptions, and the secret if there is one.
    pub(super) async fn load_shared(self: &Arc<Self>, tasks: &mut Tasks) -> Result<(), Refusal> {
        let ids = self.list().await?;
        *lock(&self.table) = Some(Table::default());
        self.known_keys().await?;
        for id in ids {
            self.find(&id, Line::First, tasks).await?;
        }
        Ok(())
    }

    /// Looks for subscriptions that other servers made.
    pub(super) async fn look_for(self: &Arc<Self>, unknown: Unknown, tasks: &mut Tasks) {
        if self.meet(&unknown, tasks).await.is_err() {
            self.news.look_for(unknown);
        }
    }

    async fn meet(self: &Arc<Self>, unknown: &Unknown, tasks: &mut Tasks) -> Result<(), Refusal> {
        for id in &unknown.ids {
            self.find(id, Line::Later, tasks).await?;
        }
        if unknown.others == Others::Maybe {
            self.known_keys().await?;
            for id in self.list().await? {
                if self.entry(&id)?.is_none() {
                    self.find(&id, Line::Later, tasks).await?;
                }
            }
        }
        Ok(())
    }

    async fn list(&self) -> Result<Vec<SubscriptionId>, Refusal> {
        let prefix = ChannelName::parse(RECORDS)?;
        let (mut ids, mut after) = (Vec::new(), None);
        loop {
            let now = self.outside.environment.now();
            let selection = Selection { prefix: Some(prefix.clone()), after, limit: PAGE };
            let page = self.outside.store.list(now, selection).await.map_err(Refusal::unreadable)?;
            ids.extend(page.channels.iter().filter_map(|listed| id_of(listed.channel.as_str())));
            after = page.next;
            if after.is_none() {
                return Ok(ids);
            }
        }
    }

    /// Sees to it that the subscription of this name works here, if there is one. Says what it is for.
    async fn find(
        self: &Arc<Self>,
        id: &SubscriptionId,
        line: Line,
        tasks: &mut Tasks,
    ) -> Result<Option<Arc<Configuration>>, Refusal> {
        let (store, now) = (&self.outside.store, self.outside.environment.now());
        let record = record_of(id).map_err(Refusal::unreadable)?;
        let found = match Register::find(store, now, record).await {
            Ok(found) => found,
            Err(error @ JournalError::Damaged(_)) => {
                tracing::error!(subscription = %id, "subscription {id} cannot be read: {error}");
                None
            }
            Err(error) => return Err(Refusal::unreadable(error)),
        };
        let Some((register, value)) = found else {
            self.forget(id)?;
            return Ok(None);
        };
        let Some((_, subscription)) = Subscription::of_record(value.as_bytes(), Loopback::Allowed) else {
            tracing::error!(subscription = %id, "subscription {id} cannot be read");
            self.forget(id)?;
            return Ok(None);
        };
        let configuration = subscription.configuration.clone();
        let works = |entry: Entry| {
            !entry.commands.is_closed() && entry.life.is_some_and(|life| register.is_same(&life))
        };
        if !self.entry(id)?.is_some_and(works) {
            let (id, keys, charge) = (id.clone(), self.keys().await?, self.charge_kept());
            let place = Place::Shared(register);
            self.start(keys, Begun { id, subscription, place, charge, line }, tasks);
        }
        Ok(Some(configuration))
    }

    /// Looks whether another server has made it.
    pub(super) async fn seek(
        self: &Arc<Self>,
        id: &SubscriptionId,
        tasks: &mut Tasks,
    ) -> Result<(), Refusal> {
        self.find(id, Line::Later, tasks).await.map(drop)
    }

    fn forget(&self, id: &SubscriptionId) -> Result<(), Refusal> {
        self.with_table(|table| drop(table.entries.remove(id)))?;
        self.news.remove(id);
        Ok(())
    }

    pub(super) async fn put_shared(
        self: &Arc<Self>,
        id: SubscriptionId,
        configuration: Configuration,
        base: Arc<str>,
        tasks: &mut Tasks,
    ) -> Result<Reply, Refusal> {
        for _ in 0..MOST_TRIES {
            if let Some(known) = self.find(&id, Line::Later, tasks).await? {
                if *known != configuration {
                    return Ok(subscriptions::refuse(&Fault::Exists));
                }
                return self.tell(&id, What::Show(StatusCode::OK)).await;
            }
            if self.with_table(|table| table.entries.len())? >= MOST_SUBSCRIPTIONS {
                return Ok(subscriptions::refuse(&Fault::TooMany("there are 1000 subscriptions")));
            }
            let charge = self.charge(&configuration)?;
            let keys = self.keys().await?;
            let subscription = self.make(configuration.clone(), base.clone()).await?;
            let (store, now) = (&self.outside.store, self.outside.environment.now());
            let record = record_of(&id).map_err(Refusal::unreadable)?;
            let value = subscription.to_record(id.as_str(), Keeping::Shared);
            let Some(register) = Register::create(store, now, record, &value, self.outside.random()).await?
            else {
                continue;
            };
            let (place, line) = (Place::Shared(register), Line::First);
            self.start(keys, Begun { id: id.clone(), subscription, place, charge, line }, tasks);
            return self.tell(&id, What::Show(StatusCode::CREATED)).await;
        }
        Err(Refusal::unready("the subscription is being changed by other servers"))
    }

    pub(super) async fn delete_shared(
        self: &Arc<Self>,
        id: &SubscriptionId,
        tasks: &mut Tasks,
    ) -> Result<Reply, Refusal> {
        if self.find(id, Line::Later, tasks).await?.is_none() {
            return Ok(subscriptions::done());
        }
        let ended = self.tell(id, What::End).await?;
        self.forget(id)?;
        Ok(ended)
    }

    /// The keys of the secret; `None` if there is none yet.
    pub(super) async fn known_keys(&self) -> Result<Option<Keys>, Refusal> {
        let (store, now) = (&self.outside.store, self.outside.environment.now());
        let found = Register::find(store, now, ChannelName::parse(SECRET)?).await;
        let secret = match found.map_err(Refusal::unreadable)? {
            Some((_, text)) => secret_of(&text).ok_or_else(unusable)?,
            None => return Ok(None),
        };
        self.use_secret(&secret).map(Some)
    }

    /// The same, with a new secret if there is none.
    async fn keys(&self) -> Result<Keys, Refusal> {
        for _ in 0..MOST_TRIES {
            if let Some(keys) = self.known_keys().await? {
                return Ok(keys);
            }
            let (store, now) = (&self.outside.store, self.outside.environment.now());
            let secret = self.new_secret();
            let (channel, text) = (ChannelName::parse(SECRET)?, text_of(&secret));
            let made = Register::create(store, now, channel, text.as_bytes(), self.outside.random()).await?;
            if made.is_some() {
                return self.use_secret(&secret);
            }
        }
        Err(unusable())
    }

    fn use_secret(&self, secret: &[u8; 32]) -> Result<Keys, Refusal> {
        let signer = self.outside.client.signer(secret);
        self.with_table(|table| match &table.keys {
            Some(keys) => {
                keys.replace(signer);
                keys.clone()
            }
            None => table.keys.insert(Keys::new(signer)).clone(),
        })
    }
}

fn unusable() -> Refusal {
    Refusal::unready("the secret of subscriptions cannot be read")
}
