//! One look at memory: what a reader gets, or what has to be fetched first.

use std::sync::Arc;

use super::handle::Store;
use crate::channel::{Batch, ChannelState, Log, Pinned, ReadState, View};
use crate::memory::Memory;
use crate::types::{ChannelName, Cursor, Epoch, Landmark, Limit, Seq, Stretch, Timestamp};

/// What a look is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sight {
    /// A reader: a channel that was deleted or whose time is over is not there.
    Reader,
    /// A fork, of what it shares with the channel.
    Inherited,
}

/// What has to be fetched before a look gets further.
pub(super) enum Missing {
    /// Which message is the oldest taken at or after a time.
    Oldest(Epoch, Timestamp),
    /// The position of a landmark.
    Place(Epoch, Landmark),
    /// Messages, for a reader at this position.
    Messages(Stretch, ReadState),
}

impl Sight {
    fn of(self, state: &ChannelState) -> Option<&Log> {
        match self {
            Self::Reader => state.visible_log(),
            Self::Inherited => Some(&state.log),
        }
    }
}

impl Missing {
    pub(super) fn epoch(&self) -> Epoch {
        match self {
            Self::Oldest(epoch, _) | Self::Place(epoch, _) => *epoch,
            Self::Messages(stretch, _) => stretch.epoch,
        }
    }

    pub(super) fn messages(channel: &ChannelName, read_state: ReadState, limit: Limit) -> Self {
        let Cursor { epoch, seq: after } = read_state.cursor();
        Self::Messages(Stretch { channel: channel.clone(), epoch, after, limit }, read_state)
    }
}

impl Store {
    /// Looks at memory once, from the position that `settle` returns; `None` if the channel is not in memory.
    pub(super) fn look(
        &self,
        now: Timestamp,
        channel: &ChannelName,
        settle: impl FnOnce(Option<&Log>) -> Pinned,
        limit: Option<Limit>,
        sight: Sight,
    ) -> Option<Result<(Pinned, View), Box<Missing>>> {
        let mut made = None;
        let limit = limit.map(|limit| limit.within(self.memory()));
        let view = |state: &mut ChannelState, cutoff| {
            if sight == Sight::Reader {
                state.use_life(now);
            }
            let pinned = settle(sight.of(state));
            let Some(log) = sight.of(state) else { return Ok((pinned, View::empty(&pinned))) };
            is_exact(log, cutoff)?;
            if let Some(landmark) = pinned.needs(log) {
                return Err(Box::new(Missing::Place(log.epoch(), landmark)));
            }
            let read_state = ReadState::of(log, &pinned);
            let Some(limit) = limit.filter(|_| read_state.has_messages()) else {
                return Ok((pinned, View { read_state, batch: None, next: read_state.cursor() }));
            };
            if read_state.cursor().seq.next() < log.tail() {
                return Err(Box::new(Missing::messages(channel, read_state, limit)));
            }
            let (batch, new) = batch(state, &read_state, limit, self.memory());
            made = new.then(|| batch.clone());
            let next = batch.end();
            Ok((pinned, View { read_state, batch: Some(batch), next }))
        };
        let seen = self.with(now, channel, view);
        if let Some(batch) = made {
            let dropped = self.0.recent.lock().hold(batch);
            drop(dropped);
        }
        seen
    }

    /// Runs `look` on a channel from which everything too old was dropped, with the time that makes messages too old;
    /// `None` if the channel is not in memory.
    pub(super) fn with<T>(
        &self,
        now: Timestamp,
        channel: &ChannelName,
        look: impl FnOnce(&mut ChannelState, Timestamp) -> T,
    ) -> Option<T> {
        let channel = self.residents().get(channel)?;
        let mut state = channel.state.lock();
        state.used = state.used.max(now);
        let cutoff = state.cutoff(now, self.retention());
        let freed = state.expire(cutoff, self.memory());
        let seen = look(&mut state, cutoff);
        drop(state);
        self.residents().release_weight(freed);
        Some(seen)
    }
}

/// Checks that the log knows its oldest retained message, given that messages from before `cutoff` are not retained.
pub(super) fn is_exact(log: &Log, cutoff: Timestamp) -> Result<(), Box<Missing>> {
    if log.is_stale(cutoff) { Err(Box::new(Missing::Oldest(log.epoch(), cutoff))) } else { Ok(()) }
}

/// The batch after a position, and whether it is new and worth sharing: up to the newest message, and asked for before.
fn batch(
    state: &mut ChannelState,
    read_state: &ReadState,
    limit: Limit,
    memory: &Memory,
) -> (Arc<Batch>, bool) {
    let after = read_state.cursor().seq;
    let messages = state.log.after(after, limit);
    let end = Seq::new(after.get() + messages.len() as u64);
    if let Some(batch) = state.tails.get(after, end) {
        return (batch, false);
    }
    let batch = Arc::new(Batch::new(read_state.epoch, messages.cloned().collect(), memory));
    let shared = end == read_state.newest && state.tails.note(after, &batch);
    (batch, shared)
}
