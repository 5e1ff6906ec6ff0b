//! What the log holds and the database does not have yet.
//!
//! Two memtables: one of the active segment, and one of the segment that is being moved to the database, or at first of all
//! segments that a crash left. Messages
//! are shared with their channels' logs in memory. Of each channel only as many are held as retention allows by number, so
//! what a busy channel outgrows never reaches the database.
//!
//! Readers look here first and at the database afterwards: a memtable is dropped only once the database has it, so a
//! message may be found twice, but is never missed.

use std::collections::{BTreeSet, VecDeque};
use std::ops::{Bound, RangeBounds as _};
use std::sync::Arc;

use super::forks::{Forking, Forks};
use super::life::PartLife;
use super::record::{Publish, Retains};
use crate::journal::KeptKey;
use crate::journal::disk::codec::Overhead;
use crate::journal::disk::weight::{channel_weight, key_weight};
use crate::life::{Bounds, Change, Content};
use crate::sync::Mutex;
use crate::types::{
    ChannelName, Ending, Epoch, Message, More, NameIndexMap, NameMap, NamePart, Retention, Selection, Seq,
    SeqRange, Timestamp,
};

/// All publishes that the database does not have yet.
#[derive(Debug, Default)]
pub(in super::super) struct Recent {
    memtables: Mutex<Memtables>,
}

#[derive(Debug, Default)]
struct Memtables {
    active: Memtable,
    sealed: Option<Arc<Memtable>>,
    /// How many were indexed, and how many forks were made.
    indexed: u64,
    made: u64,
    /// By source, before which name no fork in the database counts, as far as that was found.
    first_forks: NameMap<ChannelName>,
}

/// What is known of a channel's forks before the database is looked at.
pub(in super::super) struct ForkQuestion {
    indexed: u64,
    made: u64,
    /// Where to begin in the order of names.
    pub(in super::super) from: Option<ChannelName>,
}

/// The publishes of a segment, or of those that a crash left, by channel.
#[derive(Debug, Default)]
pub(in super::super) struct Memtable {
    /// In the order in which they came.
    parts: NameIndexMap<Part>,
    /// What its keys, and the channels that it begins, will weigh in the database.
    overhead: Overhead,
    /// What it holds of channels that nothing is evicted from, in bytes.
    unevictable: u64,
    forks: Forks,
}

/// What a memtable has of a channel.
#[derive(Debug, Clone)]
pub(in super::super) struct Part {
    pub(in super::super) epoch: Epoch,
    /// The number of the last message before its first publish.
    pub(in super::super) after: Seq,
    pub(in super::super) newest: Seq,
    /// When the newest message was taken; zero if there is none.
    pub(in super::super) newest_at: Timestamp,
    pub(in super::super) ending: Ending,
    /// The newest messages without holes. Older ones may have left already.
    pub(in super::super) messages: VecDeque<Arc<Message>>,
    /// Idempotency keys, oldest first.
    pub(in super::super) keys: Vec<KeptKey>,
    /// What changed of its life.
    pub(in super::super) life: Option<Box<PartLife>>,
}

