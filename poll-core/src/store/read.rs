//! Reading: the messages after a position, and single messages.

use std::sync::Arc;
use std::time::Duration;

use super::arrive::Arrival;
use super::handle::Store;
use super::look::{Missing, Sight, is_exact};
use super::question::Retry;
use crate::channel::{ChannelState, Log, Pinned, ReadState, View};
use crate::types::{ChannelName, Cursor, Epoch, JournalError, Limit, Message, Position, Seq, Timestamp};

/// How long a shared journal may take to look whether there is more. Where it takes longer it says that it is away.
pub(super) const LOOK: Duration = Duration::from_secs(3);

/// Identifies one message of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Locator {
    /// By the position after it.
    Cursor(Cursor),
    /// By its number, in whatever incarnation the channel is.
    Seq(Seq),
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// The message, the position after it, and until when it is retained by age; `None` where age is no bound.
    Message(Arc<Message>, Cursor, Option<Timestamp>),
    /// It existed and is no longer retained, or is damaged.
    Gone,
    /// It never existed.
    Never,
}

impl Store {
    /// Settles what a position means now, so that waiting does not change it.
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    pub async fn pin(
        &self,
        now: Timestamp,
        channel: &ChannelName,
        position: Position,
    ) -> Result<Pinned, JournalError> {
        if let Some(journal) = self.shared() {
            return self.pin_shared(journal, now, channel, position).await;
        }
        Ok(match self.find(now, channel).await? {
            Some(channel) => Pinned::of(position, channel.state.lock().log_at(now)),
            None => Pinned::of(position, None),
        })
    }

    /// A reader's state, without the messages.
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    pub async fn read_state(
        &self,
        now: Timestamp,
        channel: &ChannelName,
        pinned: &Pinned,
    ) -> Result<ReadState, JournalError> {
        Ok(self.see(now, channel, pinned, None, Sight::Reader).await?.read_state)
    }

    /// The messages after a position, within `limit`. All but the first reader that ask for the same position up to the
    /// newest message get the same batch. Waits for as long as the journal needs to read what is not in memory. A
    /// damaged message ends the batch before it; the next batch begins after it.
    ///
    /// # Errors
    /// When the journal never will: what it holds of the channel itself is damaged, or it is gone for good. Never
    /// without an archive.
    pub async fn read(
        &self,
        now: Timestamp,
        channel: &ChannelName,
        pinned: &Pinned,
        limit: Limit,
    ) -> Result<View, JournalError> {
        self.see(now, channel, pinned, Some(limit), Sight::Reader).await
    }

    /// The same without waiting; `None` if [`read`](Self::read) has to fetch something first. For callers that are
    /// polled and cannot keep a future for each look.
    #[must_use]
    pub fn read_resident(
        &self,
        now: Timestamp,
        channel: &ChannelName,
        pinned: &Pinned,
        limit: Limit,
    ) -> Option<View> {
        self.look_resident(now, channel, |_| *pinned, Some(limit)).map(|(_, view)| view)
    }

    /// A view and the messages behind it, within `limit`, as one view. If a damaged message ended the first, its batch is
    /// not contiguous. `None` if the channel has begun anew since.
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    pub async fn read_on(
        &self,
        now: Timestamp,
        channel: &ChannelName,
        view: View,
        limit: Limit,
    ) -> Result<Option<View>, JournalError> {
        let behind = self.read(now, channel, &Pinned::after(view.next), limit).await?;
        Ok(view.joined(behind, self.memory()))
    }

    /// [`read_state`](Self::read_state) without waiting; `None` if something has to be fetched first.
    #[must_use]
    pub fn state_resident(
        &self,
        now: Timestamp,
        channel: &ChannelName,
        pinned: &Pinned,
    ) -> Option<ReadState> {
        self.look_resident(now, channel, |_| *pinned, None).map(|(_, view)| view.read_state)
    }

    /// [Settles](Self::pin) a position and reads after it in one look; `None` if something has to be fetched first, or
    /// a shared journal has to be asked whether there is more.
    #[must_use]
    pub fn open_resident(
        &self,
        now: Timestamp,
        channel: &ChannelName,
        position: Position,
        limit: Limit,
    ) -> Option<(Pinned, View)> {
        if self.shared().is_some() {
            return None;
        }
        self.look_resident(now, channel, |log| Pinned::of(position, log), Some(limit))
    }

    /// The same for a reader that waits up to `wait` where there is nothing to read. On a shared journal, one that has all
    /// that is known here need not wait for the journal before it waits for messages: the journal looks whether there is
    /// more, and what it finds wakes the reader. A shorter wait might end before that.
    #[must_use]
    pub fn open_to_wait(
        &self,
        now: Timestamp,
        channel: &ChannelName,
        position: Position,
        limit: Limit,
        wait: Duration,
    ) -> Option<(Pinned, View)> {
        let Some(journal) = self.shared() else { return self.open_resident(now, channel, position, limit) };
        if wait < LOOK || !matches!(position, Position::After(_)) {
            return None;
        }
        let settle = |log: Option<&Log>| Pinned::of(position, log);
        let (pinned, view) = self.look_resident(now, channel, settle, None)?;
        let state = &view.read_state;
        if state.has_messages() || view.is_closed() || state.missed() != Some(0) {
            return None;
        }
        journal.refresh(channel);
        Some((pinned, view))
    }

