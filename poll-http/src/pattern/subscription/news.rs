//! Which channels have something new, on its way from publishers to subscriptions.
//!
//! A publisher leaves the channel's name here, once it is visible and before it is answered. From here it goes to the
//! mailboxes of the subscriptions that it concerns, at once when one is asked something: so an answer to a request that
//! follows a publish knows of it.
//!
//! Where several servers share a log, each hears of what goes through the others as well. It leaves that to them for a
//! moment ([`Haste`]), since they may end before they have done it. The records of subscriptions are channels, too: what is
//! new of one is for the subscription itself, or for the hub if there is none of that name here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use poll_core::ChannelName;
use tokio::sync::Notify;

use super::register::{RECORDS, id_of};
use crate::dialect::durable_streams::RESERVED;
use crate::dialect::durable_streams::subscriptions::{
    Configuration, MOST_STREAMS, Subscription, SubscriptionId,
};
use crate::message::trace_context::TraceContext;

/// As many names are sorted by their publisher, and of as many channels the trace is known.
const MOST_NAMES: usize = 1_024;

/// When something is to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Haste {
    /// It came through this server.
    Now,
    /// Another server looks at it now.
    Later,
}

/// The names, and where they go.
#[derive(Default)]
pub(super) struct News {
    /// Whether there is any subscription: if not, publishers leave nothing.
    is_wanted: AtomicBool,
    names: Mutex<Names>,
    /// The traces of channels that are published to, until their names are sorted.
    traces: Mutex<Traces>,
    /// Whether there are any.
    is_traced: AtomicBool,
    /// Held while names are sorted, so that all that were left before are in their mailboxes after.
    mailboxes: Mutex<BTreeMap<SubscriptionId, Arc<Mailbox>>>,
    arrived: Notify,
    unknown: Mutex<Unknown>,
    unknown_arrived: Notify,
}

type Names = BTreeMap<Box<str>, (ChannelName, Haste)>;
type Traces = BTreeMap<Box<str>, TraceContext>;

/// Subscriptions that other servers made, and that are to be looked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Unknown {
    pub(super) ids: BTreeSet<SubscriptionId>,
    pub(super) others: Others,
}

/// Whether there may be others than those that are known by name.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Others {
    #[default]
    No,
    Maybe,
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
    /// Those of them that it names.
    named: Vec<Box<str>>,
    /// Those of them that have something new.
    of_known: BTreeMap<Box<str>, ChannelName>,
    /// Those that may become its streams.
    of_others: BTreeMap<Box<str>, ChannelName>,
    /// How many more there were than it could have.
    left_out: u64,
    /// The least haste of what was not taken.
    haste: Option<Haste>,
    /// That of what was not [announced](Mailbox::arrived).
    unsaid: Option<Haste>,
    /// Anything may be new.
    missed: bool,
    /// The trace of one that came last.
    trace: Option<TraceContext>,
}

/// What is taken out of a mailbox.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// The streams that have something new.
    pub(super) names: Vec<ChannelName>,
    /// How many were left out.
    pub(super) left_out: u64,
    /// Whether any others may have something new as well.
    pub(super) others: Others,
    /// The trace that led to it, if it is known.
    pub(super) trace: Option<TraceContext>,
}

