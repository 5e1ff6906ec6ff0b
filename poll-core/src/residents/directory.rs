//! Which channels are in memory: names to channels, in shards.
//!
//! It limits their number and picks some at random for eviction. It does not know a channel's contents.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::channel::Channel;
use crate::sync::Mutex;
use crate::types::{ChannelName, Epoch, More, NameIndexMap, NamePart, Selection, merge};

const SHARDS: usize = 64;

pub(crate) struct Directory {
    /// Held for one look-up, insertion or removal. Taken before a channel's lock, never after.
    shards: Box<[Mutex<Shard>]>,
    len: AtomicU64,
    /// What the channels weigh beside their logs, in bytes.
    weight: AtomicU64,
    /// Held while a page is taken, so before a shard's lock.
    next_page: Mutex<NextPage>,
}

/// Where the next page begins.
#[derive(Debug, Default)]
struct NextPage {
    shard: usize,
    index: usize,
}

#[derive(Default)]
struct Shard {
    channels: NameIndexMap<Arc<Channel>>,
    /// Those that were made here, which are all where there is no archive, in order.
    names: BTreeSet<ChannelName>,
}

/// There are as many channels as allowed.
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
        self.shard(name).lock().channels.get(name).cloned()
    }

    /// The channel with a name, made if there is none, as long as there are fewer than `most` and they weigh less than
    /// `most_bytes`.
    pub(crate) fn get_or_make(
        &self,
        name: &ChannelName,
        most: u64,
        most_bytes: u64,
        epoch: impl FnOnce() -> Epoch,
    ) -> Result<Arc<Channel>, Full> {
        let mut shard = self.shard(name).lock();
        if let Some(channel) = shard.channels.get(name) {
            return Ok(channel.clone());
        }
        let weight = Channel::weight_of(name);
        if self.weight().saturating_add(weight) > most_bytes {
            return Err(Full);
        }
        let room = |len| (len < most).then_some(len + 1);
        self.len.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).map_err(|_| Full)?;
        self.weight.fetch_add(weight, Ordering::Relaxed);
        let channel = Arc::new(Channel::new(name.clone(), epoch()));
        shard.channels.insert(name.clone(), channel.clone());
        shard.names.insert(name.clone());
        Ok(channel)
    }

    /// Adds a channel that was loaded. A name is loaded by one task at a time.
    pub(crate) fn install(&self, channel: Channel) -> Arc<Channel> {
        let channel = Arc::new(channel);
        let other =
            self.shard(channel.name()).lock().channels.insert(channel.name().clone(), channel.clone());
        debug_assert!(other.is_none(), "a channel is in memory twice");
        self.len.fetch_add(1, Ordering::Relaxed);
        self.weight.fetch_add(Channel::weight_of(channel.name()), Ordering::Relaxed);
        channel
    }

    /// Removes a channel, if `agrees` says so under the channel's lock.
    pub(crate) fn remove(&self, channel: &Arc<Channel>, agrees: impl FnOnce(&Channel) -> bool) -> bool {
        let mut shard = self.shard(channel.name()).lock();
        let held = shard.channels.get(channel.name()).is_some_and(|other| Arc::ptr_eq(other, channel));
        if !held || !agrees(channel) {
            return false;
        }
        shard.channels.swap_remove(channel.name());
        shard.names.remove(channel.name());
        self.len.fetch_sub(1, Ordering::Relaxed);
        self.weight.fetch_sub(Channel::weight_of(channel.name()), Ordering::Relaxed);
        true
    }

    /// Up to `count` different channels, starting at a point picked by `random`; all of them if there are fewer.
    pub(crate) fn sample(&self, random: u64, count: usize) -> Vec<Arc<Channel>> {
        let index = usize::try_from(random >> 32).unwrap_or_default();
        let start = usize::try_from(random & 0xffff).unwrap_or_default();
        let mut sample = Vec::with_capacity(count);
        // One from each shard, because neighbours in a shard are about the same age; again where shards hold few.
        for round in 0..count {
            let before = sample.len();
            for step in 0..SHARDS {
                let shard = &self.shards[(start + step) % SHARDS].lock().channels;
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

    /// The names of all channels.
    pub(crate) fn names(&self) -> Vec<ChannelName> {
        self.shards
            .iter()
            .flat_map(|shard| shard.lock().channels.keys().cloned().collect::<Vec<_>>())
            .collect()
    }

    /// A page of the channels that were made here, and the name after which the next one begins.
    pub(crate) fn list(&self, selection: &Selection) -> (Vec<Arc<Channel>>, Option<ChannelName>) {
        let most = selection.share(SHARDS);
        let part = |shard: &Mutex<Shard>| {
            let Shard { channels, names } = &*shard.lock();
            let mut selected = names
                .range::<ChannelName, _>((selection.start(), Bound::Unbounded))
                .take_while(|name| selection.covers(name.as_str()));
            let names = selected.by_ref().take(most);
            let names = names.filter_map(|name| Some((name.clone(), channels.get(name)?.clone()))).collect();
            NamePart { names, more: if selected.next().is_some() { More::Yes } else { More::No } }
        };
        let (names, next) = merge(self.shards.iter().map(part), selection.limit);
        (names.into_iter().map(|(_, channel)| channel).collect(), next)
    }

    /// The next channels, at most `count`. Repeated calls visit all of them; after the last one it returns none once,
    /// and then starts over.
    pub(crate) fn next_page(&self, count: usize) -> Vec<Arc<Channel>> {
        let mut next = self.next_page.lock();
        let Some(shard) = self.shards.get(next.shard) else {
            *next = NextPage::default();
            return Vec::new();
        };
        let shard = &shard.lock().channels;
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
