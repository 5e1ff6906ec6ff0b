//! The log of one channel: an append-only, bounded ring buffer. Pure: no lock, no clock, no waiting.
//!
//! Messages are numbered without holes, and the oldest are evicted first. For a while the times of evicted messages are
//! remembered, so that a reader positioned by time or id learns exactly how many messages it missed. If it may have missed
//! more than are remembered, those count as one.
//!
//! Where a journal outlives the process, memory holds the tail of what is retained: [`Log::trim`] drops a message from
//! memory without evicting it, and the log remembers how far back the journal goes.

use std::collections::VecDeque;
use std::sync::Arc;

use uuid::Uuid;

use crate::types::{Cursor, Epoch, Limit, Message, Seq, Timestamp, mint_id};

/// How many evicted messages are remembered by their time.
const REMEMBERED: usize = 1_000;

/// The log of one incarnation of a channel.
#[derive(Debug)]
pub struct Log {
    epoch: Epoch,
    /// Messages in memory, oldest first; their numbers end at `newest`.
    messages: VecDeque<Arc<Message>>,
    /// When the first of `messages` was taken; [`Timestamp::MAX`] where there is none. Kept here because every look
    /// needs it.
    front_at: Timestamp,
    /// What is retained in the journal only: the messages before `messages`.
    archived: Option<Archived>,
    /// The number of the newest message ever appended, evicted or not.
    newest: Seq,
    /// When the newest message was taken, evicted or not.
    newest_at: Timestamp,
    /// The weight of the messages in memory, in bytes.
    weight: u64,
    ended: bool,
    /// Times of the messages that were evicted last, oldest first; they end where what is retained begins.
    evicted: VecDeque<Timestamp>,
    /// When the last message that was evicted before those was taken; `None` if that is not known.
    forgotten_at: Option<Timestamp>,
    /// Which archived messages are known to be damaged: almost always none.
    damaged: Option<Box<Damaged>>,
}

/// Ranges of messages that the journal cannot read, each as its first and last number; sorted and disjoint.
#[derive(Debug, Default)]
struct Damaged(Vec<(Seq, Seq)>);

/// Messages that are retained in the journal and not in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Archived {
    /// The number of the oldest; they end where the tail in memory begins.
    oldest: Seq,
    /// None of them was taken before this.
    since: Timestamp,
}

impl Damaged {
    /// The most ranges that are remembered, at 16 bytes each.
    const MOST: usize = 1_024;

    /// The first number from `first` on that is in none of the ranges.
    fn behind(&self, first: Seq) -> Seq {
        let index = self.0.partition_point(|(_, last)| *last < first);
        self.0.get(index).filter(|(start, _)| *start <= first).map_or(first, |(_, last)| last.next())
    }

    fn insert(&mut self, first: Seq, last: Seq) {
        let start = self.0.partition_point(|(_, end)| end.next() < first);
        let end = self.0.partition_point(|(start, _)| *start <= last.next());
        let (mut first, mut last) = (first, last);
        for (start, end) in self.0.drain(start..end) {
            (first, last) = (first.min(start), last.max(end));
        }
        self.0.insert(start, (first, last));
        if self.0.len() > Self::MOST {
            // Keep the range that was inserted just now: a reader is waiting to skip it.
            self.0.remove(if start == 0 { Self::MOST } else { 0 });
        }
    }

    /// What is left of the ranges from `oldest` on; `None` if nothing is.
    fn from(mut self: Box<Self>, oldest: Seq) -> Option<Box<Self>> {
        self.0.retain(|(_, last)| *last >= oldest);
        (!self.0.is_empty()).then_some(self)
    }
}

