//! The waiters of each channel, and waking them: no lost wake-up, no walk over unrelated waiters.
//!
//! Waiters are grouped in topics, one for each channel, sharded by name; a topic exists while it has waiters.
//! Notifying a channel removes its whole topic and hands each [`Lane`] its share of the waiters. A lane belongs to
//! one worker: where it is driven, the notifier wakes the driver once and the driver wakes its own waiters in slices;
//! where it is not, the notifier wakes them itself.
//!
//! What prevents lost wake-ups: register, then read, then wait. An append is visible before its waiters are notified,
//! so a waiter either reads the message or is registered in time. Checked with loom (`tests/loom`). The notifier knows
//! no messages and no time.

mod wake_watch;

use std::collections::VecDeque;
use std::collections::hash_map::Entry;
use std::fmt;
use std::future::poll_fn;
use std::num::NonZeroU64;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};

use slab::Slab;
use smallvec::SmallVec;

pub use self::wake_watch::{Wake, WakeWatch};
use crate::planted::{self, Bug};
use crate::sync::Mutex;
use crate::types::{ChannelName, NameMap};

/// Enough that workers seldom meet, few enough to walk when everyone is notified. A loom model needs only one.
const SHARDS: usize = if cfg!(loom) { 1 } else { 64 };

/// How many waiters a lane wakes before it lets them run, unless [configured](Lane::in_slices) otherwise.
const SLICE: usize = 512;

/// All waiters of a store.
pub struct Notifier {
    /// Held for a look-up and a push or a take. Wakers are called and dropped after it is released, because waking may
    /// run foreign code that calls back here.
    shards: Box<[Mutex<Shard>]>,
    observer: OnceLock<Observer>,
}

