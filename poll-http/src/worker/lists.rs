//! The lists of channels that a worker's requests read, and what requests for the same channels share: the list, the feeds of
//! those that come with the same token, and the count of those that wait.
//!
//! A request mostly names the channels as one before it did, and comes with a token that others came with: then nothing of
//! either is parsed again. What is kept for that is limited in number, and all of it is on the memory account.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use poll_core::environment::{KeyedMap, ProcessKey};
use poll_core::{ChannelList, ChannelName, Charge, Kind, Lane, ListFeed, ListStart, OverBudget, Store};

use crate::access::admission::{Channels, Counted, ListCount};

/// Lists that are kept although no request reads them now: a poll is answered and gone before the next one comes.
const KEPT: usize = 256;

/// What a list keeps of each channel besides a long name: its name, key, count and topics.
const CHANNEL_BYTES: usize = 128;
/// The same for a feed: a position, a place and a ticket.
const PLACE_BYTES: usize = 64;
/// Names of up to this many bytes take no memory of their own.
const SHORT_NAME: usize = 23;

/// The lists of a worker.
pub(crate) struct Lists {
    store: Store,
    /// The lane of the feeds' readers.
    polls: Lane,
    /// Held for a look-up, and for making a new list.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By the hash of their names.
    lists: Table<SharedList>,
    /// The last ones that were named in a query, by the hash of what named them.
    named: KeyedMap<u64, Named>,
    /// In the order in which they were named first.
    order: VecDeque<u64>,
}

/// A list, and what named it in a query.
struct Named {
    names: Box<str>,
    list: Arc<SharedList>,
    _charge: Charge,
}

/// Channels that requests read together.
pub(crate) struct SharedList {
    pub(crate) channels: Arc<ChannelList>,
    store: Store,
    polls: Lane,
    /// Held for a look-up, and for making a new feed.
    feeds: Mutex<Feeds>,
    count: OnceLock<ListCount>,
    _charge: Charge,
}

#[derive(Default)]
struct Feeds {
    /// The one that was made last: most readers come with the newest token.
    last: Option<Arc<Feed>>,
    /// By the hash of their tokens, while they are read.
    others: Table<Feed>,
}

/// What the polls of a list share that come with the same token.
pub(crate) struct Feed {
    /// As it was given.
    token: Option<Box<str>>,
    pub(crate) start: ListStart,
    pub(crate) wait: Arc<ListFeed>,
    _charge: Charge,
}

/// What may still be in use, by hash.
struct Table<T> {
    entries: KeyedMap<u64, Weak<T>>,
    /// How many entries there may be before those that are gone are removed.
    room: usize,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { entries: KeyedMap::default(), room: 0 }
    }
}

impl<T> Table<T> {
    fn get(&self, hash: u64) -> Option<Arc<T>> {
        self.entries.get(&hash).and_then(Weak::upgrade)
    }

    fn insert(&mut self, hash: u64, entry: &Arc<T>) {
        if self.entries.len() >= self.room {
            self.entries.retain(|_, entry| entry.strong_count() > 0);
            self.room = 2 * self.entries.len() + 4;
        }
        self.entries.insert(hash, Arc::downgrade(entry));
    }
}

impl State {
    /// Keeps nothing for the queries to come. What is returned must be dropped without the lock.
    #[must_use]
    fn forget_named(&mut self) -> KeyedMap<u64, Named> {
        self.order.clear();
        std::mem::take(&mut self.named)
    }
}

impl Lists {
    pub(crate) fn new(store: Store, polls: Lane) -> Self {
        Self { store, polls, state: Mutex::default() }
    }

    /// The list that these values of a query named before, which are as they stand there.
    pub(crate) fn named(&self, values: &[&str]) -> Option<Arc<SharedList>> {
        let names = joined(values);
        let state = self.state();
        let named = state.named.get(&hash_of(&names)).filter(|named| *named.names == *names)?;
        Some(named.list.clone())
    }

