//! A value that is kept in the store: a channel whose newest message is the value.
//!
//! Only the newest matters, so after some the channel is begun anew, in another slot, and then the old one is deleted. After
//! a crash in between there are two, and the one with the higher revision counts. So a value is never half there, and
//! what was kept before a failure is still there after it. Where the newest is damaged, the newest that is not counts; where
//! none can be read, that is an error, and not as if there were none.

use poll_core::life::{
    AppendError, Bounds, Condition, ContentType, Create, CreateError, Created, Standing, Use,
};
use poll_core::{ChannelName, Ending, Found, JournalError, Locator, Payload, Publish, Seq, Store, Timestamp};

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

/// What a slot holds.
enum Slot {
    Nothing,
    /// Values, of which none can be read.
    Damaged,
    Value(Newest),
}

/// A slot's newest value that can be read.
struct Newest {
    revision: u64,
    value: String,
    /// How many there are in the slot, whether they can be read or not.
    values: u64,
}

impl Cell {
    /// The value under a name, and the cell to keep the next one in.
    ///
    /// # Errors
    /// When the store cannot be read, and [`JournalError::Damaged`] where there are values and none can be.
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
        let (current, found) = match [read(store, now, &slots[0]).await?, read(store, now, &slots[1]).await?]
        {
            [Slot::Value(first), Slot::Value(second)] if second.revision > first.revision => (1, second),
            [Slot::Value(first), _] => (0, first),
            [_, Slot::Value(second)] => (1, second),
            [Slot::Nothing, Slot::Nothing] => {
                return Ok((Self { slots, current: 0, values: 0, revision: 0 }, None));
            }
            _ => return Err(JournalError::Damaged(format!("no value of {name} can be read"))),
        };
        let Newest { revision, value, values } = found;
        Ok((Self { slots, current, values, revision }, Some(value)))
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
            let publish = Publish::one(payload.clone());
            match store.append(now, &self.slots[self.current], publish, Condition::default()).await {
                Ok(_) => {
                    self.values += 1;
                    return Ok(());
                }
                // An operator has deleted or ended the slot: the other one begins.
                Err(AppendError::NotFound | AppendError::Closed { .. }) => {}
                Err(error) => return Err(durable_streams::refuse_append(error)),
            }
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

/// Looks from a slot's newest value back to the first that can be read.
async fn read(store: &Store, now: Timestamp, slot: &ChannelName) -> Result<Slot, JournalError> {
    let (newest, values) = match store.describe(now, slot, Use::Look).await {
        Ok(Standing::Live(found)) => (found.newest.get(), found.messages()),
        Ok(Standing::Absent | Standing::Hidden) => (0, 0),
        Err(JournalError::Damaged(why)) => {
            tracing::error!("{slot} cannot be read: {why}");
            return Ok(Slot::Damaged);
        }
        Err(error) => return Err(error),
    };
    for passed in 0..values {
        let found = match store.message(now, slot, Locator::Seq(Seq::new(newest - passed))).await {
            Ok(Found::Message(message, ..)) => parse(message.payload.as_bytes()),
            Ok(Found::Gone | Found::Never) | Err(JournalError::Damaged(_)) => None,
            Err(error) => return Err(error),
        };
        if let Some((revision, value)) = found {
            if passed > 0 {
                tracing::error!("the newest of {slot} cannot be read: the value before counts");
            }
            return Ok(Slot::Value(Newest { revision, value, values }));
        }
    }
    if values == 0 {
        return Ok(Slot::Nothing);
    }
    tracing::error!("nothing of {slot} can be read");
    Ok(Slot::Damaged)
}

fn parse(payload: &[u8]) -> Option<(u64, String)> {
    let (revision, value) = std::str::from_utf8(payload).ok()?.split_once('\n')?;
    Some((revision.parse().ok()?, value.to_owned()))
}
