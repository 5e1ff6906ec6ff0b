//! A value that is kept in the store: a channel whose newest message is the value.
//!
//! Only the newest matters, so after some the channel is begun anew, in another slot, and then the old one is deleted. After
//! a crash in between there are two, and the one with the higher revision counts. So a value is never half there, and
//! what was kept before a failure is still there after it.

use poll_core::life::{Bounds, Condition, ContentType, Create, CreateError, Created, Standing, Use};
use poll_core::{ChannelName, Ending, JournalError, Limit, Payload, Position, Publish, Store, Timestamp};

use crate::dialect::durable_streams;
use crate::message::refusal::Refusal;

/// How many values a slot holds before the next one begins.
const MOST_VALUES: u64 = 64;

pub(super) struct Cell {
    slots: [ChannelName; 2],
    /// The slot with the newest value.
    current: usize,
    /// How many values that holds; none if there is none.
    values: u64,
    /// Of the newest value.
    revision: u64,
}

/// A slot's newest value.
struct Newest {
    revision: u64,
    value: String,
    values: u64,
}

impl Cell {
    /// The value under a name, and the cell to keep the next one in.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) async fn load(
        store: &Store,
        now: Timestamp,
        name: &str,
    ) -> Result<(Self, Option<String>), JournalError> {
        let slot = |slot: u8| {
            ChannelName::parse(&format!("{name}/{slot}"))
                .map_err(|_| JournalError::Damaged("the name of a subscription is too long".to_owned()))
        };
        let slots = [slot(0)?, slot(1)?];
        let [first, second] = [newest(store, now, &slots[0]).await?, newest(store, now, &slots[1]).await?];
        let revision = |found: &Option<Newest>| found.as_ref().map_or(0, |found| found.revision);
        let (current, found) = if revision(&second) > revision(&first) { (1, second) } else { (0, first) };
        let (values, revision) = found.as_ref().map_or((0, 0), |found| (found.values, found.revision));
        let value = found.map(|found| found.value);
        Ok((Self { slots, current, values, revision }, value))
    }

    /// Keeps a value.
    ///
    /// # Errors
    /// If the store does not, or it is not known whether it did. The value before is still there.
    pub(super) async fn save(&mut self, store: &Store, now: Timestamp, value: &[u8]) -> Result<(), Refusal> {
        // One that may or may not have been kept has a number, too.
        self.revision += 1;
        let mut text = format!("{}\n", self.revision).into_bytes();
        text.extend_from_slice(value);
        let payload = Payload::text(String::from_utf8_lossy(&text));
        if self.values > 0 && self.values < MOST_VALUES {
            let publish = Publish::one(payload);
            let appended = store.append(now, &self.slots[self.current], publish, Condition::default()).await;
            appended.map_err(durable_streams::refuse_append)?;
            self.values += 1;
            return Ok(());
        }
        let other = 1 - self.current;
        let create = Create {
            content_type: ContentType::parse("text/plain").ok(),
            lifetime: None,
            bounds: Bounds::UNLIMITED,
            payloads: std::iter::once(payload).collect(),
            ending: Ending::Open,
            origin: None,
        };
        store.delete(now, &self.slots[other]).await?;
        match store.create(now, &self.slots[other], create).await {
            Ok(Created::New { .. }) => {}
            Ok(Created::Same(_)) => {
                return Err(Refusal::unready("the subscription is being changed elsewhere"));
            }
            Err(CreateError::Publish(error)) => return Err(error.into()),
            Err(error) => return Err(durable_streams::refuse_create(error)),
        }
        if self.values > 0 {
            // If that fails the higher revision counts.
            let _ = store.delete(now, &self.slots[self.current]).await;
        }
        (self.current, self.values) = (other, 1);
        Ok(())
    }

    /// Removes the value.
    ///
    /// # Errors
    /// If the store does not.
    pub(super) async fn remove(&mut self, store: &Store, now: Timestamp) -> Result<(), Refusal> {
        // The older one first, or it would come back.
        for slot in [1 - self.current, self.current] {
            store.delete(now, &self.slots[slot]).await?;
        }
        self.values = 0;
        Ok(())
    }
}

async fn newest(store: &Store, now: Timestamp, slot: &ChannelName) -> Result<Option<Newest>, JournalError> {
    let Standing::Live(found) = store.describe(now, slot, Use::Look).await? else { return Ok(None) };
    let before = Position::AfterSeq(found.newest.previous());
    let pinned = store.pin(now, slot, before).await?;
    let view = store.read(now, slot, &pinned, Limit::default()).await?;
    let Some(message) = view.batch.as_ref().and_then(|batch| batch.messages().last().cloned()) else {
        return Ok(None);
    };
    let text = std::str::from_utf8(message.payload.as_bytes()).unwrap_or_default();
    let Some((revision, value)) = text.split_once('\n') else { return Ok(None) };
    let Ok(revision) = revision.parse() else { return Ok(None) };
    Ok(Some(Newest { revision, value: value.to_owned(), values: found.messages() }))
}
