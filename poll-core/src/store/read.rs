//! Reading: what a channel gives a position at one instant.

use std::sync::Arc;

use super::Store;
use super::channel::State;
use super::cold::Lack;
use super::resident::Patience;
use crate::batch::Batch;
use crate::log::{Limit, Log};
use crate::memory::Memory;
use crate::position::{Continuity, Pinned, Position};
use crate::types::{ChannelName, Cursor, Epoch, JournalError, Message, Seq, Timestamp};

/// Where a reader stands in a channel at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The channel's life; [`Epoch::ZERO`] before it is born.
    pub epoch: Epoch,
    /// The oldest retained message's number, or the next one's where nothing is retained.
    pub oldest: Seq,
    /// The newest message's number.
    pub newest: Seq,
    /// When the newest message was taken; [`Timestamp::ZERO`] before the first.
    pub newest_at: Timestamp,
    /// The number the reader stands after.
    pub position: Seq,
    /// The first message behind the position that can be given, or the next one's number where there is none. What
    /// lies between them is gone or damaged.
    pub first: Seq,
    /// Whether the reader's place was found.
    pub continuity: Continuity,
    /// Whether the channel has ended, whatever of it is still to be read.
    pub ended: bool,
}

/// What a channel gives a position.
#[derive(Debug, Clone)]
pub struct View {
    /// Where the reader stood.
    pub standing: Standing,
    /// The messages after it, if there are any.
    pub batch: Option<Arc<Batch>>,
    /// Where to go on.
    pub next: Cursor,
}

/// Names one message of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Locator {
    /// By the position after it.
    Cursor(Cursor),
    /// By its number, in whatever life the channel is in.
    Seq(Seq),
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Here it is; by age it is retained until then.
    Message(Arc<Message>, Cursor, Option<Timestamp>),
    /// It was there and is no longer retained, or damaged.
    Gone,
    /// It never was.
    Never,
}

impl Standing {
    /// Before a channel's first message.
    pub const UNBORN: Self = Self {
        epoch: Epoch::ZERO,
        oldest: Seq::new(1),
        newest: Seq::ZERO,
        newest_at: Timestamp::ZERO,
        position: Seq::ZERO,
        first: Seq::new(1),
        continuity: Continuity::Kept,
        ended: false,
    };

    /// Where a reader stands by its own word, while nothing can be known of the channel; `None` where that is no position
    /// by number.
    #[must_use]
    pub fn unread(pinned: &Pinned) -> Option<Self> {
        let Cursor { epoch, seq } = pinned.cursor()?;
        let (next, continuity) = (seq.next(), pinned.continuity);
        Some(Self {
            epoch,
            oldest: next,
            newest: seq,
            position: seq,
            first: next,
            continuity,
            ..Self::UNBORN
        })
    }

    fn of(log: &Log, pinned: &Pinned) -> Self {
        let (position, continuity) = pinned.resolve(log);
        let (epoch, oldest, newest) = (log.epoch(), log.oldest(), log.newest());
        let (newest_at, first) = (log.newest_at(), log.first_after(position));
        Self { epoch, oldest, newest, newest_at, position, first, continuity, ended: log.is_ended() }
    }

    /// How many messages were evicted or damaged before the reader came for them; `None` where its place is unknown.
    #[must_use]
    pub fn missed(&self) -> Option<u64> {
        let missed = self.first.previous().get().saturating_sub(self.position.get());
        (self.continuity == Continuity::Kept).then_some(missed)
    }

    /// Whether there is something after the position.
    #[must_use]
    pub fn has_messages(&self) -> bool {
        self.first <= self.newest
    }

    /// The position itself, moved past what is gone and damaged.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        Cursor { epoch: self.epoch, seq: self.position.max(self.first.previous()) }
    }
}

impl View {
    /// Whether the reader has everything there will ever be, once it has this.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.standing.ended && self.next.seq >= self.standing.newest
    }
}

