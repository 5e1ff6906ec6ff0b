//! What the log changes of what the database has.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::survey::{Channel, Content, Notes, Survey};
use crate::environment::Location;
use crate::journal::disk::codec::{Row, Totals};
use crate::journal::disk::log::recent::{Memtable, Part};
use crate::journal::disk::log::replay::{self, Replayed};
use crate::journal::disk::shared::UNBOUNDED;
use crate::types::{ChannelName, Ending, Message, Seq};

impl Survey {
    /// What the log has and the database has not.
    pub(super) fn read_log(
        &mut self,
        location: &dyn Location,
        totals: Totals,
        notes: &mut Notes<impl FnMut(&str)>,
    ) {
        let Ok(segments) = location.segments() else {
            return notes.add("the log: its segments cannot be listed");
        };
        let names = self.channels.iter().map(|(id, channel)| (channel.row.name.clone(), *id));
        let mut names: BTreeMap<ChannelName, u64> = names.collect();
        let damages = notes.count();
        let mut next = self.channels.last_key_value().map_or(0, |(id, _)| id + 1).max(totals.next);
        for number in segments.into_iter().filter(|number| *number > totals.indexed) {
            let read = replay::read(location, number, &UNBOUNDED, Memtable::default());
            let Replayed { split, memtable, scan, .. } = match read {
                Ok(read) => read,
                Err(error) => {
                    notes.add(&format!("segment {number} of the log cannot be read: {error}"));
                    continue;
                }
            };
            for (name, part) in split.iter().chain([&memtable]).flat_map(Memtable::parts) {
                if names.get(name).is_some_and(|id| self.is_over(*id, part)) {
                    names.remove(name).into_iter().for_each(|id| self.forget(id));
                }
                if part.is_gone() {
                    continue;
                }
                let id = *names.entry(name.clone()).or_insert(next);
                next = next.max(id + 1);
                let channel = self.channels.entry(id).or_insert_with(|| Channel::before(name, part, totals));
                self.condition.messages -= channel.live(part);
                for message in part.messages.iter().filter(|message| channel.add(message, notes)) {
                    self.log.insert((id, message.seq.get()), Arc::clone(message));
                    self.condition.messages += 1;
                }
            }
            if scan.damaged > 0 {
                notes.add(&format!("segment {number} of the log: {} stretches", scan.damaged));
            }
        }
        if notes.count() > damages {
            self.renew(totals);
        }
    }

    /// It is not known of which channels something is lost: each gets another epoch, the same that a server would give it.
    fn renew(&mut self, totals: Totals) {
        for channel in self.channels.values_mut().filter(|channel| channel.logged.is_some()) {
            channel.epoch = channel.row.visible_epoch(totals.losses + 1);
        }
    }

    /// Whether what a segment has of a channel ends it, or belongs to another incarnation of it.
    fn is_over(&self, id: u64, part: &Part) -> bool {
        let logged = self.channels.get(&id).and_then(|channel| channel.logged);
        let is_cleared = || part.life.as_ref().is_some_and(|life| life.cleared);
        part.is_gone() || logged.map_or_else(is_cleared, |logged| logged != part.epoch)
    }

    /// A channel was removed.
    fn forget(&mut self, id: u64) {
        let gone = self.channels.remove(&id);
        self.condition.messages -= gone.map_or(0, |channel| channel.extent.messages);
    }
}

impl Channel {
    /// A channel that only the log has.
    fn before(name: &ChannelName, part: &Part, totals: Totals) -> Self {
        let begun = Row::begin(name.clone(), part.epoch.get(), totals.losses);
        let row = Row { newest: part.after.get(), newest_at: part.newest_at, ..begun };
        let epoch = row.visible_epoch(totals.losses + u64::from(totals.relaxed));
        Self { epoch, logged: Some(part.epoch), ..Self::of(row) }
    }

    /// Applies what a segment has of it besides messages; returns how many messages that removes.
    fn live(&mut self, part: &Part) -> u64 {
        self.row.ended |= part.ending == Ending::Close;
        let Some(changed) = part.life.as_deref() else { return 0 };
        if let Some(life) = &changed.life {
            self.life = Some((**life).clone());
        }
        for (id, producer) in &changed.producers {
            match producer {
                Some(producer) => drop(self.producers.insert(id.clone(), *producer)),
                None => drop(self.producers.remove(id)),
            }
        }
        if changed.purged == Seq::ZERO {
            return 0;
        }
        self.purged = changed.purged.get();
        self.row.newest = self.row.newest.max(self.purged);
        self.row.newest_at = self.row.newest_at.max(part.newest_at);
        std::mem::take(&mut self.extent).messages
    }

    /// Adds a message that the log has; returns whether it was not there yet.
    fn add(&mut self, message: &Arc<Message>, notes: &mut Notes<impl FnMut(&str)>) -> bool {
        let (seq, newest) = (message.seq.get(), self.row.newest);
        if seq <= newest {
            return false;
        }
        if seq > newest + 1 {
            let name = self.row.name.as_str();
            notes.add(&format!("channel {name:?}: messages {} to {}", newest + 1, seq - 1));
        }
        self.extent.add(seq, &Content::Message(Arc::clone(message)));
        (self.row.newest, self.row.newest_at) = (seq, message.at);
        true
    }
}
