//! Reading: what a channel gives a position at one instant.

use std::sync::Arc;

use super::Store;
use super::channel::State;
use crate::batch::Batch;
use crate::channel::ChannelName;
use crate::cursor::{Cursor, Epoch, Seq};
use crate::log::{Limit, Log};
use crate::message::Message;
use crate::position::{Continuity, Pinned, Position};
use crate::time::Timestamp;

/// Where a reader stands in a channel at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The channel's life; [`Epoch::ZERO`] before it is born.
    pub epoch: Epoch,
    /// The oldest retained message's number, or the next one's where nothing is retained.
    pub oldest: Seq,
    /// The newest message's number.
    pub newest: Seq,
    /// The number the reader stands after.
    pub position: Seq,
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
    /// It was there and is no longer retained.
    Gone,
    /// It never was.
    Never,
}

impl Standing {
    const UNBORN: Self = Self {
        epoch: Epoch::ZERO,
        oldest: Seq::new(1),
        newest: Seq::ZERO,
        position: Seq::ZERO,
        continuity: Continuity::Kept,
        ended: false,
    };

    fn of(log: &Log, pinned: &Pinned) -> Self {
        let (position, continuity) = pinned.resolve(log);
        let (epoch, oldest, newest) = (log.epoch(), log.oldest(), log.newest());
        Self { epoch, oldest, newest, position, continuity, ended: log.is_ended() }
    }

    /// How many messages were evicted before the reader came for them; `None` where its place is unknown.
    #[must_use]
    pub fn missed(&self) -> Option<u64> {
        let missed = self.oldest.previous().get().saturating_sub(self.position.get());
        (self.continuity == Continuity::Kept).then_some(missed)
    }

    /// Whether there is something after the position.
    #[must_use]
    pub fn has_messages(&self) -> bool {
        self.oldest <= self.newest && self.position < self.newest
    }

    /// The position itself, moved past what is gone.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        Cursor { epoch: self.epoch, seq: self.position.max(self.oldest.previous()) }
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
    pub async fn pin(&self, _now: Timestamp, channel: &ChannelName, position: Position) -> Pinned {
        match self.0.directory.get(channel) {
            Some(channel) => Pinned::of(position, channel.state.lock().born()),
            None => Pinned::of(position, None),
        }
    }

    /// Where a reader stands, without what it would be given.
    pub async fn standing(&self, now: Timestamp, channel: &ChannelName, pinned: &Pinned) -> Standing {
        let view = |state: &mut State| Some(Standing::of(state.born()?, pinned));
        self.with(now, channel, view).flatten().unwrap_or(unborn(pinned))
    }

    /// The messages after a position, within `limit`. All who ask for the same position up to the newest
    /// message get the same batch.
    pub async fn read(&self, now: Timestamp, channel: &ChannelName, pinned: &Pinned, limit: Limit) -> View {
        match self.read_resident(now, channel, pinned, limit) {
            Some(view) => view,
            None => View { standing: unborn(pinned), batch: None, next: Cursor::ZERO },
        }
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
        let mut made = None;
        let view = self.with(now, channel, |state| {
            let standing = Standing::of(state.born()?, pinned);
            let batch = standing.has_messages().then(|| {
                let (batch, new) = batch(state, &standing, limit);
                made = new.then(|| batch.clone());
                batch
            });
            let next = batch.as_ref().map_or(standing.cursor(), |batch| batch.end());
            Some(View { standing, batch, next })
        });
        if let Some(batch) = made {
            let dropped = self.0.recent.lock().hold(batch);
            drop(dropped);
        }
        Some(view.flatten().unwrap_or_else(|| {
            let standing = unborn(pinned);
            View { standing, batch: None, next: standing.cursor() }
        }))
    }

    /// One message.
    pub async fn message(&self, now: Timestamp, channel: &ChannelName, locator: Locator) -> Found {
        let find = |state: &mut State| {
            let log = state.born()?;
            let (Locator::Cursor(Cursor { seq, .. }) | Locator::Seq(seq)) = locator;
            let strange = matches!(locator, Locator::Cursor(cursor) if cursor.epoch != log.epoch());
            if strange || seq == Seq::ZERO || seq > log.newest() {
                return None;
            }
            let Some(message) = log.get(seq) else { return Some(Found::Gone) };
            let until = self.0.retention.age().map(|age| message.at.after(age));
            Some(Found::Message(message.clone(), Cursor { epoch: log.epoch(), seq }, until))
        };
        self.with(now, channel, find).flatten().unwrap_or(Found::Never)
    }

    /// Runs `look` on a channel that has dropped what is too old, if there is such a channel.
    fn with<T>(
        &self,
        now: Timestamp,
        channel: &ChannelName,
        look: impl FnOnce(&mut State) -> T,
    ) -> Option<T> {
        let channel = self.0.directory.get(channel)?;
        let mut state = channel.state.lock();
        state.used = state.used.max(now);
        let freed = state.expire(now, &self.0.retention);
        let seen = look(&mut state);
        drop(state);
        self.0.lighten(freed);
        Some(seen)
    }
}

fn unborn(pinned: &Pinned) -> Standing {
    Standing { continuity: pinned.continuity, ..Standing::UNBORN }
}

/// The batch after a position, and whether it is a new tail that others will ask for.
fn batch(state: &mut State, standing: &Standing, limit: Limit) -> (Arc<Batch>, bool) {
    let after = standing.cursor().seq;
    let messages = state.log.after(after, limit);
    let end = Seq::new(after.get() + messages.len() as u64);
    if let Some(batch) = state.tails.get(after, end) {
        return (batch, false);
    }
    let batch = Arc::new(Batch::new(standing.epoch, messages.cloned().collect()));
    let tail = end == standing.newest;
    if tail {
        state.tails.put(after, &batch);
    }
    (batch, tail)
}