impl Store {
    /// Settles what a position means now, so that waiting does not change it.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn pin(
        &self,
        now: Timestamp,
        channel: &ChannelName,
        position: Position,
    ) -> Result<Pinned, JournalError> {
        Ok(match self.find(now, channel).await? {
            Some(channel) => Pinned::of(position, channel.state.lock().born()),
            None => Pinned::of(position, None),
        })
    }

    /// Where a reader stands, without what it would be given.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn standing(
        &self,
        now: Timestamp,
        channel: &ChannelName,
        pinned: &Pinned,
    ) -> Result<Standing, JournalError> {
        Ok(self.see(now, channel, pinned, None).await?.standing)
    }

    /// The messages after a position, within `limit`. All but the first who ask for the same position up to the newest
    /// message get the same batch. Waits until the journal can give what is not in memory, however long that takes; a
    /// message that is damaged ends the batch in front of it, and the next one begins behind it.
    ///
    /// # Errors
    /// When the journal never will: what it holds of the channel itself is damaged, or it is gone for good. Not where it
    /// keeps everything in memory.
    pub async fn read(
        &self,
        now: Timestamp,
        channel: &ChannelName,
        pinned: &Pinned,
        limit: Limit,
    ) -> Result<View, JournalError> {
        self.see(now, channel, pinned, Some(limit)).await
    }

    /// The same at once, where everything is in memory; `None` where [`read`](Self::read) has to fetch
    /// something first. For whoever is polled and cannot keep a future for each look.
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

    /// [Settles](Self::pin) a position and reads after it, in one look, where everything is in memory.
    #[must_use]
    pub fn open_resident(
        &self,
        now: Timestamp,
        channel: &ChannelName,
        position: Position,
        limit: Limit,
    ) -> Option<(Pinned, View)> {
        self.look_resident(now, channel, |log| Pinned::of(position, log), Some(limit))
    }

    /// [Settles](Self::pin) a position and tells where it [stands](Self::standing), in one look, where that is in
    /// memory.
    #[must_use]
    pub fn standing_resident(
        &self,
        now: Timestamp,
        channel: &ChannelName,
        position: Position,
    ) -> Option<(Pinned, Standing)> {
        let settle = |log: Option<&Log>| Pinned::of(position, log);
        let (pinned, view) = self.look_resident(now, channel, settle, None)?;
        Some((pinned, view.standing))
    }

    fn look_resident(
        &self,
        now: Timestamp,
        channel: &ChannelName,
        settle: impl Fn(Option<&Log>) -> Pinned,
        limit: Option<Limit>,
    ) -> Option<(Pinned, View)> {
        match self.look(now, channel, &settle, limit) {
            Some(seen) => seen.ok(),
            None if self.0.journal.archive().is_none() => {
                let pinned = settle(None);
                Some((pinned, unborn(&pinned)))
            }
            None => None,
        }
    }

    /// One message.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn message(
        &self,
        now: Timestamp,
        channel: &ChannelName,
        locator: Locator,
    ) -> Result<Found, JournalError> {
        let (Locator::Cursor(Cursor { seq, .. }) | Locator::Seq(seq)) = locator;
        let mut patience = Patience::default();
        loop {
            let find = |state: &mut State, cutoff| {
                let Some(log) = state.born() else { return Ok(Found::Never) };
                let strange = matches!(locator, Locator::Cursor(cursor) if cursor.epoch != log.epoch());
                if strange || seq == Seq::ZERO || seq > log.newest() {
                    return Ok(Found::Never);
                }
                is_exact(log, cutoff)?;
                match log.get(seq) {
                    Some(message) => Ok(self.found(message, log.epoch())),
                    None if log.first_after(seq.previous()) > seq => Ok(Found::Gone),
                    None => {
                        let before = Cursor { epoch: log.epoch(), seq: seq.previous() };
                        let standing = Standing::of(log, &Pinned::after(before));
                        Err(Box::new(Lack::messages(channel, standing, Limit::messages(1))))
                    }
                }
            };
            match self.with(now, channel, find) {
                Some(Ok(found)) => return Ok(found),
                Some(Err(lack)) => {
                    let nowhere = &mut Pinned::after(Cursor::ZERO);
                    let fetched = self.fetch(channel, *lack, nowhere, &mut patience).await?;
                    if let Some((batch, _)) = fetched {
                        return Ok(self.found(batch.newest(), batch.end().epoch));
                    }
                }
                None if self.find(now, channel).await?.is_none() => return Ok(Found::Never),
                None => {}
            }
        }
    }

    fn found(&self, message: &Arc<Message>, epoch: Epoch) -> Found {
        let until = self.0.retention.age().map(|age| message.at.after(age));
        Found::Message(message.clone(), Cursor { epoch, seq: message.seq }, until)
    }

    /// Looks until everything that is wanted has been fetched.
    async fn see(
        &self,
        now: Timestamp,
        channel: &ChannelName,
        pinned: &Pinned,
        limit: Option<Limit>,
    ) -> Result<View, JournalError> {
        let mut pinned = *pinned;
        let mut patience = Patience::default();
        loop {
            match self.look(now, channel, |_| pinned, limit) {
                Some(Ok((_, view))) => return Ok(view),
                None => {
                    if self.find(now, channel).await?.is_none() {
                        return Ok(unborn(&pinned));
                    }
                }
                Some(Err(lack)) => {
                    let fetched = self.fetch(channel, *lack, &mut pinned, &mut patience).await?;
                    if let Some((batch, standing)) = fetched {
                        let next = batch.end();
                        return Ok(View { standing, batch: Some(batch), next });
                    }
                }
            }
        }
    }

    /// Looks once, at what is in memory, from where `settle` says; `None` where the channel is not.
    fn look(
        &self,
        now: Timestamp,
        channel: &ChannelName,
        settle: impl FnOnce(Option<&Log>) -> Pinned,
        limit: Option<Limit>,
    ) -> Option<Result<(Pinned, View), Box<Lack>>> {
        let mut made = None;
        let limit = limit.map(|limit| limit.within(&self.0.memory));
        let view = |state: &mut State, cutoff| {
            let pinned = settle(state.born());
            let Some(log) = state.born() else { return Ok((pinned, unborn(&pinned))) };
            is_exact(log, cutoff)?;
            if let Some(landmark) = pinned.needs(log) {
                return Err(Box::new(Lack::Place(log.epoch(), landmark)));
            }
            let standing = Standing::of(log, &pinned);
            let Some(limit) = limit.filter(|_| standing.has_messages()) else {
                return Ok((pinned, View { standing, batch: None, next: standing.cursor() }));
            };
            if standing.cursor().seq.next() < log.tail() {
                return Err(Box::new(Lack::messages(channel, standing, limit)));
            }
            let (batch, new) = batch(state, &standing, limit, &self.0.memory);
            made = new.then(|| batch.clone());
            let next = batch.end();
            Ok((pinned, View { standing, batch: Some(batch), next }))
        };
        let seen = self.with(now, channel, view);
        if let Some(batch) = made {
            let dropped = self.0.recent.lock().hold(batch);
            drop(dropped);
        }
        seen
    }

    /// Runs `look` on a channel that has dropped what is too old, if there is such a channel in memory; it is told
    /// since when what was taken is not.
    fn with<T>(
        &self,
        now: Timestamp,
        channel: &ChannelName,
        look: impl FnOnce(&mut State, Timestamp) -> T,
    ) -> Option<T> {
        let channel = self.0.directory.get(channel)?;
        let cutoff = self.0.retention.cutoff(now);
        let mut state = channel.state.lock();
        state.log.fetch();
        state.used = state.used.max(now);
        let freed = state.expire(cutoff, &self.0.memory);
        let seen = look(&mut state, cutoff);
        drop(state);
        self.0.lighten(freed);
        Some(seen)
    }
}

/// Whether the log knows its oldest retained message, where none is that was taken before `cutoff`; if not, what it
/// lacks.
fn is_exact(log: &Log, cutoff: Timestamp) -> Result<(), Box<Lack>> {
    if log.is_stale(cutoff) { Err(Box::new(Lack::oldest(log, cutoff))) } else { Ok(()) }
}

fn unborn(pinned: &Pinned) -> View {
    let standing = Standing { continuity: pinned.continuity, ..Standing::UNBORN };
    View { standing, batch: None, next: standing.cursor() }
}

/// The batch after a position, and whether it is a tail that more than one ask for, and new.
fn batch(state: &mut State, standing: &Standing, limit: Limit, memory: &Memory) -> (Arc<Batch>, bool) {
    let after = standing.cursor().seq;
    let messages = state.log.after(after, limit);
    let end = Seq::new(after.get() + messages.len() as u64);
    if let Some(batch) = state.tails.get(after, end) {
        return (batch, false);
    }
    let batch = Arc::new(Batch::new(standing.epoch, messages.cloned().collect(), memory));
    let shared = end == standing.newest && state.tails.note(after, &batch);
    (batch, shared)
}
