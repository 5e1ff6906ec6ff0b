//! Which channels there are: names to channels, in shards.
//!
//! Knows how many there may be, and how to pick one at random for whoever looks for room. Knows nothing of
//! what is in a channel.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::channel::Channel;
use crate::sync::Mutex;
use crate::types::{ChannelName, NameIndexMap};

const SHARDS: usize = 64;

pub(crate) struct Directory {
    /// Held for one look-up, insertion or removal. Taken before a channel's lock, never after.
    shards: Box<[Mutex<Shard>]>,
    len: AtomicU64,
    /// What the channels weigh beside their logs, in bytes.
    weight: AtomicU64,
    /// Held while a page is taken, so before the lock of a shard.
    next_page: Mutex<NextPage>,
}

/// Where the next page begins.
#[derive(Debug, Default)]
struct NextPage {
    shard: usize,
    index: usize,
}

type Shard = NameIndexMap<Arc<Channel>>;

/// There are as many channels as there may be.
pub(crate) struct Full;

impl Default for Directory {
    fn default() -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::new(Shard::default())).collect();
        Self { shards, len: AtomicU64::new(0), weight: AtomicU64::new(0), next_page: Mutex::default() }
    }
}

impl Directory {
    pub(crate) fn len(&self) -> u64 {
        self.len.load(Ordering::Relaxed)
    }

    /// What the channels weigh beside their logs, in bytes.
    pub(crate) fn weight(&self) -> u64 {
        self.weight.load(Ordering::Relaxed)
    }

    pub(crate) fn get(&self, name: &ChannelName) -> Option<Arc<Channel>> {
        self.shard(name).lock().get(name).cloned()
    }

    /// The channel of a name, made if there is none, there are fewer than `most`, and they weigh less than `most_bytes`.
    pub(crate) fn get_or_make(
        &self,
        name: &ChannelName,
        most: u64,
        most_bytes: u64,
    ) -> Result<Arc<Channel>, Full> {
        let mut shard = self.shard(name).lock();
        if let Some(channel) = shard.get(name) {
            return Ok(channel.clone());
        }
        let weight = Channel::weight_of(name);
        if self.weight().saturating_add(weight) > most_bytes {
            return Err(Full);
        }
        let room = |len| (len < most).then_some(len + 1);
        self.len.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).map_err(|_| Full)?;
        self.weight.fetch_add(weight, Ordering::Relaxed);
        let channel = Arc::new(Channel::new(name.clone()));
        shard.insert(name.clone(), channel.clone());
        Ok(channel)
    }

    /// Puts a channel in that was loaded. There is one load of a name at a time.
    pub(crate) fn install(&self, channel: Channel) -> Arc<Channel> {
        let channel = Arc::new(channel);
        let other = self.shard(channel.name()).lock().insert(channel.name().clone(), channel.clone());
        debug_assert!(other.is_none(), "a channel is in memory twice");
        self.len.fetch_add(1, Ordering::Relaxed);
        self.weight.fetch_add(Channel::weight_of(channel.name()), Ordering::Relaxed);
        channel
    }

    /// Takes a channel out, if it agrees under its own lock.
    pub(crate) fn remove(&self, channel: &Arc<Channel>, agrees: impl FnOnce(&Channel) -> bool) -> bool {
        let mut shard = self.shard(channel.name()).lock();
        let held = shard.get(channel.name()).is_some_and(|other| Arc::ptr_eq(other, channel));
        if !held || !agrees(channel) {
            return false;
        }
        shard.swap_remove(channel.name());
        self.len.fetch_sub(1, Ordering::Relaxed);
        self.weight.fetch_sub(Channel::weight_of(channel.name()), Ordering::Relaxed);
        true
    }

    /// Up to `count` different channels from around a place picked by `random`; all there are, if not more.
    pub(crate) fn sample(&self, random: u64, count: usize) -> Vec<Arc<Channel>> {
        let index = usize::try_from(random >> 32).unwrap_or_default();
        let start = usize::try_from(random & 0xffff).unwrap_or_default();
        let mut sample = Vec::with_capacity(count);
        // One of each shard, for neighbours in a shard are of about the same age; where shards hold few, again.
        for round in 0..count {
            let before = sample.len();
            for step in 0..SHARDS {
                let shard = self.shards[(start + step) % SHARDS].lock();
                if round < shard.len() {
                    let picked = shard.get_index(index.wrapping_add(round) % shard.len());
                    sample.extend(picked.map(|(_, channel)| channel.clone()));
                }
                if sample.len() == count {
                    return sample;
                }
            }
            if sample.len() == before {
                break;
            }
        }
        sample
    }

    /// The next channels, at most `count` of them. Called again and again it comes round to all; past the last ones it
    /// gives none, and then begins anew.
    pub(crate) fn next_page(&self, count: usize) -> Vec<Arc<Channel>> {
        let mut next = self.next_page.lock();
        let Some(shard) = self.shards.get(next.shard) else {
            *next = NextPage::default();
            return Vec::new();
        };
        let shard = shard.lock();
        let end = shard.len().min(next.index.saturating_add(count));
        let page = (next.index..end).filter_map(|index| Some(shard.get_index(index)?.1.clone())).collect();
        *next = if end < shard.len() {
            NextPage { index: end, ..*next }
        } else {
            NextPage { shard: next.shard + 1, index: 0 }
        };
        page
    }

    fn shard(&self, name: &ChannelName) -> &Mutex<Shard> {
        &self.shards[name.shard(SHARDS)]
    }
}