    /// [Resolves](Self::pin) a position and its [state](Self::read_state) in one look; `None` as for
    /// [`open_resident`](Self::open_resident).
    #[must_use]
    pub fn read_state_resident(
        &self,
        now: Timestamp,
        channel: &ChannelName,
        position: Position,
    ) -> Option<(Pinned, ReadState)> {
        if self.shared().is_some() {
            return None;
        }
        let settle = |log: Option<&Log>| Pinned::of(position, log);
        let (pinned, view) = self.look_resident(now, channel, settle, None)?;
        Some((pinned, view.read_state))
    }

    fn look_resident(
        &self,
        now: Timestamp,
        channel: &ChannelName,
        settle: impl Fn(Option<&Log>) -> Pinned,
        limit: Option<Limit>,
    ) -> Option<(Pinned, View)> {
        match self.look(now, channel, &settle, limit, Sight::Reader) {
            Some(seen) => seen.ok(),
            None if self.archive().is_none() => {
                let pinned = settle(None);
                Some((pinned, View::empty(&pinned)))
            }
            None => None,
        }
    }

    /// A single message.
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    pub async fn message(
        &self,
        now: Timestamp,
        channel: &ChannelName,
        locator: Locator,
    ) -> Result<Found, JournalError> {
        let Some(journal) = self.shared() else { return self.find_message(now, channel, locator).await };
        let mut retry = Retry::default();
        loop {
            retry.begin(journal);
            let arrival = self.arrive(journal, now, channel).await?;
            let found = self.find_message(now, channel, locator).await?;
            match arrival {
                // It may exist where the journal is.
                Arrival::Uncertain(error) if found == Found::Never => retry.after(error).await?,
                Arrival::Uncertain(_) | Arrival::Current => return Ok(found),
            }
        }
    }

    async fn find_message(
        &self,
        now: Timestamp,
        channel: &ChannelName,
        locator: Locator,
    ) -> Result<Found, JournalError> {
        let (Locator::Cursor(Cursor { seq, .. }) | Locator::Seq(seq)) = locator;
        let mut retry = Retry::default();
        loop {
            let find = |state: &mut ChannelState, cutoff| {
                state.use_life(now);
                let Some(log) = state.visible_log() else { return Ok(Found::Never) };
                let is_other = matches!(locator, Locator::Cursor(cursor) if cursor.epoch != log.epoch());
                if is_other || seq == Seq::ZERO || seq > log.newest() {
                    return Ok(Found::Never);
                }
                is_exact(log, cutoff)?;
                match log.get(seq) {
                    Some(message) => Ok(found(message, log.epoch(), state.age(self.retention()))),
                    None if log.first_after(seq.previous()) > seq => Ok(Found::Gone),
                    None => {
                        let before = Cursor { epoch: log.epoch(), seq: seq.previous() };
                        let read_state = ReadState::of(log, &Pinned::after(before));
                        Err(Box::new(Missing::messages(channel, read_state, Limit::messages(1))))
                    }
                }
            };
            match self.with(now, channel, find) {
                Some(Ok(found)) => return Ok(found),
                Some(Err(missing)) => {
                    let nowhere = &mut Pinned::after(Cursor::ZERO);
                    let fetched = self.fetch(now, channel, *missing, nowhere, &mut retry).await?;
                    if let Some((batch, _)) = fetched {
                        let age = self.residents().get(channel).map_or_else(
                            || self.retention().age(),
                            |channel| channel.state.lock().age(self.retention()),
                        );
                        return Ok(found(batch.newest(), batch.end().epoch, age));
                    }
                }
                None if self.find(now, channel).await?.is_none() => return Ok(Found::Never),
                None => {}
            }
        }
    }

    /// Looks until everything missing has been fetched.
    pub(super) async fn see(
        &self,
        now: Timestamp,
        channel: &ChannelName,
        pinned: &Pinned,
        limit: Option<Limit>,
        sight: Sight,
    ) -> Result<View, JournalError> {
        let mut pinned = *pinned;
        let mut retry = Retry::default();
        loop {
            match self.look(now, channel, |_| pinned, limit, sight) {
                Some(Ok((_, view))) => return Ok(view),
                None => {
                    if self.find(now, channel).await?.is_none() {
                        return Ok(View::empty(&pinned));
                    }
                }
                Some(Err(missing)) => {
                    let fetched = self.fetch(now, channel, *missing, &mut pinned, &mut retry).await?;
                    if let Some((batch, read_state)) = fetched {
                        let next = batch.end();
                        return Ok(View { read_state, batch: Some(batch), next });
                    }
                }
            }
        }
    }
}

/// A message that is retained for `age` from when it was taken.
fn found(message: &Arc<Message>, epoch: Epoch, age: Option<Duration>) -> Found {
    let until = age.map(|age| message.at.after(age));
    Found::Message(message.clone(), Cursor { epoch, seq: message.seq }, until)
}