impl Recent {
    /// Adds publishes that the active segment holds.
    pub(in super::super) fn add<'a>(
        &self,
        publishes: impl IntoIterator<Item = Publish<'a>>,
        retention: &Retention,
    ) {
        let mut memtables = self.memtables.lock();
        for publish in publishes {
            if publish.removes() {
                memtables.first_forks.remove(publish.channel);
            }
            if let Some(source) = memtables.active.add(publish, retention) {
                memtables.first_forks.remove(source);
                memtables.made += 1;
            }
        }
    }

    /// What its keys, and the channels that it begins, will weigh in the database.
    pub(in super::super) fn overhead(&self) -> Overhead {
        let memtables = self.memtables.lock();
        memtables.oldest_first().fold(Overhead::default(), |sum, memtable| sum.plus(memtable.overhead))
    }

    /// What it holds of channels that nothing is evicted from, in bytes.
    pub(in super::super) fn unevictable(&self) -> u64 {
        self.memtables.lock().oldest_first().map(|memtable| memtable.unevictable).sum()
    }

    /// Begins to ask for a channel's forks; `None` if the log made some and did not remove them again. If so, those count that
    /// the database has and the log did [not remove](Self::is_removed).
    pub(in super::super) fn ask_forks(&self, source: &ChannelName) -> Option<ForkQuestion> {
        let memtables = self.memtables.lock();
        let (active, sealed) = (&memtables.active.forks, memtables.sealed.as_deref());
        let any = active.any_made(source, None)
            || sealed.is_some_and(|sealed| sealed.forks.any_made(source, Some(active)));
        let Memtables { indexed, made, .. } = *memtables;
        (!any).then(|| ForkQuestion { indexed, made, from: memtables.first_forks.get(source).cloned() })
    }

    /// Whether the log removed a fork that the database has.
    pub(in super::super) fn is_removed(&self, source: &ChannelName, fork: &ChannelName) -> bool {
        let memtables = self.memtables.lock();
        let newest = memtables.oldest_first().filter_map(|memtable| memtable.forks.get(source, fork)).last();
        newest == Some(Forking::Removed)
    }

    /// The answer: the first fork that counts. Returns whether it holds: not if the database took over from the log meanwhile.
    pub(in super::super) fn answer_forks(
        &self,
        source: &ChannelName,
        question: &ForkQuestion,
        first: Option<&ChannelName>,
    ) -> bool {
        let mut memtables = self.memtables.lock();
        if memtables.indexed != question.indexed {
            return false;
        }
        if let Some(first) = first.filter(|_| memtables.made == question.made) {
            memtables.first_forks.insert(source.clone(), first.clone());
        }
        true
    }

    pub(in super::super) fn is_empty(&self) -> bool {
        self.memtables.lock().oldest_first().all(Memtable::is_empty)
    }

    pub(in super::super) fn has_active(&self) -> bool {
        !self.memtables.lock().active.is_empty()
    }

    pub(in super::super) fn has(&self, channel: &ChannelName) -> bool {
        !self.look(channel, |_| ()).is_empty()
    }

    /// Seals the active memtable and begins another; `None` while an earlier one is not [indexed](Self::indexed) yet.
    pub(in super::super) fn seal(&self) -> Option<Arc<Memtable>> {
        let mut memtables = self.memtables.lock();
        if memtables.sealed.is_some() {
            return None;
        }
        let sealed = Arc::new(std::mem::take(&mut memtables.active));
        memtables.sealed = Some(Arc::clone(&sealed));
        Some(sealed)
    }

    /// Takes over what a crash left, as sealed.
    pub(in super::super) fn recover(&self, memtable: Arc<Memtable>) {
        self.memtables.lock().sealed = Some(memtable);
    }

    /// The database has the sealed memtable.
    pub(in super::super) fn indexed(&self) {
        let mut memtables = self.memtables.lock();
        memtables.indexed += 1;
        let sealed = memtables.sealed.take();
        drop(memtables);
        drop(sealed);
    }

    /// The selected names, also of channels that are gone. As much work as the log has channels.
    pub(in super::super) fn names(&self, selection: &Selection) -> NamePart<()> {
        let mut names = BTreeSet::new();
        let memtables = self.memtables.lock();
        memtables.active.select(selection, &mut names);
        let sealed = memtables.sealed.clone();
        drop(memtables);
        if let Some(sealed) = sealed {
            sealed.select(selection, &mut names);
        }
        let more = if names.len() > selection.limit { More::Yes } else { More::No };
        NamePart { names: names.into_iter().take(selection.limit).map(|name| (name, ())).collect(), more }
    }

    /// The bounds that a channel was given last, if that is here.
    pub(in super::super) fn bounds(&self, channel: &ChannelName) -> Option<Bounds> {
        let given = |part: &Part| Some(part.life.as_ref()?.life.as_ref()?.bounds);
        self.look(channel, given).into_iter().flatten().next_back()
    }

    /// Looks at the parts of a channel, the older one first.
    pub(in super::super) fn look<T>(&self, channel: &ChannelName, look: impl FnMut(&Part) -> T) -> Vec<T> {
        let memtables = self.memtables.lock();
        memtables.oldest_first().filter_map(|memtable| memtable.parts.get(channel)).map(look).collect()
    }
}

impl Memtables {
    fn oldest_first(&self) -> impl Iterator<Item = &Memtable> {
        self.sealed.as_deref().into_iter().chain([&self.active])
    }
}

impl Memtable {
    /// Every channel's part, in no order.
    pub(in super::super) fn parts(&self) -> impl Iterator<Item = (&ChannelName, &Part)> {
        self.parts.iter()
    }