impl Log {
    /// An empty log of a new incarnation.
    #[must_use]
    pub fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            messages: VecDeque::new(),
            front_at: Timestamp::MAX,
            archived: None,
            newest: Seq::ZERO,
            newest_at: Timestamp::ZERO,
            weight: 0,
            ended: false,
            evicted: VecDeque::new(),
            forgotten_at: Some(Timestamp::ZERO),
            damaged: None,
        }
    }

    /// The channel's incarnation.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The number of the oldest retained message, or of the next one if nothing is retained.
    #[must_use]
    pub fn oldest(&self) -> Seq {
        self.archived.map_or(self.tail(), |archived| archived.oldest)
    }

    /// The number of the oldest message in memory, or of the next one if there is none.
    #[must_use]
    pub fn tail(&self) -> Seq {
        // Numbers have no holes and end at the newest.
        Seq::new(self.newest.get() + 1 - self.messages.len() as u64)
    }

    /// The number of the newest message, retained or not; zero before the first.
    #[must_use]
    pub fn newest(&self) -> Seq {
        self.newest
    }

    /// When the newest message was taken, retained or not.
    #[must_use]
    pub fn newest_at(&self) -> Timestamp {
        self.newest_at
    }

    /// The position of a reader that has everything.
    #[must_use]
    pub fn end(&self) -> Cursor {
        Cursor { epoch: self.epoch, seq: self.newest }
    }

    /// The number of retained messages, in memory or not.
    #[must_use]
    pub fn len(&self) -> usize {
        let archived = self.tail().get() - self.oldest().get();
        self.messages.len().saturating_add(usize::try_from(archived).unwrap_or(usize::MAX))
    }

    /// Whether nothing is retained.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.archived.is_none()
    }

    /// The weight of the messages in memory, in bytes.
    #[must_use]
    pub fn weight(&self) -> u64 {
        self.weight
    }

    /// The number of the first message after `position` that can be read, skipping what was evicted or is known to be
    /// damaged. The number of the next message if there is none.
    #[must_use]
    pub fn first_after(&self, position: Seq) -> Seq {
        let first = position.min(self.newest).next().max(self.oldest());
        self.damaged.as_ref().map_or(first, |damaged| damaged.behind(first))
    }

    /// The journal cannot read the messages from `first` to `last`. The log need not know of all damage: a read finds
    /// the rest.
    pub fn note_damaged(&mut self, first: Seq, last: Seq) {
        let (first, last) = (first.max(self.oldest()), last.min(self.tail().previous()));
        if first <= last {
            self.damaged.get_or_insert_default().insert(first, last);
        }
    }

    /// Whether the channel was closed: nothing will follow.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// Ends the log. It can still be read.
    pub fn end_now(&mut self) {
        self.ended = true;
    }

    /// Adds the next message. Its number must be the next one, and its time later than all before.
    pub fn append(&mut self, message: Arc<Message>) {
        debug_assert_eq!(message.seq, self.newest.next(), "a hole in the log");
        debug_assert!(message.at > self.newest_at, "time ran backwards in a channel");
        self.newest = message.seq;
        self.newest_at = message.at;
        self.weight += message.weight();
        if self.messages.is_empty() {
            self.front_at = message.at;
        }
        self.messages.push_back(message);
    }

    /// Removes the first message from memory.
    fn pop_front(&mut self) -> Option<Arc<Message>> {
        let message = self.messages.pop_front();
        self.front_at = self.messages.front().map_or(Timestamp::MAX, |message| message.at);
        message
    }

    /// Evicts the oldest retained message. Returns the bytes freed in memory.
    pub fn evict(&mut self) -> Option<u64> {
        if let Some(archived) = self.archived {
            self.raise(archived.oldest.next(), archived.since);
            return Some(0);
        }
        let message = self.pop_front()?;
        if self.evicted.len() == REMEMBERED {
            self.forgotten_at = self.evicted.pop_front();
        }
        self.evicted.push_back(message.at);
        self.weight -= message.weight();
        if self.messages.is_empty() {
            // A burst must not hold its memory for the rest of the channel's life.
            self.messages.shrink_to_fit();
        }
        Some(message.weight())
    }

    /// How many evicted messages are remembered by their time.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.evicted.len()
    }

    /// Forgets when evicted messages were taken: readers positioned by time or id then learn less exactly what they
    /// missed.
    pub fn forget_evicted(&mut self) {
        self.forgotten_at = self.evicted.back().copied().or(self.forgotten_at);
        self.evicted = VecDeque::new();
    }

    /// Evicts all messages taken before `cutoff` and returns the bytes freed in memory. Archived messages go all
    /// together or not at all; see [`is_stale`](Self::is_stale).
    pub fn expire(&mut self, cutoff: Timestamp) -> u64 {
        let next_at = if self.messages.is_empty() { self.newest_at } else { self.front_at };
        if self.archived.is_some() && next_at < cutoff {
            self.raise(self.tail(), next_at);
        }
        let mut freed = 0;
        while !self.messages.is_empty() && self.front_at < cutoff {
            freed += self.evict().unwrap_or_default();
        }
        freed
    }

    /// Whether some archived messages may have been taken before `cutoff`. Only the journal knows which.
    #[must_use]
    pub fn is_stale(&self, cutoff: Timestamp) -> bool {
        self.archived.is_some_and(|archived| archived.since < cutoff)
    }

    /// Drops the oldest message from memory if the journal has it, and returns its weight in bytes. `kept` is the
    /// newest message that the journal has. The message stays retained. The newest message always stays in memory, so
    /// that a reader that has everything is answered without the journal.
    pub fn trim(&mut self, kept: Seq) -> Option<u64> {
        let message =
            self.messages.front().filter(|message| message.seq <= kept && message.seq < self.newest)?;
        let (seq, at, weight) = (message.seq, message.at, message.weight());
        self.archived.get_or_insert(Archived { oldest: seq, since: at });
        self.weight -= weight;
        self.pop_front();
        Some(weight)
    }

    /// Nothing before `oldest` is retained any more, and nothing from there on was taken before `since`. Returns the
    /// bytes freed in memory.
    pub fn raise(&mut self, oldest: Seq, since: Timestamp) -> u64 {
        if let Some(archived) = self.archived {
            let oldest = oldest.max(archived.oldest);
            if oldest > archived.oldest {
                // The times of archived messages are not known.
                self.evicted.clear();
                self.forgotten_at = (oldest > self.newest).then_some(self.newest_at);
            }
            let since = archived.since.max(since);
            self.archived = (oldest < self.tail()).then_some(Archived { oldest, since });
            self.damaged = self.damaged.take().and_then(|damaged| damaged.from(oldest));
        }
        let mut freed = 0;
        while self.archived.is_none() && !self.messages.is_empty() && self.tail() < oldest {
            freed += self.evict().unwrap_or_default();
        }
        freed
    }

    /// Continues a log that a journal kept: everything from `oldest` (number and time) to `newest` is in the journal.
    /// At least the newest retained message has to be [recalled](Self::recall) before the log is used, unless it is
    /// [damaged](Self::note_damaged).
    #[must_use]
    pub fn resumed(epoch: Epoch, oldest: (Seq, Timestamp), newest: (Seq, Timestamp)) -> Self {
        let archived = (oldest.0 <= newest.0).then_some(Archived { oldest: oldest.0, since: oldest.1 });
        let forgotten_at = archived.is_none().then_some(newest.1);
        Self { archived, newest: newest.0, newest_at: newest.1, forgotten_at, ..Self::new(epoch) }
    }

    /// Puts a message back into memory, before the tail.
    pub fn recall(&mut self, message: Arc<Message>) {
        debug_assert_eq!(message.seq.next(), self.tail(), "a hole in the tail");
        self.weight += message.weight();
        let reached = self.archived.is_some_and(|archived| archived.oldest >= message.seq);
        self.front_at = message.at;
        self.messages.push_front(message);
        if reached {
            self.archived = None;
        }
    }

    /// Whether memory alone can place a reader that has seen the messages for which `seen` is true; otherwise the
    /// journal has to be asked.
    pub(crate) fn tells(&self, seen: impl FnOnce(&Message) -> bool) -> bool {
        self.archived.is_none() || self.messages.front().is_some_and(|message| seen(message))
    }

    /// The messages in memory after `position`, oldest first, within `limit`.
    pub fn after(&self, position: Seq, limit: Limit) -> impl ExactSizeIterator<Item = &Arc<Message>> + Clone {
        let first = position.next().max(self.tail());
        let skipped = first.get().saturating_sub(self.tail().get());
        let start = usize::try_from(skipped).unwrap_or(usize::MAX).min(self.messages.len());
        let most = self.messages.len().min(start.saturating_add(limit.messages.max(1)));
        let (mut end, mut bytes) = (start, 0);
        while end < most {
            let more = self.messages[end].payload.len();
            if bytes > 0 && bytes + more > limit.bytes {
                break;
            }
            bytes += more.max(1);
            end += 1;
        }
        self.messages.range(start..end)
    }

    /// The message with a number, if it is in memory.
    #[must_use]
    pub fn get(&self, seq: Seq) -> Option<&Arc<Message>> {
        let index = seq.get().checked_sub(self.tail().get())?;
        self.messages.get(usize::try_from(index).ok()?)
    }

    /// The message with an id, if it is in memory.
    #[must_use]
    pub fn find(&self, id: Uuid) -> Option<&Arc<Message>> {
        let index = self.messages.partition_point(|message| message.id < id);
        self.messages.get(index).filter(|message| message.id == id)
    }

    /// The number of the newest message taken at or before `time`, as far as is remembered.
    #[must_use]
    pub fn seq_at(&self, time: Timestamp) -> Seq {
        self.position(|message| message.at <= time, |at| at <= time)
    }

    /// The number of the newest message whose id is not above `id`, as far as is remembered.
    #[must_use]
    pub fn seq_of(&self, id: Uuid) -> Seq {
        self.position(|message| message.id <= id, |at| mint_id(at, 0) <= id)
    }

    /// `seen` and `seen_at` say whether the reader has a message, and whether it has one evicted at a time.
    fn position(&self, seen: impl Fn(&Message) -> bool, seen_at: impl Fn(Timestamp) -> bool) -> Seq {
        let retained = self.messages.partition_point(|message| seen(message)) as u64;
        if retained > 0 {
            return Seq::new(self.tail().get() - 1 + retained);
        }
        let before = self.oldest().get() - 1;
        let (remembered, seen) = (self.evicted.len(), self.evicted.partition_point(|&at| seen_at(at)));
        // It may have seen any number of those that are forgotten: counting from the first would overstate what it missed.
        let has_forgotten = before > remembered as u64;
        let missed_forgotten = has_forgotten && seen == 0 && !self.forgotten_at.is_some_and(seen_at);
        Seq::new(before - (remembered - seen) as u64 - u64::from(missed_forgotten))
    }
}
