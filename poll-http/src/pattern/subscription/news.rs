//! Which channels have something new, on its way from publishers to subscriptions.
//!
//! A publisher leaves the channel's name here, once it is visible and before it is answered. From here it goes to the
//! mailboxes of the subscriptions that it concerns, at once when one is asked something: so an answer to a request that
//! follows a publish knows of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use poll_core::ChannelName;
use tokio::sync::Notify;

use crate::dialect::durable_streams::subscriptions::{Configuration, MOST_STREAMS, SubscriptionId};

/// As many names are sorted by their publisher.
const MOST_NAMES: usize = 1_024;

/// The names, and where they go.
#[derive(Default)]
pub(super) struct News {
    /// Whether there is any subscription: if not, publishers leave nothing.
    is_wanted: AtomicBool,
    names: Mutex<BTreeMap<Box<str>, ChannelName>>,
    /// Held while names are sorted, so that all that were left before are in their mailboxes after.
    mailboxes: Mutex<BTreeMap<SubscriptionId, Arc<Mailbox>>>,
    arrived: Notify,
}

/// One subscription's.
pub(super) struct Mailbox {
    configuration: Arc<Configuration>,
    content: Mutex<Letters>,
    arrived: Notify,
}

#[derive(Default)]
struct Letters {
    /// The streams that the subscription has.
    known: BTreeSet<Box<str>>,
    /// Those of them that have something new.
    of_known: BTreeMap<Box<str>, ChannelName>,
    /// Those that may become its streams.
    of_others: BTreeMap<Box<str>, ChannelName>,
    /// How many more there were than it could have.
    left_out: u64,
}

impl News {
    /// Something in a channel is new, or it is gone.
    pub(super) fn of(&self, channel: &ChannelName) {
        if !self.is_wanted.load(Ordering::Acquire) {
            return;
        }
        let mut names = lock(&self.names);
        names.entry(channel.as_str().into()).or_insert_with(|| channel.clone());
        let many = names.len() >= MOST_NAMES;
        drop(names);
        if many {
            self.sort();
        } else {
            self.arrived.notify_one();
        }
    }

    /// Waits for names to sort.
    pub(super) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// Gives each mailbox what concerns it.
    pub(super) fn sort(&self) {
        let mailboxes = lock(&self.mailboxes);
        let names = std::mem::take(&mut *lock(&self.names));
        for mailbox in mailboxes.values() {
            if mailbox.take_in(&names) {
                mailbox.arrived.notify_one();
            }
        }
    }

    /// Begins to follow what concerns a subscription.
    pub(super) fn add(&self, id: SubscriptionId, configuration: Arc<Configuration>) -> Arc<Mailbox> {
        let (content, arrived) = (Mutex::default(), Notify::new());
        let mailbox = Arc::new(Mailbox { configuration, content, arrived });
        lock(&self.mailboxes).insert(id, mailbox.clone());
        self.is_wanted.store(true, Ordering::Release);
        mailbox
    }

    pub(super) fn remove(&self, id: &SubscriptionId) {
        let mut mailboxes = lock(&self.mailboxes);
        mailboxes.remove(id);
        self.is_wanted.store(!mailboxes.is_empty(), Ordering::Release);
    }
}

impl Mailbox {
    /// Says whether anything concerned it.
    fn take_in(&self, names: &BTreeMap<Box<str>, ChannelName>) -> bool {
        let mut letters = lock(&self.content);
        let mut concerned = false;
        for (text, name) in names {
            if letters.known.contains(text) {
                letters.of_known.insert(text.clone(), name.clone());
            } else if !self.configuration.matches(text) {
                continue;
            } else if letters.of_others.len() < MOST_STREAMS {
                letters.of_others.insert(text.clone(), name.clone());
            } else {
                letters.left_out += 1;
            }
            concerned = true;
        }
        concerned
    }

    pub(super) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// The streams that have something new, and how many were left out.
    pub(super) fn take(&self) -> (Vec<ChannelName>, u64) {
        let mut letters = lock(&self.content);
        let known = std::mem::take(&mut letters.of_known);
        let others = std::mem::take(&mut letters.of_others);
        (known.into_values().chain(others.into_values()).collect(), std::mem::take(&mut letters.left_out))
    }

    /// They are to be looked at again.
    pub(super) fn put_back(&self, names: Vec<ChannelName>) {
        let mut letters = lock(&self.content);
        letters.of_known.extend(names.into_iter().map(|name| (name.as_str().into(), name)));
    }

    /// Which streams the subscription has.
    pub(super) fn know<'a>(&self, names: impl Iterator<Item = &'a str>) {
        lock(&self.content).known = names.map(Box::from).collect();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
