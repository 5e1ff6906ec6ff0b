//! Reading what is retained but not in memory, without a worker waiting for it.
//!
//! A look at memory ends in a [`Lack`]; fetching it brings either the messages themselves, or knowledge that
//! makes the next look go further. Whoever lacks the same at the same time shares one fetch.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use super::flight::{Flights, Landing};
use super::read::Standing;
use super::resident::Patience;
use super::{Inner, Store};
use crate::batch::Batch;
use crate::journal::{Archive, Landmark, Located, Piece, Reply, Stretch};
use crate::log::{Limit, Log};
use crate::memory::Kind;
use crate::position::Pinned;
use crate::sync::Mutex;
use crate::types::{ChannelName, Cursor, Epoch, JournalError, Seq, Timestamp};

/// What a question that is under way takes in bytes, beside the channel's name: its places on the way, and its share of
/// what the readers of the journal have in hand.
const QUESTION_BYTES: u64 = 4 * 1024;

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

/// What came of a stretch.
#[derive(Clone)]
enum Brought {
    /// Messages, from its beginning on.
    Batch(Arc<Batch>),
    /// None, for what is retained begins later: with this one, taken then.
    From((Seq, Timestamp)),
    /// None, for those up to this one are damaged.
    Damaged(Seq),
}

/// Fetches under way, and what they brought last.
#[derive(Default)]
pub(super) struct Cold {
    /// `None` comes of a channel that the journal does not know.
    flights: Flights<Stretch, Option<Brought>>,
    brought: Mutex<VecDeque<(Stretch, Weak<Batch>)>>,
}

impl Lack {
    pub(super) fn oldest(log: &Log, cutoff: Timestamp) -> Self {
        Self::Oldest(log.epoch(), cutoff)
    }

    fn epoch(&self) -> Epoch {
        match self {
            Self::Oldest(epoch, _) | Self::Place(epoch, _) => *epoch,
            Self::Messages(stretch, _) => stretch.epoch,
        }
    }

    pub(super) fn messages(channel: &ChannelName, standing: Standing, limit: Limit) -> Self {
        let Cursor { epoch, seq: after } = standing.cursor();
        Self::Messages(Stretch { channel: channel.clone(), epoch, after, limit }, standing)
    }
}

impl Store {
    /// Fetches what is lacking: the messages and where their reader stood, or, with `None`, what makes another
    /// look go further. Waits until the journal can give it.
    ///
    /// # Errors
    /// When it never will.
    pub(super) async fn fetch(
        &self,
        channel: &ChannelName,
        lack: Lack,
        pinned: &mut Pinned,
        patience: &mut Patience,
    ) -> Result<Option<(Arc<Batch>, Standing)>, JournalError> {
        let Some(archive) = self.0.journal.archive() else { return Ok(None) };
        patience.begin(archive);
        let epoch = lack.epoch();
        let fetched = match lack {
            Lack::Oldest(epoch, cutoff) => {
                let landmark = Landmark::Time(cutoff.before(std::time::Duration::from_micros(1)));
                let located = self.locate(archive, channel, epoch, landmark).await;
                located.map(|located| {
                    located.map(|located| {
                        let oldest = located.after.unwrap_or((located.end, cutoff));
                        self.raise(channel, epoch, oldest);
                        None
                    })
                })
            }
            Lack::Place(epoch, landmark) => {
                let located = self.locate(archive, channel, epoch, landmark).await;
                located.map(|located| {
                    located.map(|located| {
                        self.place(channel, epoch, located.before, pinned);
                        None
                    })
                })
            }
            Lack::Messages(stretch, standing) => {
                let brought = self.bring(archive, &stretch, standing.newest).await;
                brought.map(|brought| {
                    brought.map(|brought| self.conclude(&stretch, brought).map(|batch| (batch, standing)))
                })
            }
        };
        match fetched {
            Ok(Some(fetched)) => Ok(fetched),
            Ok(None) if self.is_resident(channel, epoch) => {
                let what = format!("channel {:?} is not where its messages are", channel.as_str());
                Err(JournalError::Damaged(what))
            }
            // It was forgotten meanwhile, here and there.
            Ok(None) => Ok(None),
            Err(error) => patience.after(error).await.map(|()| None),
        }
    }