    /// The list of these channels, which are in order and each once, and which `values` name from now on.
    ///
    /// # Errors
    /// When there is no memory for a new list.
    pub(crate) fn name(
        &self,
        values: &[&str],
        names: Vec<ChannelName>,
    ) -> Result<Arc<SharedList>, OverBudget> {
        let list = self.of(names)?;
        let names = joined(values);
        let Ok(charge) = self.store.memory().charge(Kind::Names, names.len() as u64) else { return Ok(list) };
        let hash = hash_of(&names);
        let mut state = self.state();
        let named = Named { names: names.into(), list: list.clone(), _charge: charge };
        let mut gone = [state.named.insert(hash, named), None];
        if gone[0].is_none() {
            state.order.push_back(hash);
        }
        if state.order.len() > KEPT {
            gone[1] = state.order.pop_front().and_then(|oldest| state.named.remove(&oldest));
        }
        drop(state);
        drop(gone);
        Ok(list)
    }

    /// The list of these channels, which are in order and each once.
    ///
    /// # Errors
    /// When there is no memory for a new one.
    pub(crate) fn of(&self, names: Vec<ChannelName>) -> Result<Arc<SharedList>, OverBudget> {
        let hash = ProcessKey.hash_one(&names);
        let known = self.state().lists.get(hash).filter(|list| list.channels.names() == names);
        if let Some(list) = known {
            return Ok(list);
        }
        let long = names.iter().map(|name| name.as_str().len()).filter(|bytes| *bytes > SHORT_NAME);
        let bytes = (long.sum::<usize>() + names.len() * CHANNEL_BYTES) as u64;
        let charge = self.store.memory().charge(Kind::Names, bytes).or_else(|_| {
            // Those that no request reads make room for one that is read.
            let kept = self.state().forget_named();
            drop(kept);
            self.store.memory().charge(Kind::Names, bytes)
        })?;
        let list = Arc::new(SharedList {
            channels: Arc::new(ChannelList::new(names)),
            store: self.store.clone(),
            polls: self.polls.clone(),
            feeds: Mutex::default(),
            count: OnceLock::new(),
            _charge: charge,
        });
        self.state().lists.insert(hash, &list);
        Ok(list)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SharedList {
    /// The feed of those that come with this token, or with none. A new one starts where `start` says.
    ///
    /// # Errors
    /// Those of `start`, or when there is no memory for a new feed.
    pub(crate) fn feed<E: From<OverBudget>>(
        &self,
        token: Option<&str>,
        start: impl FnOnce() -> Result<ListStart, E>,
    ) -> Result<Arc<Feed>, E> {
        let same = |feed: &&Arc<Feed>| feed.token.as_deref() == token;
        if let Some(feed) = self.feeds().last.as_ref().filter(same) {
            return Ok(feed.clone());
        }
        let hash = hash_of(token.unwrap_or_default());
        if let Some(feed) = self.feeds().others.get(hash).as_ref().filter(same) {
            return Ok(feed.clone());
        }
        let start = start()?.resolved(&self.channels);
        let bytes = token.map_or(0, str::len) + self.channels.names().len() * PLACE_BYTES;
        let charge = self.store.memory().charge(Kind::Names, bytes as u64)?;
        let wait = ListFeed::new(self.store.clone(), self.channels.clone(), self.polls.clone());
        let feed = Arc::new(Feed { token: token.map(Into::into), start, wait, _charge: charge });
        let mut feeds = self.feeds();
        feeds.others.insert(hash, &feed);
        let before = feeds.last.replace(feed.clone());
        drop(feeds);
        drop(before);
        Ok(feed)
    }

    fn feeds(&self) -> MutexGuard<'_, Feeds> {
        // As for `Lists`.
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Channels for Arc<SharedList> {
    fn counted(&self) -> Counted<'_> {
        Counted::InEach(&self.channels, &self.count)
    }
}

impl std::fmt::Debug for SharedList {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SharedList").field(&self.channels.names()).finish()
    }
}

impl Feed {
    /// The token that its readers came with.
    pub(crate) fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }
}

