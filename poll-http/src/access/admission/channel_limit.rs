//! The limit on waiting requests in each channel, where a request may wait in one channel or in all of a list.
//!
//! A list is counted in one number, to which each of its channels refers: a request for ten channels costs one addition, and
//! each channel's sum stays exact.

use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use poll_core::environment::{KeyedMap, ProcessKey};
use poll_core::{ChannelList, ChannelName};
use slab::Slab;

/// To avoid contention between workers.
const SHARDS: usize = 16;

#[derive(Debug, Default)]
pub(super) struct ChannelLimit {
    /// Locked for one look-up.
    shards: [Mutex<KeyedMap<ChannelName, Count>>; SHARDS],
}

/// How a request waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WaitsBy {
    /// A poll that waits, or whose response is being written.
    Poll,
    Stream,
    Push,
}

/// How many requests wait, by how they do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) polls: usize,
    pub(crate) streams: usize,
    pub(crate) pushes: usize,
}

/// Requests of a list, by how they wait.
type ListCounts = [AtomicUsize; 3];

/// How many requests wait in a channel. A channel without waiters that no list refers to takes no memory.
#[derive(Debug, Default)]
struct Count {
    /// Those that wait in this channel only, by how they do.
    alone: [u32; 3],
    /// Those that wait in the list at index 0. Most channels are in none or in one, and this spares them a table.
    first: Option<Arc<ListCounts>>,
    /// Those in the lists from index 1 on.
    others: Option<Box<Slab<Arc<ListCounts>>>>,
}

/// Who waits in a list.
#[derive(Debug)]
pub(crate) struct ListCount {
    limit: Arc<ChannelLimit>,
    list: Arc<ChannelList>,
    count: Arc<ListCounts>,
    /// Its index in each channel's count.
    indices: Box<[u32]>,
}

impl ChannelLimit {
    /// Counts one that waits in this channel only.
    pub(super) fn add(&self, by: WaitsBy, channel: &ChannelName) {
        let mut shard = self.shard(channel);
        match shard.get_mut(channel) {
            Some(count) => count.alone[by as usize] += 1,
            None => {
                let mut count = Count::default();
                count.alone[by as usize] = 1;
                shard.insert(channel.clone(), count);
            }
        }
    }

    /// Takes it back.
    pub(super) fn remove(&self, by: WaitsBy, channel: &ChannelName) {
        self.change(channel, |count| count.alone[by as usize] -= 1);
    }

    /// How many wait in a channel.
    pub(super) fn waiting(&self, channel: &ChannelName) -> Waiting {
        self.shard(channel).get(channel).map_or_else(Waiting::default, |count| {
            let by = |by| count.by(by);
            Waiting { polls: by(WaitsBy::Poll), streams: by(WaitsBy::Stream), pushes: by(WaitsBy::Push) }
        })
    }

    /// Whether no more than `most` wait in a channel.
    pub(super) fn allows(&self, channel: &ChannelName, most: usize) -> bool {
        self.shard(channel).get(channel).is_none_or(|count| count.sum() <= most)
    }

    /// A count of those that wait in a list.
    pub(super) fn list(self: &Arc<Self>, list: &Arc<ChannelList>) -> ListCount {
        let count = Arc::new(ListCounts::default());
        let refer = |channel: &ChannelName| {
            let mut shard = self.shard(channel);
            shard.entry(channel.clone()).or_default().refer(count.clone())
        };
        let indices = list.names().iter().map(refer).collect();
        ListCount { limit: self.clone(), list: list.clone(), count, indices }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.shards.iter().all(|shard| shard.lock().unwrap().is_empty())
    }

    /// Changes a count that is there.
    fn change(&self, channel: &ChannelName, change: impl FnOnce(&mut Count)) {
        let mut shard = self.shard(channel);
        let Some(count) = shard.get_mut(channel) else { return };
        change(count);
        if count.alone == [0; 3] && count.first.is_none() && count.others.is_none() {
            shard.remove(channel);
        }
    }