type Observer = Box<dyn Fn(Heard<'_>) + Send + Sync>;

/// What an [observer](Notifier::observe) is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard<'a> {
    /// The channel is notified: something in it is visible here, or it is gone.
    Shown(&'a ChannelName),
    /// In a log that servers share, the channel was changed through this store. Its publisher is not answered yet.
    Changed(&'a ChannelName),
    /// In a log that servers share, the channel was changed, through this store or another.
    Announced(&'a ChannelName),
    /// In a log that servers share, changes may have been missed. What there was before can be read by now.
    Missed,
}

#[derive(Default)]
struct Shard {
    topics: NameMap<Topic>,
    /// How many topics were ever made here. Identifies a topic, so that a ticket of an earlier one is stale.
    generations: u64,
}

struct Topic {
    generation: NonZeroU64,
    /// Few: one for each worker that has waiters here.
    groups: SmallVec<[(Lane, Group); 1]>,
}

/// One lane's waiters in one topic.
#[derive(Default)]
struct Group {
    /// The waiter at index 0. Most wait alone, and this spares them a table.
    first: Option<Waker>,
    /// The waiters from index 1 on.
    others: Option<Box<Slab<Waker>>>,
}

/// One worker's share of the waiters. A clone is the same lane.
#[derive(Clone)]
pub struct Lane(Arc<Watched>);

struct Watched {
    queue: Mutex<Queue>,
    watch: Option<Arc<dyn WakeWatch>>,
}

struct Queue {
    /// How many are woken at once; at least one.
    slice: usize,
    due: VecDeque<Waker>,
    driver: Option<Waker>,
    driven: Driven,
}

#[derive(Default, PartialEq, Eq)]
enum Driven {
    #[default]
    ByNotifier,
    ByWorker,
}

/// A registered waiter. It is not removed by itself: see [`Store::deregister`](crate::Store::deregister).
#[derive(Debug)]
pub struct Ticket {
    generation: NonZeroU64,
    /// A waiter on a list has a ticket a channel, so they are kept small.
    index: u32,
}

impl Default for Notifier {
    fn default() -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::new(Shard::default())).collect();
        Self { shards, observer: OnceLock::new() }
    }
}

impl Notifier {
    /// Registers `waker` for the next notification of `channel`.
    pub(crate) fn register(&self, channel: &ChannelName, lane: &Lane, waker: &Waker) -> Ticket {
        let waker = waker.clone();
        let mut shard = self.shard(channel).lock();
        let shard = &mut *shard;
        let topic = match shard.topics.entry(channel.clone()) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let generation = NonZeroU64::MIN.saturating_add(shard.generations);
                shard.generations += 1;
                entry.insert(Topic { generation, groups: SmallVec::new() })
            }
        };
        let group = match topic.groups.iter().position(|(other, _)| other.is(lane)) {
            Some(index) => index,
            None => {
                topic.groups.push((lane.clone(), Group::default()));
                topic.groups.len() - 1
            }
        };
        Ticket { generation: topic.generation, index: topic.groups[group].1.insert(waker) }
    }

    /// Whether the ticket still waits; if so, `waker` replaces the one registered. If not, it has been notified.
    pub(crate) fn waits(&self, channel: &ChannelName, lane: &Lane, ticket: &Ticket, waker: &Waker) -> bool {
        let mut shard = self.shard(channel).lock();
        let Some(registered) =
            shard.group(channel, lane, ticket).and_then(|group| group.get_mut(ticket.index))
        else {
            drop(shard);
            if let Some(watch) = &lane.0.watch {
                watch.resumed(wake(channel, ticket.generation));
            }
            return false;
        };
        let old = (!registered.will_wake(waker)).then(|| std::mem::replace(registered, waker.clone()));
        drop(shard);
        drop(old);
        true
    }

    /// Removes a waiter, if it has not been notified.
    pub(crate) fn deregister(&self, channel: &ChannelName, lane: &Lane, ticket: &Ticket) {
        let mut shard = self.shard(channel).lock();
        let Some(group) = shard.group(channel, lane, ticket) else {
            drop(shard);
            if let Some(watch) = &lane.0.watch {
                watch.left(wake(channel, ticket.generation));
            }
            return;
        };
        let waker = group.remove(ticket.index);
        if group.is_empty() && shard.topics[channel].groups.iter().all(|(_, group)| group.is_empty()) {
            shard.topics.remove(channel);
        }
        drop(shard);
        drop(waker);
    }

    /// Wakes all waiters of `channel`. Call it after what they wait for is visible, and without holding a
    /// lock.
    pub fn notify(&self, channel: &ChannelName) {
        self.tell(Heard::Shown(channel));
        let topic = self.shard(channel).lock().topics.remove(channel);
        if let Some(topic) = topic {
            let wake = wake(channel, topic.generation);
            for (lane, group) in &topic.groups {
                if let Some(watch) = lane.0.watch.as_ref().filter(|_| !group.is_empty()) {
                    watch.woken(wake);
                }
            }
            topic.wake();
        }
    }

    /// Has `observer` told of every channel that has something new, before its waiters are woken: for what follows channels
    /// that it cannot name. It is called by publishers and by the journal, so it must be brief and call neither the store
    /// nor a journal. The first observer stays.
    pub fn observe(&self, observer: impl Fn(Heard<'_>) + Send + Sync + 'static) {
        // One that comes too late is dropped.
        let _ = self.observer.set(Box::new(observer));
    }

    pub(crate) fn tell(&self, heard: Heard<'_>) {
        if let Some(observer) = self.observer.get() {
            observer(heard);
        }
    }

    /// Wakes all waiters: they check again, also whatever else they wait for.
    pub fn notify_all(&self) {
        for shard in &self.shards {
            let topics = std::mem::take(&mut shard.lock().topics);
            topics.into_values().for_each(Topic::wake);
        }
    }

    /// Wakes all waiters of one lane, and leaves them registered: for something else that they check whenever they are
    /// polled. They must check it after registering, as they do what they wait for.
    pub fn nudge(&self, lane: &Lane) {
        for shard in &self.shards {
            let mut wakers = Vec::new();
            for topic in shard.lock().topics.values() {
                let group = topic.groups.iter().find(|(other, _)| other.is(lane));
                wakers.extend(group.into_iter().flat_map(|(_, group)| group.iter().cloned()));
            }
            if !wakers.is_empty() {
                lane.wake(wakers);
            }
        }
    }

    /// Whether anyone waits for `channel`.
    pub(crate) fn has_waiters(&self, channel: &ChannelName) -> bool {
        self.shard(channel).lock().topics.contains_key(channel)
    }

    /// How many waiters are registered; for tests and metrics.
    #[must_use]
    pub fn waiting(&self) -> usize {
        let count = |topic: &Topic| topic.groups.iter().map(|(_, group)| group.len()).sum::<usize>();
        self.shards.iter().map(|shard| shard.lock().topics.values().map(count).sum::<usize>()).sum()
    }

    fn shard(&self, channel: &ChannelName) -> &Mutex<Shard> {
        &self.shards[channel.shard(SHARDS)]
    }
}

/// What the waiters of one topic are woken by.
fn wake(channel: &ChannelName, generation: NonZeroU64) -> Wake {
    // Different ones for the topics of a shard, and for those of different shards.
    let number = generation.get().wrapping_mul(SHARDS as u64).wrapping_add(channel.shard(SHARDS) as u64);
    Wake::new(NonZeroU64::new(number).unwrap_or(NonZeroU64::MAX))
}

