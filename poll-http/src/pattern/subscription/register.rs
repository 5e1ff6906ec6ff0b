//! A value that several servers change: a channel whose newest message is the value, in a log that they share.
//!
//! A server that changes it names the change that it goes on from, and if that is not the newest, nothing is changed
//! and it reads the value again. That is an append by a producer: its name is that of the value's life, so nothing that
//! was decided about an earlier value under this name counts, and its number is that of the change.

use poll_core::life::{
    AppendError, Appended, Bound, Bounds, Condition, ContentType, Create, CreateError, Created, ProducerId,
    ProducerStamp, Standing,
};
use poll_core::{
    ChannelName, Cursor, Ending, JournalError, Limit, Payload, Pinned, Publish, PublishError, Store,
    Timestamp,
};

use crate::dialect::durable_streams;
use crate::dialect::durable_streams::subscriptions::SubscriptionId;
use crate::message::refusal::Refusal;

/// What the names of subscriptions' records begin with.
pub(super) const RECORDS: &str = "__ds/subscriptions/";

/// How many values the channel holds: the newest, and the one that a reader has just found to be the newest.
const VALUES: u64 = 2;

/// The value, as it was last read or written here.
#[derive(Debug)]
pub(super) struct Register {
    channel: ChannelName,
    /// Which life of the value this is.
    life: ProducerId,
    /// How often it was changed.
    changes: u64,
    /// The position after it.
    end: Cursor,
}

/// What a look at it finds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It is what it was.
    Same,
    Changed(String),
    /// That life of it is over.
    Gone,
}

/// Whether a change was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Saved {
    Kept,
    /// Another one was first.
    Outdated,
}

impl Register {
    /// The value under a name; `None` if there is none.
    ///
    /// # Errors
    /// When the log cannot be asked, or holds something else under the name.
    pub(super) async fn find(
        store: &Store,
        now: Timestamp,
        channel: ChannelName,
    ) -> Result<Option<(Self, String)>, JournalError> {
        let Standing::Live(found) = store.describe_latest(now, &channel).await? else { return Ok(None) };
        let end = found.end();
        let Some(text) = newest(store, now, &channel, end).await? else { return Ok(None) };
        let damaged = || JournalError::Damaged(format!("{channel} is not one of the server's records"));
        let (life, changes, value) = parse(&text).ok_or_else(damaged)?;
        let value = value.to_owned();
        Ok(Some((Self { channel, life, changes, end }, value)))
    }

    /// Makes one; `None` if there is one by now. `random` is its life's name.
    ///
    /// # Errors
    /// If the log does not keep it, or it is not known whether it did.
    pub(super) async fn create(
        store: &Store,
        now: Timestamp,
        channel: ChannelName,
        value: &[u8],
        random: u128,
    ) -> Result<Option<Self>, Refusal> {
        let life = ProducerId::parse(&format!("{random:032x}"))
            .map_err(|_| Refusal::unready("the value has no name"))?;
        let create = Create {
            content_type: ContentType::parse("text/plain").ok(),
            lifetime: None,
            bounds: Bounds { messages: Bound::Most(VALUES), seconds: Bound::Unlimited, bytes: Bound::Server },
            payloads: std::iter::once(payload(&life, 0, value)).collect(),
            ending: Ending::Open,
            origin: None,
        };
        match store.create(now, &channel, create).await {
            Ok(Created::New { published, .. }) => {
                let Some(stamp) = published.stamps.last() else { return Ok(None) };
                Ok(Some(Self { channel, life, changes: 0, end: stamp.cursor }))
            }
            Ok(Created::Same(_)) | Err(CreateError::Differs | CreateError::Hidden) => Ok(None),
            Err(error) => Err(durable_streams::refuse_create(error)),
        }
    }

    /// Looks at it. A change that is found is what the next one goes on from.
    ///
    /// # Errors
    /// When the log cannot be asked.
    pub(super) async fn read(&mut self, store: &Store, now: Timestamp) -> Result<Found, JournalError> {
        let Standing::Live(found) = store.describe_latest(now, &self.channel).await? else {
            return Ok(Found::Gone);
        };
        let end = found.end();
        if end == self.end {
            return Ok(Found::Same);
        }
        let text = newest(store, now, &self.channel, end).await?;
        let Some((life, changes, value)) = text.as_deref().and_then(parse) else { return Ok(Found::Gone) };
        if life != self.life {
            return Ok(Found::Gone);
        }
        (self.changes, self.end) = (changes, end);
        Ok(Found::Changed(value.to_owned()))
    }

    /// Changes it.
    ///
    /// # Errors
    /// If the log does not keep that, or it is not known whether it did: it has to be read before the next change.
    pub(super) async fn save(
        &mut self,
        store: &Store,
        now: Timestamp,
        value: &[u8],
    ) -> Result<Saved, Refusal> {
        let producer = ProducerStamp { id: self.life.clone(), epoch: 0, seq: self.changes };
        let condition = Condition { producer: Some(producer), ..Condition::default() };
        let publish = Publish::one(payload(&self.life, self.changes + 1, value));
        match store.append(now, &self.channel, publish, condition).await {
            Ok(Appended::New { end, .. }) => {
                (self.changes, self.end) = (self.changes + 1, end);
                Ok(Saved::Kept)
            }
            Ok(Appended::Duplicate { .. })
            | Err(
                AppendError::Gap { .. }
                | AppendError::NotFound
                | AppendError::Hidden
                | AppendError::Closed { .. },
            ) => Ok(Saved::Outdated),
            Err(error) => Err(durable_streams::refuse_append(error)),
        }
    }

    /// Removes it, whatever became of it.
    ///
    /// # Errors
    /// If the log does not.
    pub(super) async fn remove(&self, store: &Store, now: Timestamp) -> Result<(), PublishError> {
        store.delete(now, &self.channel).await.map(drop)
    }

    /// Whether it is the same life of the same value.
    pub(super) fn is_same(&self, life: &ProducerId) -> bool {
        self.life == *life
    }

    pub(super) fn life(&self) -> &ProducerId {
        &self.life
    }
}

/// The name of a subscription's record.
///
/// # Errors
/// If the subscription's name is too long for it.
pub(super) fn record_of(id: &SubscriptionId) -> Result<ChannelName, JournalError> {
    ChannelName::parse(&format!("{RECORDS}{id}"))
        .map_err(|_| JournalError::Damaged("the name of a subscription is too long".to_owned()))
}

/// The subscription of a record's name.
pub(super) fn id_of(record: &str) -> Option<SubscriptionId> {
    SubscriptionId::parse(record.strip_prefix(RECORDS)?)
}

/// The message that ends at `end`.
async fn newest(
    store: &Store,
    now: Timestamp,
    channel: &ChannelName,
    end: Cursor,
) -> Result<Option<String>, JournalError> {
    let before = Pinned::after(Cursor { seq: end.seq.previous(), ..end });
    let view = store.read(now, channel, &before, Limit::default()).await?;
    let message = view.batch.as_ref().and_then(|batch| batch.messages().last().cloned());
    Ok(message.map(|message| String::from_utf8_lossy(message.payload.as_bytes()).into_owned()))
}

fn payload(life: &ProducerId, changes: u64, value: &[u8]) -> Payload {
    let mut text = format!("{} {changes}\n", life.as_str());
    text.push_str(&String::from_utf8_lossy(value));
    Payload::text(text)
}

fn parse(text: &str) -> Option<(ProducerId, u64, &str)> {
    let (head, value) = text.split_once('\n')?;
    let (life, changes) = head.split_once(' ')?;
    Some((ProducerId::parse(life).ok()?, changes.parse().ok()?, value))
}
