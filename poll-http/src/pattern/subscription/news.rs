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
use crate::message::trace_context::TraceContext;

/// As many names are sorted by their publisher, and of as many channels the trace is known.
const MOST_NAMES: usize = 1_024;

/// The names, and where they go.
#[derive(Default)]
pub(super) struct News {
    /// Whether there is any subscription: if not, publishers leave nothing.
    is_wanted: AtomicBool,
    names: Mutex<BTreeMap<Box<str>, ChannelName>>,
    /// The traces of channels that are published to, until their names are sorted.
    traces: Mutex<Traces>,
    /// Whether there are any.
    is_traced: AtomicBool,
    /// Held while names are sorted, so that all that were left before are in their mailboxes after.
    mailboxes: Mutex<BTreeMap<SubscriptionId, Arc<Mailbox>>>,
    arrived: Notify,
}

type Traces = BTreeMap<Box<str>, TraceContext>;

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
    /// The trace of one that came last.
    trace: Option<TraceContext>,
}

/// What a mailbox had.
pub(super) struct Taken {
    /// The streams that have something new.
    pub(super) names: Vec<ChannelName>,
    /// How many were left out.
    pub(super) left_out: u64,
    /// The trace that led to it, if it is known.
    pub(super) trace: Option<TraceContext>,
}

impl News {
    /// Something in a channel is new, or it is gone.
    pub(super) fn of(&self, channel: &ChannelName) {
        if !self.is_wanted() {
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

    /// Whether there is any subscription.
    pub(super) fn is_wanted(&self) -> bool {
        self.is_wanted.load(Ordering::Acquire)
    }

    /// A channel is about to be published to, by a request of this trace, if any. A channel that is published to by several at
    /// once is of the trace of one of them.
    pub(super) fn follow(&self, channel: &ChannelName, trace: Option<TraceContext>) {
        if trace.is_none() && !self.is_traced.load(Ordering::Acquire) {
            return;
        }
        let mut traces = lock(&self.traces);
        match trace {
            Some(trace) => {
                // Those of publishes that were refused stay until there are too many.
                if traces.len() >= MOST_NAMES {
                    traces.pop_first();
                }
                traces.insert(channel.as_str().into(), trace);
            }
            None => drop(traces.remove(channel.as_str())),
        }
        self.is_traced.store(!traces.is_empty(), Ordering::Release);
    }

    /// The traces of these channels.
    fn traces_of(&self, names: &BTreeMap<Box<str>, ChannelName>) -> Traces {
        if !self.is_traced.load(Ordering::Acquire) {
            return Traces::new();
        }
        let mut traces = lock(&self.traces);
        let found = names.keys().filter_map(|name| traces.remove_entry(name)).collect();
        self.is_traced.store(!traces.is_empty(), Ordering::Release);
        found
    }

    /// Waits for names to sort.
    pub(super) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// Gives each mailbox what concerns it.
    pub(super) fn sort(&self) {
        let mailboxes = lock(&self.mailboxes);
        let names = std::mem::take(&mut *lock(&self.names));
        let traces = self.traces_of(&names);
        for mailbox in mailboxes.values() {
            if mailbox.take_in(&names, &traces) {
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
    fn take_in(&self, names: &BTreeMap<Box<str>, ChannelName>, traces: &Traces) -> bool {
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
            letters.trace = traces.get(text).copied().or(letters.trace);
        }
        concerned
    }

    pub(super) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// Takes out what is there.
    pub(super) fn take(&self) -> Taken {
        let mut letters = lock(&self.content);
        let known = std::mem::take(&mut letters.of_known);
        let others = std::mem::take(&mut letters.of_others);
        let names = known.into_values().chain(others.into_values()).collect();
        Taken { names, left_out: std::mem::take(&mut letters.left_out), trace: letters.trace.take() }
    }

    /// They are to be looked at again.
    pub(super) fn put_back(&self, names: Vec<ChannelName>, trace: Option<TraceContext>) {
        let mut letters = lock(&self.content);
        letters.trace = letters.trace.or(trace);
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
