//! Reading what is retained but not in memory, without a worker waiting for it.
//!
//! A look at memory ends in a [`Lack`]; fetching it brings either the messages themselves, or knowledge that
//! makes the next look go further. Whoever lacks the same at the same time shares one fetch.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use super::flight::{Flights, Landing};
use super::read::Standing;
use super::{Inner, Store};
use crate::batch::Batch;
use crate::channel::ChannelName;
use crate::cursor::{Cursor, Epoch, Seq};
use crate::error::JournalError;
use crate::journal::{Archive, Landmark, Located, Stretch};
use crate::log::{Limit, Log};
use crate::message::Message;
use crate::position::Pinned;
use crate::sync::Mutex;
use crate::time::Timestamp;

/// Batches remembered while somebody holds them.
const REMEMBERED: usize = 64;

/// What has to be fetched before a look can go further.
pub(super) enum Lack {
    /// Which message is the oldest that was taken at or after a time.
    Oldest(Epoch, Timestamp),
    /// Where a landmark lies.
    Place(Epoch, Landmark),
    /// Messages, for a reader who stands there.
    Messages(Stretch, Standing),
}

/// Fetches under way, and what they brought last.
#[derive(Default)]
pub(super) struct Cold {
    flights: Flights<Stretch, Option<Arc<Batch>>>,
    brought: Mutex<VecDeque<(Stretch, Weak<Batch>)>>,
}

impl Lack {
    pub(super) fn oldest(log: &Log, cutoff: Timestamp) -> Self {
        Self::Oldest(log.epoch(), cutoff)
    }

    pub(super) fn messages(channel: &ChannelName, standing: Standing, limit: Limit) -> Self {
        let Cursor { epoch, seq: after } = standing.cursor();
        Self::Messages(Stretch { channel: channel.clone(), epoch, after, limit }, standing)
    }
}

impl Store {
    /// Fetches what is lacking: the messages and where their reader stood, or, with `None`, what makes another
    /// look go further. Waits until the journal can give it.
    pub(super) async fn fetch(
        &self,
        channel: &ChannelName,
        lack: Lack,
        pinned: &mut Pinned,
    ) -> Option<(Arc<Batch>, Standing)> {
        let archive = self.0.journal.archive()?;
        let failed = match lack {
            Lack::Oldest(epoch, cutoff) => {
                let landmark = Landmark::Time(cutoff.before(std::time::Duration::from_micros(1)));
                let located = self.locate(archive, channel, epoch, landmark).await;
                located.map(|located| self.raise(channel, epoch, located.after, cutoff)).is_err()
            }
            Lack::Place(epoch, landmark) => {
                let located = self.locate(archive, channel, epoch, landmark).await;
                located.map(|located| self.place(channel, epoch, located.before, pinned)).is_err()
            }
            Lack::Messages(stretch, standing) => match self.bring(archive, &stretch, standing.newest).await {
                Ok(Some(batch)) if batch.messages()[0].seq == stretch.after.next() => {
                    return Some((batch, standing));
                }
                Ok(batch) => {
                    // Evicted meanwhile.
                    let first = batch.map(|batch| (batch.messages()[0].seq, batch.messages()[0].at));
                    self.raise(channel, stretch.epoch, first, Timestamp::ZERO);
                    false
                }
                Err(_) => true,
            },
        };
        if failed {
            self.given(archive).await;
        }
        None
    }

    /// Messages from the journal, as a batch that all share who ask for the same.
    async fn bring(
        &self,
        archive: &dyn Archive,
        stretch: &Stretch,
        newest: Seq,
    ) -> Result<Option<Arc<Batch>>, JournalError> {
        let store = Arc::downgrade(&self.0);
        let ask = |landing: Landing<Stretch, Option<Arc<Batch>>>| {
            let asked = stretch.clone();
            let reply = move |messages: Result<Vec<Arc<Message>>, JournalError>| {
                let Some(store) = store.upgrade() else { return };
                landing.land(messages.map(|messages| store.brought(asked, messages)));
            };
            archive.read(stretch.clone(), Box::new(reply));
        };
        self.0.cold.flights.share(stretch, || self.0.cold.at_hand(stretch, newest), ask).await
    }

    async fn locate(
        &self,
        archive: &dyn Archive,
        channel: &ChannelName,
        epoch: Epoch,
        landmark: Landmark,
    ) -> Result<Located, JournalError> {
        let (reply, answer) = tokio::sync::oneshot::channel();
        archive.locate(channel, epoch, landmark, Box::new(move |located| drop(reply.send(located))));
        let stopped = |_| Err(JournalError::Unavailable("it stopped before it answered".to_owned()));
        answer.await.unwrap_or_else(stopped)
    }

    /// The oldest retained message is `first`; without one, the oldest in memory is.
    fn raise(&self, channel: &ChannelName, epoch: Epoch, first: Option<(Seq, Timestamp)>, since: Timestamp) {
        let Some(channel) = self.0.directory.get(channel) else { return };
        let mut state = channel.state.lock();
        if state.log.epoch() == epoch {
            let (oldest, since) = first.unwrap_or((state.log.tail(), since));
            let freed = state.raise(oldest, since, &self.0.memory);
            drop(state);
            self.0.lighten(freed);
        }
    }

    /// The reader stands after `before`; without one, before all that is retained.
    fn place(&self, channel: &ChannelName, epoch: Epoch, before: Option<Seq>, pinned: &mut Pinned) {
        let Some(channel) = self.0.directory.get(channel) else { return };
        let state = channel.state.lock();
        if state.log.epoch() == epoch {
            let seq = before.unwrap_or_else(|| pinned.resolve(&state.log).0);
            *pinned = pinned.at(Cursor { epoch, seq });
        }
    }
}

impl Inner {
    fn brought(&self, stretch: Stretch, messages: Vec<Arc<Message>>) -> Option<Arc<Batch>> {
        if messages.is_empty() {
            return None;
        }
        let batch = Arc::new(Batch::new(stretch.epoch, messages.into(), &self.memory));
        let mut brought = self.cold.brought.lock();
        brought.truncate(REMEMBERED - 1);
        brought.push_front((stretch, Arc::downgrade(&batch)));
        drop(brought);
        let dropped = self.recent.lock().hold(batch.clone());
        drop(dropped);
        Some(batch)
    }
}

impl Cold {
    /// The batch that the same question brought before, if it is still all that the limit allows.
    fn at_hand(&self, stretch: &Stretch, newest: Seq) -> Option<Option<Arc<Batch>>> {
        let brought = self.brought.lock();
        let (_, batch) = brought.iter().find(|(other, _)| other == stretch)?;
        let batch = batch.upgrade()?;
        let is_full = batch.messages().len() == stretch.limit.messages
            || payload_bytes(&batch) > stretch.limit.bytes / 2;
        (is_full || batch.newest().seq >= newest).then_some(Some(batch))
    }
}

fn payload_bytes(batch: &Batch) -> usize {
    batch.messages().iter().map(|message| message.payload.len()).sum()
}
