//! Subscriptions in the store of one server: a secret, an index of their names, and a value for each.

use std::sync::Arc;

use http::StatusCode;
use poll_core::{JournalError, Timestamp};

use super::state::{
    Begun, Inner, MOST_SUBSCRIPTIONS, SECRET, Table, Tasks, damaged, lock, secret_of, text_of, unread,
};
use crate::dialect::durable_streams::subscriptions::{
    self, Configuration, Fault, Keeping, Loopback, Subscription, SubscriptionId,
};
use crate::message::refusal::Refusal;
use crate::message::reply::Reply;
use crate::pattern::subscription::cell::Cell;
use crate::pattern::subscription::keeper::{Line, What};
use crate::pattern::subscription::keys::Keys;
use crate::pattern::subscription::place::Place;
use crate::pattern::subscription::register::RECORDS;

/// Where the names of all subscriptions are kept.
const INDEX: &str = "__ds/index";

/// Where it is kept which subscriptions there are.
pub(super) struct OwnRecords {
    /// Their names.
    index: Cell,
    /// The secret that keys are made from, until it is kept: before there is a subscription, nothing is written.
    new_secret: Option<(Cell, String)>,
}

impl Inner {
    /// Reads the secret and all subscriptions; makes a secret if there is none. Returns where they are kept.
    pub(super) async fn load_own(self: &Arc<Self>, tasks: &mut Tasks) -> Result<OwnRecords, Refusal> {
        let (store, now) = (&self.outside.store, self.outside.environment.now());
        let (cell, kept) = Cell::load(store, now, SECRET).await.map_err(Refusal::unreadable)?;
        let (secret, new_secret) = match kept {
            // Another one would invalidate every token, and every signature that receivers check.
            Some(text) => (secret_of(&text).ok_or_else(|| damaged("the secret cannot be read"))?, None),
            None => {
                let secret = self.new_secret();
                (secret, Some((cell, text_of(&secret))))
            }
        };
        let keys = Keys::new(self.outside.client.signer(&secret));
        let (index, kept) = Cell::load(store, now, INDEX).await.map_err(Refusal::unreadable)?;
        let ids: Vec<String> = match kept {
            Some(kept) => serde_json::from_str(&kept).map_err(|_| damaged("the index cannot be read"))?,
            None => Vec::new(),
        };
        let mut found = Vec::new();
        let mut table = Table { keys: Some(keys.clone()), ..Table::default() };
        for id in ids.iter().filter_map(|id| SubscriptionId::parse(id)) {
            let loaded = match self.load_one(now, &id).await {
                // Of one whose creation or deletion was cut off there is no more than its name.
                Ok((_, None)) => continue,
                Ok((cell, Some(kept))) => {
                    let subscription = Subscription::of_record(kept.as_bytes(), Loopback::Allowed);
                    subscription.map(|(_, subscription)| (subscription, cell))
                }
                Err(JournalError::Damaged(_)) => None,
                Err(error) => return Err(Refusal::unreadable(error)),
            };
            if let Some((subscription, cell)) = loaded {
                found.push((id, subscription, cell));
            } else {
                tracing::error!(subscription = %id, "subscription {id} cannot be read");
                table.damaged.insert(id);
            }
        }
        *lock(&self.table) = Some(table);
        for (id, subscription, cell) in found {
            let (place, charge) = (Place::Own(cell), self.charge_kept());
            self.start(keys.clone(), Begun { id, subscription, place, charge, line: Line::First }, tasks);
        }
        Ok(OwnRecords { index, new_secret })
    }

    async fn load_one(
        &self,
        now: Timestamp,
        id: &SubscriptionId,
    ) -> Result<(Cell, Option<String>), JournalError> {
        Cell::load(&self.outside.store, now, &format!("{RECORDS}{id}")).await
    }

    pub(super) async fn put_own(
        self: &Arc<Self>,
        id: SubscriptionId,
        configuration: Configuration,
        base: Arc<str>,
        records: &mut OwnRecords,
        tasks: &mut Tasks,
    ) -> Result<Reply, Refusal> {
        if let Some(known) = self.entry(&id)? {
            if *known.configuration != configuration {
                return Ok(subscriptions::refuse(&Fault::Exists));
            }
            return self.tell(&id, What::Show(StatusCode::OK)).await;
        }
        let keys = self.with_table(|table| table.keys.clone())?.ok_or_else(unread)?;
        let mut names = self.names()?;
        if names.len() >= MOST_SUBSCRIPTIONS {
            return Ok(subscriptions::refuse(&Fault::TooMany("there are 1000 subscriptions")));
        }
        let charge = self.charge(&configuration)?;
        let now = self.outside.environment.now();
        let subscription = self.make(configuration, base).await?;
        names.push(id.as_str().to_owned());
        if let Some((cell, secret)) = &mut records.new_secret {
            cell.save(&self.outside.store, now, secret.as_bytes()).await?;
            records.new_secret = None;
        }
        let (mut cell, _) = self.load_one(now, &id).await.map_err(Refusal::unreadable)?;
        self.save_index(records, &names).await?;
        let kept = subscription.to_record(id.as_str(), Keeping::Alone);
        cell.save(&self.outside.store, now, &kept).await?;
        let (place, line) = (Place::Own(cell), Line::First);
        self.start(keys, Begun { id: id.clone(), subscription, place, charge, line }, tasks);
        self.tell(&id, What::Show(StatusCode::CREATED)).await
    }

    pub(super) async fn delete_own(
        &self,
        id: &SubscriptionId,
        records: &mut OwnRecords,
    ) -> Result<Reply, Refusal> {
        if self.entry(id)?.is_none() {
            return Ok(subscriptions::done());
        }
        let ended = self.tell(id, What::End).await?;
        self.with_table(|table| drop(table.entries.remove(id)))?;
        self.news.remove(id);
        // A name that stays there means nothing.
        let _ = self.save_index(records, &self.names()?).await;
        Ok(ended)
    }

    fn names(&self) -> Result<Vec<String>, Refusal> {
        self.with_table(|table| {
            let ids = table.entries.keys().chain(&table.damaged);
            ids.map(|id| id.as_str().to_owned()).collect()
        })
    }

    async fn save_index(&self, records: &mut OwnRecords, names: &[String]) -> Result<(), Refusal> {
        let (store, now) = (&self.outside.store, self.outside.environment.now());
        records.index.save(store, now, &serde_json::to_vec(names).unwrap_or_default()).await
    }
}