    /// Adds the first of the selected names, up to one more than the limit.
    fn select(&self, selection: &Selection, names: &mut BTreeSet<ChannelName>) {
        let from = (selection.start(), Bound::Unbounded);
        for name in self.parts.keys() {
            let is_late = names.len() > selection.limit && names.last().is_some_and(|last| name > last);
            if is_late || !from.contains(name) || !selection.covers(name.as_str()) {
                continue;
            }
            names.insert(name.clone());
            if names.len() > selection.limit + 1 {
                names.pop_last();
            }
        }
    }

    /// Forks that were made or removed, with their sources.
    pub(in super::super) fn forks(&self) -> impl Iterator<Item = (&ChannelName, &ChannelName, Forking)> {
        self.forks.iter()
    }

    pub(in super::super) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Whether a publish comes next in its channel, or begins one that was removed, as far as this memtable knows.
    pub(in super::super) fn is_next(&self, publish: Publish<'_>) -> bool {
        self.parts.get(publish.channel).is_none_or(|part| part.is_gone() || part.follows_with(&publish))
    }

    /// Adds a publish; returns the source if it makes a fork. One that does not come next begins its channel anew.
    pub(in super::super) fn add<'a>(
        &mut self,
        publish: Publish<'a>,
        retention: &Retention,
    ) -> Option<&'a ChannelName> {
        let source = self.forks.note(&publish);
        if publish.removes() {
            let gone = Some(Box::new(PartLife::gone()));
            self.parts.insert(publish.channel.clone(), Part { life: gone, ..Part::before(&publish) });
            return source;
        }
        let part = match self.parts.get_mut(publish.channel) {
            Some(part) if part.follows_with(&publish) => part,
            // An incarnation that ended, and another within one memtable: nothing of the old one is promised.
            old => {
                let cleared = old.and_then(|old| old.life.as_ref()).is_some_and(|life| life.cleared);
                let life = cleared.then(|| Box::new(PartLife { cleared, ..PartLife::default() }));
                self.parts.insert(publish.channel.clone(), Part { life, ..Part::before(&publish) });
                if publish.after == Seq::ZERO {
                    self.overhead.channels += channel_weight(publish.channel.as_str());
                }
                self.parts.get_mut(publish.channel)?
            }
        };
        if publish.retains == Retains::All {
            self.unevictable += publish.messages.iter().map(|message| message.weight()).sum::<u64>();
        }
        self.overhead.keys += publish.key.map_or(0, |(key, _)| key_weight(key));
        part.add(publish);
        if publish.retains == Retains::AsUsual {
            part.outgrow(retention.messages());
        }
        source
    }
}

impl Part {
    fn before(publish: &Publish<'_>) -> Self {
        Self {
            epoch: publish.epoch,
            after: publish.after,
            newest: publish.after,
            newest_at: Timestamp::ZERO,
            ending: Ending::Open,
            messages: VecDeque::new(),
            keys: Vec::new(),
            life: None,
        }
    }

    /// Whether the channel was removed, and not begun again.
    pub(in super::super) fn is_gone(&self) -> bool {
        self.life.as_ref().is_some_and(|life| life.gone)
    }

    /// Whether it may begin a channel that the database does not have, or remove one.
    pub(in super::super) fn may_begin_or_end(&self) -> bool {
        self.after == Seq::ZERO || self.life.is_some()
    }

    /// Whether a publish comes next in this.
    fn follows_with(&self, publish: &Publish<'_>) -> bool {
        !self.is_gone() && self.newest == publish.after && self.epoch == publish.epoch
    }

    /// Adds a publish that follows.
    fn add(&mut self, publish: Publish<'_>) {
        for message in publish.messages {
            (self.newest, self.newest_at) = (message.seq, message.at);
            self.messages.push_back(Arc::clone(message));
        }
        if let Some(change) = publish.change {
            self.change(change);
        }
        if publish.ending == Ending::Close {
            self.ending = Ending::Close;
        }
        if let Some((key, fingerprint)) = publish.key {
            let count = u32::try_from(publish.messages.len()).unwrap_or(u32::MAX);
            self.keys.push(KeptKey {
                key: key.clone(),
                fingerprint: *fingerprint,
                taken: publish.taken,
                numbers: SeqRange { after: publish.after, count },
            });
        }
    }

