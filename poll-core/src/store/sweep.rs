//! Making room: what is too old goes, long-unused channels give when all together hold too much, and empty
//! ones are forgotten when there would be too many.
//!
//! No global order is kept for it. Expiry walks the directory in slices; room is found by sampling, as many
//! caches do, so a publish costs the same with ten channels and with a million.

use std::sync::Arc;

use super::channel::{Channel, Stage};
use super::{Inner, Store};
use crate::types::{ChannelName, Timestamp};

/// How many channels are looked at to find one that was unused for long.
const SAMPLE: usize = 16;

/// How many victims one publish pays for; the next publish goes on.
const VICTIMS: usize = 8;

/// Where the sweep goes on.
#[derive(Debug, Default)]
pub(super) struct Place {
    shard: usize,
    index: usize,
}

impl Store {
    /// Drops what is too old in the next `most` channels or fewer. Called again and again it comes round to
    /// all; reading does the same for the channel that is read.
    pub fn sweep(&self, now: Timestamp, most: usize) {
        if let Some(archive) = self.0.journal.archive() {
            archive.sweep(now);
        }
        let page = {
            let mut place = self.0.sweeper.lock();
            let Some((page, more)) = self.0.directory.page(place.shard, place.index, most) else {
                *place = Place::default();
                return;
            };
            *place = if more {
                Place { shard: place.shard, index: place.index + page.len() }
            } else {
                Place { shard: place.shard + 1, index: 0 }
            };
            page
        };
        let idle = self.0.journal.archive().map(|archive| now.before(archive.tail().idle));
        for channel in page {
            let mut state = channel.state.lock();
            state.unused_since(now);
            let freed = state.expire(self.0.retention.cutoff(now), &self.0.memory);
            state.keys.forget(now, &self.0.retention);
            drop(state);
            self.0.lighten(freed);
            if let Some(idle) = idle {
                self.0.let_go(&channel, now, idle);
            }
        }
    }

    /// Forgets one channel that holds nothing and was unused for longer than anybody is promised anything.
    /// Who still has a cursor of it is told so by a reset.
    pub(super) fn forget_one(&self, now: Timestamp) -> bool {
        let unused = now.before(self.0.retention.idempotency.max(self.0.retention.age));
        let agrees = |channel: &Channel| {
            let mut state = channel.state.lock();
            state.keys.forget(now, &self.0.retention);
            let freed = state.expire(self.0.retention.cutoff(now), &self.0.memory);
            self.0.lighten(freed);
            let agrees = state.is_idle() && state.unused_since(now) < unused;
            if agrees {
                state.stage = Stage::Forgotten;
                // Before the name is free: a life that begins after this must not be forgotten with it.
                self.0.journal.forget(channel.name());
            }
            agrees
        };
        let mut sample = self.0.sample();
        sample.sort_by_key(|(used, _)| *used);
        sample.iter().any(|(_, channel)| self.0.directory.remove(channel, agrees))
    }
}

impl Inner {
    /// Takes from long-unused channels until all together hold no more than they may.
    pub(super) fn make_room(&self, publisher: &ChannelName) {
        for _ in 0..VICTIMS {
            let over = self.over();
            if over == 0 {
                return;
            }
            let mut sample = self.sample();
            // Those that hold nothing are unused the longest, but have nothing to give.
            let gives = |channel: &Channel| channel.state.lock().gives(self.room);
            sample.retain(|(_, channel)| channel.name() != publisher && gives(channel));
            let Some((_, victim)) = sample.into_iter().min_by_key(|(used, _)| *used) else { continue };
            let mut state = victim.state.lock();
            let freed = state.give(self.room, over, 0, &self.memory);
            drop(state);
            self.lighten(freed);
        }
    }

    /// Some channels picked at random, with when each was last used.
    pub(super) fn sample(&self) -> Vec<(Timestamp, Arc<Channel>)> {
        let sample = self.directory.sample(rand::random(), SAMPLE).into_iter();
        sample.map(|channel| (channel.state.lock().used, channel.clone())).collect()
    }
}