impl std::fmt::Debug for Feed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Feed").field("start", &self.start).finish_non_exhaustive()
    }
}

/// Values of a query, none of which holds an `&`, as one text.
fn joined(values: &[&str]) -> String {
    let mut joined = String::with_capacity(values.iter().map(|value| value.len() + 1).sum());
    for value in values {
        joined.push_str(value);
        joined.push('&');
    }
    joined
}

fn hash_of(text: &str) -> u64 {
    let mut hasher = ProcessKey.build_hasher();
    hasher.write(text.as_bytes());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use poll_core::{Memory, Position, Retention};

    use super::*;

    fn lists(budget: u64) -> Lists {
        let store = Store::with_memory(
            Arc::new(poll_core::journal::MemoryJournal),
            Retention::default(),
            Memory::new(budget),
        );
        Lists::new(store, Lane::default())
    }

    fn names(names: &[&str]) -> Vec<ChannelName> {
        names.iter().map(|name| ChannelName::parse(name).unwrap()).collect()
    }

    #[test]
    fn requests_for_the_same_channels_share_a_list_whatever_named_it() {
        let lists = lists(0);
        assert!(lists.named(&["a", "b"]).is_none());
        let list = lists.name(&["a", "b"], names(&["a", "b"])).unwrap();
        let other = lists.name(&["b", "%61"], names(&["a", "b"])).unwrap();
        assert!(Arc::ptr_eq(&list, &other));
        for values in [["a", "b"], ["b", "%61"]] {
            assert!(Arc::ptr_eq(&lists.named(&values).unwrap(), &list));
        }
        for values in [&["a"][..], &["a", "b", ""], &["b", "a"], &["ab"]] {
            assert!(lists.named(values).is_none(), "{values:?}");
        }
    }

    #[test]
    fn those_with_the_same_token_share_a_feed_while_they_read_it_or_it_is_the_newest() {
        let lists = lists(0);
        let list = lists.of(names(&["a", "b"])).unwrap();
        let start = || Ok::<_, OverBudget>(ListStart::Each(Position::Start));
        let known = || -> Result<ListStart, OverBudget> { panic!("it is known") };
        let first = list.feed(None, start).unwrap();
        let second = list.feed(Some("x"), start).unwrap();
        assert!(Arc::ptr_eq(&list.feed(None, known).unwrap(), &first));
        assert!(Arc::ptr_eq(&list.feed(Some("x"), known).unwrap(), &second));
        let gone = Arc::downgrade(&first);
        drop(first);
        assert!(gone.upgrade().is_none());
        drop(second);
        assert!(list.feed(Some("x"), known).is_ok());
    }

    #[test]
    fn lists_are_on_the_account_and_those_that_nobody_reads_give_way() {
        // An eighth of it is for names.
        let lists = lists(8 * 5 * CHANNEL_BYTES as u64);
        let memory = lists.store.memory().clone();
        let kept = lists.name(&["a", "b"], names(&["a", "b"])).unwrap();
        drop(lists.name(&["c", "d"], names(&["c", "d"])).unwrap());
        drop(lists.of(names(&["e", "f", "g"])).unwrap());
        assert!(lists.named(&["c", "d"]).is_none());
        assert_eq!(memory.used(Kind::Names), 2 * CHANNEL_BYTES as u64);
        assert_eq!(lists.of(names(&["e", "f", "g", "h"])).unwrap_err(), OverBudget(Kind::Names));
        drop(kept);
        assert_eq!(memory.used(Kind::Names), 0);
    }

    #[test]
    fn of_many_lists_few_are_kept() {
        let lists = lists(0);
        for number in 0..3 * KEPT {
            let name = format!("{number}");
            drop(lists.name(&["a", &name], names(&["a", &name])).unwrap());
        }
        let state = lists.state();
        assert_eq!((state.named.len(), state.order.len()), (KEPT, KEPT));
        assert!(state.lists.entries.len() <= 2 * KEPT + 8, "{}", state.lists.entries.len());
    }
}
