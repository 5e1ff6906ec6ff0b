//! The publishes that were minted behind one that failed.

use super::super::fault::unavailable;
use super::super::write_queue::PendingAppend;
use crate::types::{ChannelName, Epoch, NameMap, Seq};

/// Channels of which publishes failed, and the position that the next publish to be kept has to follow. Publishes that
/// are visible before their commit do not fail: they are tried again.
#[derive(Debug, Default)]
pub(super) struct Unfollowed(NameMap<(Epoch, Seq)>);

impl Unfollowed {
    /// A publish failed: those that were minted after it fail as well.
    pub(super) fn failed(&mut self, entry: &PendingAppend) {
        let append = &entry.append;
        let position = (append.epoch(), append.after());
        let channel = self.0.entry(append.channel().clone()).or_insert(position);
        if channel.0 == position.0 && channel.1 > position.1 {
            *channel = position;
        }
    }

    /// Fails the publishes that follow one that failed, and returns the others.
    pub(super) fn filter(&mut self, entries: Vec<PendingAppend>) -> Vec<PendingAppend> {
        if self.0.is_empty() {
            return entries;
        }
        let mut kept = Vec::with_capacity(entries.len());
        for entry in entries {
            let name: &ChannelName = entry.append.channel();
            let follows = self.0.get(name).is_none_or(|(epoch, after)| {
                *epoch != entry.append.epoch() || *after == entry.append.after()
            });
            if follows {
                self.0.remove(name);
                kept.push(entry);
            } else {
                entry.append.failed(unavailable("the publish before it failed"));
            }
        }
        kept
    }
}
