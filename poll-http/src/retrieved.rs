//! What is remembered of messages beside the log: who was given one, and what a door has given away.
//!
//! Bounded by the log: what is noted of a message goes when the message goes.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use poll_core::{ChannelName, Cursor, Epoch, Message, Standing};

/// Notes on retained messages.
#[derive(Debug, Default)]
pub(crate) struct Notes<T>(Mutex<HashMap<ChannelName, Channel<T>>>);

#[derive(Debug)]
struct Channel<T> {
    epoch: Epoch,
    by_seq: BTreeMap<u64, T>,
}

impl<T> Default for Channel<T> {
    fn default() -> Self {
        Self { epoch: Epoch::ZERO, by_seq: BTreeMap::new() }
    }
}

impl<T: Default> Notes<T> {
    /// Changes the notes on some messages.
    pub(crate) fn change<'a>(
        &self,
        channel: &ChannelName,
        standing: &Standing,
        messages: impl IntoIterator<Item = &'a Arc<Message>>,
        change: impl Fn(&mut T),
    ) {
        let mut channels = self.lock();
        let notes = channels.entry(channel.clone()).or_default();
        if notes.epoch != standing.epoch {
            *notes = Channel { epoch: standing.epoch, by_seq: BTreeMap::new() };
        }
        notes.by_seq = notes.by_seq.split_off(&standing.oldest.get());
        for message in messages {
            change(notes.by_seq.entry(message.seq.get()).or_default());
        }
    }

    /// The note on one message.
    pub(crate) fn get<R>(&self, channel: &ChannelName, at: Cursor, read: impl FnOnce(&T) -> R) -> Option<R> {
        let channels = self.lock();
        let notes = channels.get(channel).filter(|notes| notes.epoch == at.epoch)?;
        notes.by_seq.get(&at.seq.get()).map(read)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ChannelName, Channel<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who was given each message.
pub(crate) type Receipts = Notes<Names>;

/// Names of clients, in the order in which they were given a message; at most 1000.
#[derive(Debug, Default)]
pub(crate) struct Names(Vec<Arc<str>>);

impl Names {
    const MOST: usize = 1_000;

    pub(crate) fn add(&mut self, name: &Arc<str>) {
        if self.0.len() < Self::MOST && !self.0.contains(name) {
            self.0.push(name.clone());
        }
    }

    pub(crate) fn list(&self) -> Vec<Arc<str>> {
        self.0.clone()
    }
}

/// Which messages a door gave away.
pub(crate) type Deleted = Notes<()>;
