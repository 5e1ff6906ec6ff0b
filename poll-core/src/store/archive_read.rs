//! Reading what is retained but not in memory, without blocking a worker.
//!
//! A look at memory may end in a [`Missing`]. Fetching that brings either the messages themselves, or knowledge with
//! which the next look gets further.

use std::sync::Arc;
use std::time::Duration;

use super::fetched::ArchiveAnswer;
use super::handle::{Inner, Store};
use super::look::Missing;
use super::question::Retry;
use crate::channel::{Batch, Pinned, ReadState};
use crate::journal::Archive;
use crate::types::{ChannelName, Cursor, Epoch, JournalError, Landmark, Piece, Seq, Stretch, Timestamp};

impl Store {
    /// Fetches what is missing: messages and their reader's position, or `None` if another look will get further.
    /// Waits until the journal can read it.
    ///
    /// # Errors
    /// When it never will.
    pub(super) async fn fetch(
        &self,
        now: Timestamp,
        channel: &ChannelName,
        missing: Missing,
        pinned: &mut Pinned,
        retry: &mut Retry,
    ) -> Result<Option<(Arc<Batch>, ReadState)>, JournalError> {
        if let Some(fetched) = self.fetch_inherited(now, channel, &missing, pinned).await? {
            return Ok(fetched);
        }
        let Some(archive) = self.archive() else { return Ok(None) };
        retry.begin(archive);
        let epoch = missing.epoch();
        match self.try_fetch(archive, channel, missing, pinned).await {
            Ok(Some(fetched)) => Ok(fetched),
            Ok(None) if self.is_resident(channel, epoch) && self.shared().is_some() => {
                // Other servers may have forgotten it without this one knowing yet: it has to be loaded again.
                self.residents().reset(channel);
                Ok(None)
            }
            Ok(None) if self.is_resident(channel, epoch) => {
                let what = format!("channel {:?} is not where its messages are", channel.as_str());
                Err(JournalError::Damaged(what))
            }
            // It was forgotten meanwhile, in memory and in the journal.
            Ok(None) => Ok(None),
            Err(error) => retry.after(error).await.map(|()| None),
        }
    }

    /// The same once; the outer `None` if the journal has no such channel in that incarnation.
    async fn try_fetch(
        &self,
        archive: &dyn Archive,
        channel: &ChannelName,
        missing: Missing,
        pinned: &mut Pinned,
    ) -> Result<Option<Option<(Arc<Batch>, ReadState)>>, JournalError> {
        match missing {
            Missing::Oldest(epoch, cutoff) => {
                let landmark = Landmark::Time(cutoff.before(Duration::from_micros(1)));
                let locate = |reply| archive.locate(channel, epoch, landmark, reply);
                let Some(located) = self.ask(channel, locate).await? else { return Ok(None) };
                let oldest = located.after.unwrap_or((located.end, cutoff));
                self.residents().raise(channel, epoch, oldest);
            }
            Missing::Place(epoch, landmark) => {
                let locate = |reply| archive.locate(channel, epoch, landmark, reply);
                let Some(located) = self.ask(channel, locate).await? else { return Ok(None) };
                self.place(channel, epoch, located.before, pinned);
            }
            Missing::Messages(stretch, state) => {
                let Some(brought) = self.bring(archive, &stretch, state.newest).await? else {
                    return Ok(None);
                };
                return Ok(Some(self.conclude(&stretch, brought).map(|batch| (batch, state))));
            }
        }
        Ok(Some(None))
    }

    /// The batch that was read. `None` if there is none; the log then knows why.
    fn conclude(&self, stretch: &Stretch, brought: ArchiveAnswer) -> Option<Arc<Batch>> {
        let (channel, epoch) = (&stretch.channel, stretch.epoch);
        match brought {
            ArchiveAnswer::Batch(batch) => return Some(batch),
            // Evicted meanwhile.
            ArchiveAnswer::From(oldest) => self.residents().raise(channel, epoch, oldest),
            ArchiveAnswer::Damaged(last) => {
                let channel = self.residents().get(channel)?;
                let mut state = channel.state.lock();
                if state.epoch() == epoch {
                    state.log.note_damaged(stretch.after.next(), last);
                }
            }
        }
        None
    }

    /// Messages from the journal, as one batch for all readers of the same range.
    async fn bring(
        &self,
        archive: &dyn Archive,
        stretch: &Stretch,
        newest: Seq,
    ) -> Result<Option<ArchiveAnswer>, JournalError> {
        let cached = || self.0.fetched.recall(stretch, newest).map(|batch| Some(ArchiveAnswer::Batch(batch)));
        let read = self.0.fetched.flights.share(stretch, cached, |flight| {
            let asked = stretch.clone();
            self.question(
                &stretch.channel,
                move |store, piece: Result<Option<Piece>, _>| {
                    flight.answer(piece.map(|piece| piece.map(|piece| store.brought(asked, piece))));
                },
                |reply| archive.read(stretch.clone(), reply),
            );
        });
        read.await
    }

    fn is_resident(&self, channel: &ChannelName, epoch: Epoch) -> bool {
        self.residents().get(channel).is_some_and(|channel| channel.state.lock().epoch() == epoch)
    }

    /// Positions the reader after `before`, or before everything retained if that is `None`.
    fn place(&self, channel: &ChannelName, epoch: Epoch, before: Option<Seq>, pinned: &mut Pinned) {
        let Some(channel) = self.residents().get(channel) else { return };
        let state = channel.state.lock();
        if state.epoch() == epoch {
            let seq = before.unwrap_or_else(|| pinned.resolve(&state.log).0);
            *pinned = pinned.at(Cursor { epoch, seq });
        }
    }
}

impl Inner {
    fn brought(&self, stretch: Stretch, piece: Piece) -> ArchiveAnswer {
        if let Some(last) = piece.damaged {
            return ArchiveAnswer::Damaged(last);
        }
        if piece.messages.is_empty() {
            return ArchiveAnswer::From(piece.oldest);
        }
        let messages = piece.messages.into();
        let batch = Arc::new(Batch::new(stretch.epoch, messages, &self.residents.memory));
        self.fetched.remember(stretch, &batch);
        let dropped = self.recent.lock().hold(batch.clone());
        drop(dropped);
        ArchiveAnswer::Batch(batch)
    }
}