    /// The batch of what was brought; without one, the log knows better then why there is none.
    fn conclude(&self, stretch: &Stretch, brought: Brought) -> Option<Arc<Batch>> {
        let (channel, epoch) = (&stretch.channel, stretch.epoch);
        match brought {
            Brought::Batch(batch) => return Some(batch),
            // Evicted meanwhile.
            Brought::From(oldest) => self.raise(channel, epoch, oldest),
            Brought::Damaged(last) => {
                let channel = self.0.directory.get(channel)?;
                let mut state = channel.state.lock();
                if state.log.epoch() == epoch {
                    state.log.note_damaged(stretch.after.next(), last);
                }
            }
        }
        None
    }

    /// Messages from the journal, as a batch that all share who ask for the same.
    async fn bring(
        &self,
        archive: &dyn Archive,
        stretch: &Stretch,
        newest: Seq,
    ) -> Result<Option<Brought>, JournalError> {
        let ask = |landing: Landing<Stretch, Option<Brought>>| {
            let asked = stretch.clone();
            let take = move |store: &Arc<Inner>, piece: Result<Option<Piece>, JournalError>| {
                landing.land(piece.map(|piece| piece.map(|piece| store.brought(asked, piece))));
            };
            self.question(&stretch.channel, take, |reply| archive.read(stretch.clone(), reply));
        };
        self.0.cold.flights.share(stretch, || self.0.cold.at_hand(stretch, newest), ask).await
    }

    async fn locate(
        &self,
        archive: &dyn Archive,
        channel: &ChannelName,
        epoch: Epoch,
        landmark: Landmark,
    ) -> Result<Option<Located>, JournalError> {
        let (sender, answer) = tokio::sync::oneshot::channel();
        let take = move |_: &Arc<Inner>, located| drop(sender.send(located));
        self.question(channel, take, |reply| archive.locate(channel, epoch, landmark, reply));
        let stopped = |_| Err(JournalError::Unavailable("it stopped before it answered".to_owned()));
        answer.await.unwrap_or_else(stopped)
    }

    /// Asks the journal something about a channel: `send` hands the question over, `take` is called with the answer. The
    /// only way to ask, so that whatever is under way is charged; where there is no memory for it, that is the answer.
    pub(super) fn question<T: 'static>(
        &self,
        channel: &ChannelName,
        take: impl FnOnce(&Arc<Inner>, Result<T, JournalError>) + Send + 'static,
        send: impl FnOnce(Reply<T>),
    ) {
        let bytes = QUESTION_BYTES + channel.as_str().len() as u64;
        let charge = match self.0.memory.charge(Kind::ColdReads, bytes) {
            Ok(charge) => charge,
            Err(over) => return take(&self.0, Err(over.into())),
        };
        let store = Arc::downgrade(&self.0);
        send(Box::new(move |answer| {
            // Before anybody hears of the answer, so that whoever does finds the room.
            drop(charge);
            if let Some(store) = store.upgrade() {
                take(&store, answer);
            }
        }));
    }

    fn is_resident(&self, channel: &ChannelName, epoch: Epoch) -> bool {
        self.0.directory.get(channel).is_some_and(|channel| channel.state.lock().log.epoch() == epoch)
    }

    /// The oldest retained message is this one, or one that was taken later.
    fn raise(&self, channel: &ChannelName, epoch: Epoch, (oldest, since): (Seq, Timestamp)) {
        let Some(channel) = self.0.directory.get(channel) else { return };
        let mut state = channel.state.lock();
        if state.log.epoch() == epoch {
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
    fn brought(&self, stretch: Stretch, piece: Piece) -> Brought {
        if let Some(last) = piece.damaged {
            return Brought::Damaged(last);
        }
        if piece.messages.is_empty() {
            return Brought::From(piece.oldest);
        }
        let batch = Arc::new(Batch::new(stretch.epoch, piece.messages.into(), &self.memory));
        let mut brought = self.cold.brought.lock();
        brought.truncate(REMEMBERED - 1);
        brought.push_front((stretch, Arc::downgrade(&batch)));
        drop(brought);
        let dropped = self.recent.lock().hold(batch.clone());
        drop(dropped);
        Brought::Batch(batch)
    }
}

impl Cold {
    /// The batch that the same question brought before, if it is still all that the limit allows.
    fn at_hand(&self, stretch: &Stretch, newest: Seq) -> Option<Option<Brought>> {
        let brought = self.brought.lock();
        let (_, batch) = brought.iter().find(|(other, _)| other == stretch)?;
        let batch = batch.upgrade()?;
        let is_full = batch.messages().len() == stretch.limit.messages
            || batch.payload_bytes() > stretch.limit.bytes / 2;
        (is_full || batch.newest().seq >= newest).then_some(Some(Brought::Batch(batch)))
    }
}