    fn change(&mut self, change: &Change) {
        let cut = change.life.as_ref().and_then(|life| life.ancestry.cut());
        if change.content == Content::Born
            && let Some(cut) = cut
        {
            self.newest_at = self.newest_at.max(cut.last_at);
        }
        if change.content == Content::Purged {
            self.messages.clear();
        }
        self.life.get_or_insert_default().apply(change, self.newest);
    }

    /// Drops the oldest messages over a number.
    fn outgrow(&mut self, most: usize) {
        let excess = self.messages.len().saturating_sub(most);
        self.messages.drain(..excess);
    }

    /// The number of the oldest message in here; the one after the newest if there is none.
    pub(in super::super) fn first(&self) -> Seq {
        self.messages.front().map_or(self.newest.next(), |message| message.seq)
    }

    /// The messages from a number on, at most so many.
    pub(in super::super) fn from(&self, first: Seq, most: usize) -> Vec<Arc<Message>> {
        let skipped = first.get().saturating_sub(self.first().get());
        let skipped = usize::try_from(skipped).unwrap_or(usize::MAX);
        self.messages.iter().skip(skipped).take(most).cloned().collect()
    }

    /// The number of the first message that `seen` does not cover, and when it was taken; one past the newest if all are.
    pub(in super::super) fn first_unseen(&self, seen: impl Fn(&Message) -> bool) -> (Seq, Option<Timestamp>) {
        let at = self.messages.partition_point(|message| seen(message));
        let found = self.messages.get(at);
        (found.map_or(self.newest.next(), |message| message.seq), found.map(|message| message.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Payload, mint_id};

    fn messages(numbers: std::ops::RangeInclusive<u64>) -> Vec<Arc<Message>> {
        let at = |seq| Timestamp::from_micros(1_000 + seq);
        let message = |seq| Message {
            seq: Seq::new(seq),
            id: mint_id(at(seq), seq),
            at: at(seq),
            payload: Payload::text("a"),
        };
        numbers.map(|seq| Arc::new(message(seq))).collect()
    }

    fn publish<'a>(channel: &'a ChannelName, epoch: u64, messages: &'a [Arc<Message>]) -> Publish<'a> {
        Publish {
            channel,
            epoch: Epoch::new(epoch),
            after: messages[0].seq.previous(),
            taken: messages[0].at,
            ending: Ending::Open,
            key: None,
            change: None,
            retains: Retains::AsUsual,
            messages,
        }
    }

    #[test]
    fn a_channel_keeps_what_retention_allows_and_a_seal_begins_anew() {
        let channel = ChannelName::parse("a").unwrap();
        let recent = Recent::default();
        let retention = Retention { messages: 3, ..Retention::default() };
        let (first, second) = (messages(1..=4), messages(5..=5));
        recent.add([publish(&channel, 1, &first)], &retention);
        let numbers = |part: &Part| (part.after.get(), part.first().get(), part.newest.get());
        assert_eq!(recent.look(&channel, numbers), [(0, 2, 4)]);
        assert!(!recent.seal().unwrap().is_empty());
        recent.add([publish(&channel, 1, &second)], &retention);
        assert!(recent.seal().is_none(), "one is being moved");
        assert_eq!(recent.look(&channel, numbers), [(0, 2, 4), (4, 5, 5)]);
        recent.indexed();
        assert_eq!(recent.look(&channel, numbers), [(4, 5, 5)]);
        let reborn = messages(1..=1);
        recent.add([publish(&channel, 2, &reborn)], &retention);
        assert_eq!(recent.look(&channel, numbers), [(0, 1, 1)]);
    }

    #[test]
    fn messages_are_found_by_number_and_by_time() {
        let channel = ChannelName::parse("a").unwrap();
        let recent = Recent::default();
        let all = messages(3..=9);
        recent.add([publish(&channel, 1, &all)], &Retention::default());
        let from = |first| {
            let found = recent.look(&channel, |part| part.from(Seq::new(first), 2)).remove(0);
            found.iter().map(|message| message.seq.get()).collect::<Vec<_>>()
        };
        assert_eq!((from(1), from(5), from(9), from(10)), (vec![3, 4], vec![5, 6], vec![9], vec![]));
        let after = |time| {
            let seen = |message: &Message| message.at <= Timestamp::from_micros(time);
            recent.look(&channel, |part| part.first_unseen(seen)).remove(0).0.get()
        };
        assert_eq!((after(0), after(1_005), after(2_000)), (3, 6, 10));
    }
}