impl Shard {
    fn group(&mut self, channel: &ChannelName, lane: &Lane, ticket: &Ticket) -> Option<&mut Group> {
        let topic = self.topics.get_mut(channel).filter(|topic| topic.generation == ticket.generation)?;
        topic.groups.iter_mut().find(|(other, _)| other.is(lane)).map(|(_, group)| group)
    }
}

impl Topic {
    fn wake(self) {
        for (lane, mut group) in self.groups {
            if planted::is(Bug::LostWakeUp) && group.len() > 1 {
                drop(group.first.take());
            }
            // Waking a single one costs no more than waking the driver.
            match group.len() {
                0 | 1 => group.drain().for_each(Waker::wake),
                _ => lane.wake(group.drain()),
            }
        }
    }
}

impl Group {
    fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.others.as_ref().map_or(0, |others| others.len())
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the waiter's index.
    fn insert(&mut self, waker: Waker) -> u32 {
        if self.first.is_none() {
            self.first = Some(waker);
            return 0;
        }
        // So many waiters fit into no memory.
        u32::try_from(self.others.get_or_insert_default().insert(waker) + 1).unwrap_or(u32::MAX)
    }

    fn get_mut(&mut self, index: u32) -> Option<&mut Waker> {
        match index.checked_sub(1) {
            None => self.first.as_mut(),
            Some(index) => self.others.as_mut()?.get_mut(index as usize),
        }
    }

    fn iter(&self) -> impl Iterator<Item = &Waker> {
        let others = self.others.iter().flat_map(|others| others.iter().map(|(_, waker)| waker));
        self.first.iter().chain(others)
    }

    fn drain(&mut self) -> impl Iterator<Item = Waker> {
        self.first.take().into_iter().chain(self.others.iter_mut().flat_map(|others| others.drain()))
    }

    fn remove(&mut self, index: u32) -> Option<Waker> {
        match index.checked_sub(1) {
            None => self.first.take(),
            Some(index) => self.others.as_mut()?.try_remove(index as usize),
        }
    }
}

impl Default for Lane {
    fn default() -> Self {
        Self::in_slices(SLICE)
    }
}

impl Lane {
    /// A lane that wakes `slice` waiters before it lets them run and lets the runtime look at its sockets. With small
    /// slices, what is published meanwhile reaches waiters that are still to be woken; with large ones, the last
    /// waiters are answered before the first ask again.
    #[must_use]
    pub fn in_slices(slice: usize) -> Self {
        Self::new(slice, None)
    }

    /// Another lane with slices of the same size, whose wakes `watch` is told of.
    #[must_use]
    pub fn watched(&self, watch: Arc<dyn WakeWatch>) -> Self {
        Self::new(self.0.queue.lock().slice, Some(watch))
    }

    fn new(slice: usize, watch: Option<Arc<dyn WakeWatch>>) -> Self {
        let queue =
            Queue { slice: slice.max(1), due: VecDeque::new(), driver: None, driven: Driven::default() };
        Self(Arc::new(Watched { queue: Mutex::new(queue), watch }))
    }

    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Wakes by the driver, where the lane has one.
    pub(crate) fn wake(&self, wakers: impl IntoIterator<Item = Waker>) {
        let mut queue = self.0.queue.lock();
        if queue.driven == Driven::ByWorker {
            queue.due.extend(wakers);
            let driver = queue.driver.take();
            drop(queue);
            driver.into_iter().for_each(Waker::wake);
            return;
        }
        drop(queue);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Wakes this lane's waiters, a slice at a time, on the thread that polls it. It never completes; after it is
    /// dropped, the notifier wakes the lane's waiters itself again.
    pub fn drive(&self) -> impl Future<Output = ()> + Send + use<> {
        let driver = Driver(self.clone());
        driver.0.0.queue.lock().driven = Driven::ByWorker;
        poll_fn(move |cx| driver.wake_a_slice(cx))
    }
}

struct Driver(Lane);

impl Driver {
    fn wake_a_slice(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut queue = self.0.0.queue.lock();
        let count = queue.due.len().min(queue.slice);
        let slice: Vec<Waker> = queue.due.drain(..count).collect();
        let rest = !queue.due.is_empty();
        // Dropping the last waker of a task may call back here.
        let old = if rest { None } else { queue.driver.replace(cx.waker().clone()) };
        drop(queue);
        drop(old);
        slice.into_iter().for_each(Waker::wake);
        if rest {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let mut queue = self.0.0.queue.lock();
        queue.driven = Driven::ByNotifier;
        let due = std::mem::take(&mut queue.due);
        drop(queue);
        due.into_iter().for_each(Waker::wake);
    }
}

impl fmt::Debug for Notifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notifier").field("waiting", &self.waiting()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane").finish_non_exhaustive()
    }
}
