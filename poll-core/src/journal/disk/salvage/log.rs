//! What the log changes of what the database has.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::survey::{Channel, Content, Notes, Survey};
use crate::environment::Location;
use crate::journal::disk::codec::{Row, Totals};
use crate::journal::disk::log::record::Publish;
use crate::journal::disk::log::segment::{self, Scan};
use crate::life::{Change, Content as Kept};
use crate::types::{Ending, Message, Timestamp};

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
        let names = self.channels.iter().map(|(id, channel)| (channel.name().to_owned(), *id));
        let mut names: BTreeMap<String, u64> = names.collect();
        let mut next = self.channels.last_key_value().map_or(0, |(id, _)| id + 1).max(totals.next);
        for number in segments.into_iter().filter(|number| *number > totals.indexed) {
            let read = segment::read(location, number, |record| {
                let publish = record.publish();
                let name = publish.channel.as_str();
                let known = names.get(name).copied();
                if let Some(id) = known.filter(|id| self.ends_with(*id, publish)) {
                    self.forget(id);
                    names.remove(name);
                }
                if publish.removes() {
                    return;
                }
                let id = *names.entry(name.to_owned()).or_insert(next);
                next = next.max(id + 1);
                self.take(id, publish, totals, notes);
            });
            match read {
                Ok(Scan { damaged: 0, .. }) => {}
                Ok(scan) => notes.add(&format!("segment {number} of the log: {} stretches", scan.damaged)),
                Err(error) => notes.add(&format!("segment {number} of the log cannot be read: {error}")),
            }
        }
    }

    /// Whether a publish ends a channel, or belongs to another incarnation of it.
    fn ends_with(&self, id: u64, publish: Publish<'_>) -> bool {
        let logged = self.channels.get(&id).and_then(|channel| channel.logged);
        let is_other = logged.is_some_and(|logged| logged != publish.epoch);
        let change = publish.change.map(|change| change.content);
        is_other || matches!(change, Some(Kept::Removed | Kept::Born))
    }

    /// A channel was removed.
    fn forget(&mut self, id: u64) {
        self.drop_log(id);
        let gone = self.channels.remove(&id);
        self.condition.messages -= gone.map_or(0, |channel| channel.extent.messages);
    }

    /// The messages that the log has of a channel are gone.
    fn drop_log(&mut self, id: u64) {
        let gone: Vec<_> = self.log.range((id, 0)..=(id, u64::MAX)).map(|(key, _)| *key).collect();
        gone.iter().for_each(|key| drop(self.log.remove(key)));
    }

    /// Takes a publish of the log to a channel.
    fn take(&mut self, id: u64, publish: Publish<'_>, totals: Totals, notes: &mut Notes<impl FnMut(&str)>) {
        if publish.change.is_some_and(|change| change.content == Kept::Purged) {
            self.drop_log(id);
        }
        let channel = self.channels.entry(id).or_insert_with(|| Channel::before(publish, totals));
        for message in publish.messages {
            if channel.add(message, notes) {
                self.log.insert((id, message.seq.get()), Arc::clone(message));
                self.condition.messages += 1;
            }
        }
        if let Some(change) = publish.change {
            self.condition.messages -= channel.change(change);
        }
        channel.row.ended |= publish.ending == Ending::Close;
    }
}

impl Channel {
    /// A channel that only the log has.
    fn before(publish: Publish<'_>, totals: Totals) -> Self {
        let row = Row {
            name: publish.channel.clone(),
            epoch: publish.epoch.get(),
            losses: totals.losses,
            newest: publish.after.get(),
            newest_at: Timestamp::ZERO,
            ended: false,
            oldest: 0,
        };
        let epoch = row.life(totals.losses + u64::from(totals.relaxed));
        Self { epoch, logged: Some(publish.epoch), ..Self::of(row) }
    }

    /// Applies a change that does not remove the channel. Returns how many messages are gone.
    fn change(&mut self, change: &Change) -> u64 {
        let Change { life, producer, forgotten, content } = change;
        if let Some(life) = life {
            self.life = Some((**life).clone());
            let inherited = life.ancestry.cut().map_or(Timestamp::ZERO, |cut| cut.last_at);
            self.row.newest_at = self.row.newest_at.max(inherited);
        }
        if let Some((id, producer)) = producer {
            self.producers.insert(id.clone(), *producer);
        }
        if let Some(id) = forgotten {
            self.producers.remove(id);
        }
        if *content != Kept::Purged {
            return 0;
        }
        self.purged = self.row.newest;
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