impl News {
    /// Something in a channel is new, or it is gone.
    pub(super) fn of(&self, channel: &ChannelName, haste: Haste) {
        let is_wanted = match channel.as_str().strip_prefix(RESERVED) {
            None => self.is_wanted(),
            // What this server writes it knows.
            Some(_) => haste == Haste::Later && channel.as_str().starts_with(RECORDS),
        };
        if !is_wanted {
            return;
        }
        let mut names = lock(&self.names);
        let entry = names.entry(channel.as_str().into()).or_insert_with(|| (channel.clone(), haste));
        entry.1 = entry.1.min(haste);
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
    fn traces_of(&self, names: &Names) -> Traces {
        if !self.is_traced.load(Ordering::Acquire) {
            return Traces::new();
        }
        let mut traces = lock(&self.traces);
        let found = names.keys().filter_map(|name| traces.remove_entry(name)).collect();
        self.is_traced.store(!traces.is_empty(), Ordering::Release);
        found
    }

    /// Something may be new of which the name is not known.
    pub(super) fn missed(&self) {
        for mailbox in lock(&self.mailboxes).values() {
            mailbox.miss();
        }
        lock(&self.unknown).others = Others::Maybe;
        self.unknown_arrived.notify_one();
    }

    /// Waits for names to sort.
    pub(super) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// Gives each mailbox what concerns it.
    pub(super) fn sort(&self) {
        let mailboxes = lock(&self.mailboxes);
        let names = std::mem::take(&mut *lock(&self.names));
        let (records, names): (Names, Names) =
            names.into_iter().partition(|(text, _)| text.starts_with(RESERVED));
        let traces = self.traces_of(&names);
        for mailbox in mailboxes.values() {
            mailbox.take_in(&names, &traces);
        }
        for id in records.keys().filter_map(|name| id_of(name)) {
            match mailboxes.get(&id) {
                Some(mailbox) => mailbox.changed(),
                None => self.look_for(Unknown { ids: BTreeSet::from([id]), others: Others::No }),
            }
        }
    }

    /// Has subscriptions looked for.
    pub(super) fn look_for(&self, more: Unknown) {
        let mut unknown = lock(&self.unknown);
        unknown.ids.extend(more.ids);
        if more.others == Others::Maybe {
            unknown.others = Others::Maybe;
        }
        drop(unknown);
        self.unknown_arrived.notify_one();
    }

    /// Waits for subscriptions to look for.
    pub(super) async fn unknown(&self) -> Unknown {
        loop {
            let unknown = std::mem::take(&mut *lock(&self.unknown));
            if unknown != Unknown::default() {
                return unknown;
            }
            self.unknown_arrived.notified().await;
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
    fn take_in(&self, names: &Names, traces: &Traces) {
        let mut letters = lock(&self.content);
        let mut concerned = None;
        for (text, (name, haste)) in names {
            if letters.known.contains(text) {
                letters.of_known.insert(text.clone(), name.clone());
            } else if !self.configuration.matches(text) {
                continue;
            } else if letters.of_others.len() < MOST_STREAMS {
                letters.of_others.insert(text.clone(), name.clone());
            } else {
                letters.left_out += 1;
            }
            concerned = earlier(concerned, *haste);
            letters.trace = traces.get(text).copied().or(letters.trace);
        }
        if let Some(haste) = concerned {
            letters.haste = earlier(letters.haste, haste);
            self.say(letters, haste);
        }
    }

    /// Its record was changed, perhaps by another server. If this server has something for it that had to wait, that is the
    /// time for it.
    fn changed(&self) {
        let letters = lock(&self.content);
        let haste = letters.haste.unwrap_or(Haste::Later);
        self.say(letters, haste);
    }

    fn miss(&self) {
        let mut letters = lock(&self.content);
        letters.missed = true;
        self.say(letters, Haste::Later);
    }

    fn say(&self, mut letters: MutexGuard<'_, Letters>, haste: Haste) {
        letters.unsaid = earlier(letters.unsaid, haste);
        drop(letters);
        self.arrived.notify_one();
    }

    /// Waits for something new, and says when to look.
    pub(super) async fn arrived(&self) -> Haste {
        loop {
            if let Some(haste) = lock(&self.content).unsaid.take() {
                return haste;
            }
            self.arrived.notified().await;
        }
    }

    /// Takes everything out.
    pub(super) fn take(&self) -> Taken {
        let mut letters = lock(&self.content);
        let known = std::mem::take(&mut letters.of_known);
        let others = std::mem::take(&mut letters.of_others);
        letters.haste = None;
        Taken {
            names: known.into_values().chain(others.into_values()).collect(),
            left_out: std::mem::take(&mut letters.left_out),
            others: if std::mem::take(&mut letters.missed) { Others::Maybe } else { Others::No },
            trace: letters.trace.take(),
        }
    }

    /// They are to be looked at again.
    pub(super) fn put_back(&self, names: impl IntoIterator<Item = ChannelName>, trace: Option<TraceContext>) {
        let mut letters = lock(&self.content);
        letters.trace = letters.trace.or(trace);
        letters.of_known.extend(names.into_iter().map(|name| (name.as_str().into(), name)));
    }

    /// Which streams the subscription has.
    pub(super) fn know(&self, subscription: &Subscription) {
        let known = subscription.links().map(|(name, _)| name.into()).collect();
        let named = subscription.links().filter(|(_, link)| link.explicit).map(|(name, _)| name.into());
        let named = named.collect();
        let mut letters = lock(&self.content);
        (letters.known, letters.named) = (known, named);
    }

    /// The streams that the subscription names: those it was made with, and those that were added.
    pub(super) fn named(&self) -> Vec<Box<str>> {
        lock(&self.content).named.clone()
    }
}

fn earlier(one: Option<Haste>, other: Haste) -> Option<Haste> {
    Some(one.map_or(other, |one| one.min(other)))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
