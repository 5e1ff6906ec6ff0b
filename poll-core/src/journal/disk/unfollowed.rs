//! The publishes that were minted behind one that failed.

use std::cmp::Ordering;

use super::fault::unavailable;
use super::write_queue::PendingAppend;
use crate::sync::Mutex;
use crate::types::{ChannelName, Epoch, NameMap, Seq};

/// Channels of which publishes failed, and the position that the next publish to be kept has to follow. Publishes that
/// are visible before their commit do not fail: they are tried again.
#[derive(Debug, Default)]
pub(super) struct Unfollowed(Mutex<NameMap<(Epoch, Seq)>>);

impl Unfollowed {
    /// A publish fails: those that were minted after it fail as well. To be called before the writer can take one of those.
    pub(super) fn failed(&self, entry: &PendingAppend) {
        let append = &entry.append;
        let position = (append.epoch(), append.after());
        let mut channels = self.0.lock();
        let channel = channels.entry(append.channel().clone()).or_insert(position);
        // Of an earlier epoch nothing comes any more.
        if channel.0 != position.0 || channel.1 > position.1 {
            *channel = position;
        }
    }

    /// Fails the publishes that follow one that failed, and returns the others.
    pub(super) fn filter(&self, entries: Vec<PendingAppend>) -> Vec<PendingAppend> {
        let mut channels = self.0.lock();
        if channels.is_empty() {
            return entries;
        }
        let (mut kept, mut others) = (Vec::with_capacity(entries.len()), Vec::new());
        for entry in entries {
            let name: &ChannelName = entry.append.channel();
            let position = channels.get(name).filter(|(epoch, _)| *epoch == entry.append.epoch());
            match position.map(|(_, after)| after.cmp(&entry.append.after())) {
                // It was taken before that one failed.
                Some(Ordering::Greater) => kept.push(entry),
                Some(Ordering::Less) => others.push(entry),
                Some(Ordering::Equal) | None => {
                    channels.remove(name);
                    kept.push(entry);
                }
            }
        }
        drop(channels);
        let why = || unavailable("the publish before it failed");
        others.into_iter().for_each(|entry| entry.append.failed(why()));
        kept
    }
}
