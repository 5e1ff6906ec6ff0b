//! What of the channels' lives is intact: lives, producers, and which channel is a fork of which.
//!
//! Rows are judged by their own checksums, as all rows are. Not here: what the log changes of them.

use std::collections::{BTreeMap, BTreeSet};

use super::pages::{Entry, Pages, Widths};
use super::survey::{Channel, Judged, Notes, Survey, number};
use crate::journal::disk::lives;
use crate::life::{Life, Producer, ProducerId};

const LIVES: Widths = Widths { key: Some(8), value: None };
const PRODUCERS: Widths = Widths { key: None, value: None };
const FORKS: Widths = Widths { key: None, value: Some(0) };

impl Survey {
    /// Gives each channel its life and its producers.
    pub(super) fn read_lives(&mut self, pages: &Pages, notes: &mut Notes<impl FnMut(&str)>) {
        let rows = self.merged(pages, "lives", LIVES, |entry| {
            let id = number(&entry.key, 0)?;
            Some((id, lives::life(id, &entry.value).ok()))
        });
        let (mut whole, mut damaged) = (BTreeMap::<u64, Life>::new(), BTreeSet::new());
        for row in rows {
            match row {
                Judged::Whole(id, life) => drop(whole.insert(id, life)),
                Judged::Damaged(id) => drop(damaged.insert(id)),
            }
        }
        for id in damaged {
            let then =
                if whole.contains_key(&id) { "that of the commit before counts" } else { "it has none" };
            match self.channels.get(&id) {
                Some(channel) => notes.add(&format!("channel {:?}: its life; {then}", channel.name())),
                None => notes.add(&format!("the life of a channel whose name is lost (its number is {id})")),
            }
        }
        let mut lost = 0;
        for (id, life) in whole {
            match self.channels.get_mut(&id) {
                Some(channel) => channel.life = Some(life),
                None => lost += 1,
            }
        }
        if lost > 0 {
            notes.add(&format!("lives of channels that are not there: {lost}"));
        }
        self.read_producers(pages, notes);
        self.check_forks(pages, notes);
    }

    fn read_producers(&mut self, pages: &Pages, notes: &mut Notes<impl FnMut(&str)>) {
        let mut whole = BTreeMap::<u64, Vec<(ProducerId, Producer)>>::new();
        let mut damaged = BTreeSet::new();
        // Of two commits the newer one's row comes first.
        for entry in self.rows(pages, "producers", PRODUCERS) {
            match producer(&entry) {
                Some((id, producer)) => whole.entry(id).or_default().push(producer),
                None => drop(damaged.insert(entry.key)),
            }
        }
        for (id, producers) in whole {
            let Some(channel) = self.channels.get_mut(&id) else {
                notes.add(&format!("producers of a channel that is not there: {}", producers.len()));
                continue;
            };
            for (name, producer) in producers {
                channel.producers.entry(name).or_insert(producer);
            }
        }
        if !damaged.is_empty() {
            notes.add(&format!("producers: {}", damaged.len()));
        }
    }

    /// Notes forks that are missing in the table of forks, so that their sources may be removed, and entries of that table
    /// that are no forks.
    fn check_forks(&self, pages: &Pages, notes: &mut Notes<impl FnMut(&str)>) {
        let rows = self.rows(pages, "forks", FORKS).filter_map(|entry| pair(&entry.key));
        let known: BTreeSet<(String, String)> = rows.collect();
        let origin = |channel: &Channel| {
            let origin = channel.life.as_ref()?.origin.as_ref()?;
            Some((origin.source.as_str().to_owned(), channel.name().to_owned()))
        };
        let forks: BTreeSet<_> = self.channels.values().filter_map(origin).collect();
        for (source, fork) in forks.difference(&known) {
            notes.add(&format!("channel {fork:?}: its place among the forks of {source:?}"));
        }
        if self.is_patched() {
            // Rows of the commit before count as well.
            return;
        }
        let unknown = |channel: &&Channel| channel.life.is_none();
        let unknown: BTreeSet<_> = self.channels.values().filter(unknown).map(Channel::name).collect();
        for (source, fork) in known.difference(&forks).filter(|(_, fork)| !unknown.contains(fork.as_str())) {
            notes.add(&format!("channel {source:?}: its fork {fork:?} is none"));
        }
    }
}

fn producer(entry: &Entry) -> Option<(u64, (ProducerId, Producer))> {
    let (id, name) = (number(&entry.key, 0)?, std::str::from_utf8(entry.key.get(8..)?).ok()?);
    Some((id, lives::decode_producer(id, name, &entry.value).ok()?))
}

/// Two texts as redb puts them into one key: the length of the first one, then both.
fn pair(key: &[u8]) -> Option<(String, String)> {
    let (length, texts) = match *key.first()? {
        254 => (usize::from(u16::from_le_bytes(key.get(1..3)?.try_into().ok()?)), &key[3..]),
        255 => (usize::try_from(u32::from_le_bytes(key.get(1..5)?.try_into().ok()?)).ok()?, &key[5..]),
        length => (usize::from(length), &key[1..]),
    };
    let (source, fork) = texts.split_at_checked(length)?;
    Some((String::from_utf8(source.to_vec()).ok()?, String::from_utf8(fork.to_vec()).ok()?))
}