    fn shard(&self, channel: &ChannelName) -> MutexGuard<'_, KeyedMap<ChannelName, Count>> {
        let hash = usize::try_from(ProcessKey.hash_one(channel) >> 32).unwrap_or_default();
        // Nothing in here panics half-way.
        self.shards[hash % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Count {
    fn sum(&self) -> usize {
        [WaitsBy::Poll, WaitsBy::Stream, WaitsBy::Push].map(|by| self.by(by)).iter().sum()
    }

    fn by(&self, by: WaitsBy) -> usize {
        let others = self.others.iter().flat_map(|others| others.iter().map(|(_, list)| list));
        let lists = self.first.iter().chain(others);
        let listed = lists.map(|list| list[by as usize].load(Ordering::SeqCst)).sum::<usize>();
        self.alone[by as usize] as usize + listed
    }

    /// Refers to a list. Returns its index.
    fn refer(&mut self, list: Arc<ListCounts>) -> u32 {
        if self.first.is_none() {
            self.first = Some(list);
            return 0;
        }
        // So many lists fit into no memory.
        u32::try_from(self.others.get_or_insert_default().insert(list) + 1).unwrap_or(u32::MAX)
    }

    fn forget_list(&mut self, index: u32) {
        let Some(index) = index.checked_sub(1) else {
            self.first = None;
            return;
        };
        if let Some(others) = &mut self.others {
            others.try_remove(index as usize);
        }
        self.others.take_if(|others| others.is_empty());
    }
}

impl ListCount {
    pub(super) fn add(&self, by: WaitsBy) {
        self.count[by as usize].fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn remove(&self, by: WaitsBy) {
        self.count[by as usize].fetch_sub(1, Ordering::SeqCst);
    }

    /// Whether no more than `most` wait in any of the channels.
    pub(super) fn allows(&self, most: usize) -> bool {
        self.list.names().iter().all(|channel| self.limit.allows(channel, most))
    }
}

impl Drop for ListCount {
    fn drop(&mut self) {
        for (channel, &index) in self.list.names().iter().zip(&self.indices) {
            self.limit.change(channel, |count| count.forget_list(index));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use poll_core::Memory;

    use crate::access::admission::{Admission, Channels, Counted, Limits};
    use crate::access::client::{Client, Expiry};
    use crate::message::access_log::Logged;

    use super::*;

    /// What the requests of some threads share.
    #[derive(Clone, Debug)]
    struct Shared(Arc<(Arc<ChannelList>, OnceLock<ListCount>)>);

    impl Shared {
        fn of(names: &[&str]) -> Self {
            let names: Vec<_> = names.iter().map(|name| ChannelName::parse(name).unwrap()).collect();
            Self(Arc::new((Arc::new(ChannelList::new(names)), OnceLock::new())))
        }
    }

    impl Channels for Shared {
        fn counted(&self) -> Counted<'_> {
            Counted::InEach(&self.0.0, &self.0.1)
        }
    }

    #[test]
    fn no_channel_is_ever_over_its_limit_whichever_lists_wait_in_it() {
        const MOST: usize = 3;
        const ROUNDS: usize = 2_000;
        let limits = Limits { per_channel: MOST, per_address: 0, ..Limits::default() };
        let admission = Admission::new(limits, Memory::new(0));
        let client = || Client {
            name: None,
            address: [1, 1, 1, 1].into(),
            expiry: Expiry::NEVER,
            logged: Logged::default(),
            record: None,
        };
        // Each channel is in two of the lists, and `a` is waited for alone, too.
        let members = [[0, 1], [1, 2], [2, 0]];
        let names = ["a", "b", "c"];
        let lists = members.map(|members| Shared::of(&members.map(|member| names[member])));
        let alone = ChannelName::parse("a").unwrap();
        let held: [AtomicUsize; 3] = Default::default();
        let hold = |members: &[usize]| {
            for &member in members {
                let count = held[member].fetch_add(1, Ordering::SeqCst) + 1;
                assert!(count <= MOST, "{count} wait in {}", names[member]);
            }
            std::thread::yield_now();
            members.iter().for_each(|&member| _ = held[member].fetch_sub(1, Ordering::SeqCst));
        };
        let admitted = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            // Two threads for each list, and two for the channel alone.
            for thread in 0..8 {
                let (admission, hold, admitted) = (&admission, &hold, &admitted);
                let (list, alone) = (lists.get(thread % 4), &alone);
                scope.spawn(move || {
                    for _ in 0..ROUNDS {
                        let taken = match list {
                            Some(list) => admission.acquire(WaitsBy::Poll, list, &client()),
                            None => admission.acquire(WaitsBy::Poll, alone, &client()),
                        };
                        let Ok(taken) = taken else { continue };
                        admitted.fetch_add(1, Ordering::Relaxed);
                        match list {
                            Some(list) => {
                                hold(&members[thread % 4]);
                                admission.release(WaitsBy::Poll, list, &client(), taken);
                            }
                            None => {
                                hold(&[0]);
                                admission.release(WaitsBy::Poll, alone, &client(), taken);
                            }
                        }
                    }
                });
            }
        });
        assert!(admitted.into_inner() > ROUNDS, "the limit refuses no more than it must");
        // All is free again: exactly as many are admitted as may be, in whatever mixture.
        let names: Vec<_> =
            (0..MOST).map(|_| admission.acquire(WaitsBy::Poll, &lists[0], &client()).unwrap()).collect();
        assert!(
            admission.acquire(WaitsBy::Poll, &lists[2], &client()).is_err()
                && admission.acquire(WaitsBy::Poll, &alone, &client()).is_err()
        );
        names.into_iter().for_each(|names| admission.release(WaitsBy::Poll, &lists[0], &client(), names));
        drop(lists);
        assert!(admission.channels.is_empty());
    }
}
