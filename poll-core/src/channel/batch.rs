//! The messages that all readers of one position share, and what was rendered from them.
//!
//! A batch does not know the dialects: a [`Form`] is a name under which one of them keeps its bytes, so that one
//! reader renders and ten thousand others clone a reference.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use smallvec::SmallVec;

use super::renderings::{Form, Rendering, Renderings};
use crate::memory::{Kind, Memory, OverBudget};
use crate::types::{Cursor, Epoch, Message, Seq};

/// A run of messages of one channel; never empty. Messages are missing from it only where a reader asked for what is
/// [behind](crate::Store::read_on) a gap.
#[derive(Debug)]
pub struct Batch {
    epoch: Epoch,
    messages: Messages,
    renderings: Renderings,
}

/// The messages of a batch: usually one, because a batch is made for every message that has waiters.
pub(crate) type Messages = SmallVec<[Arc<Message>; 1]>;

impl Batch {
    pub(crate) fn new(epoch: Epoch, messages: Messages, memory: &Memory) -> Self {
        debug_assert!(!messages.is_empty(), "a batch gives something");
        let renderings = Renderings::new(weight(&messages), memory);
        Self { epoch, messages, renderings }
    }

    /// Whether the [account](Memory) has no room for holding this batch while a reader takes it, or for rendering it.
    /// The caller then drops it and refuses the reader.
    #[must_use]
    pub fn is_over_budget(&self) -> bool {
        self.renderings.is_over_budget()
    }

    /// Charges a part of this batch that was rendered outside the [forms](Form), for as long as it is held. Small parts
    /// are not charged.
    ///
    /// # Errors
    /// When the part is large and there is no memory for it.
    pub fn charge(&self, part: Bytes) -> Result<Bytes, OverBudget> {
        self.renderings.charge(part)
    }

    /// What the messages weigh, in bytes.
    #[must_use]
    pub fn weight(&self) -> u64 {
        weight(&self.messages)
    }

    /// The size of all payloads in bytes.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        self.messages.iter().map(|message| message.payload.len()).sum()
    }

    /// The messages, oldest first.
    #[must_use]
    pub fn messages(&self) -> &[Arc<Message>] {
        &self.messages
    }

    /// The position after `message`.
    #[must_use]
    pub fn cursor(&self, message: &Message) -> Cursor {
        Cursor { epoch: self.epoch, seq: message.seq }
    }

    /// The newest message of the batch.
    #[must_use]
    pub fn newest(&self) -> &Arc<Message> {
        &self.messages[self.messages.len() - 1]
    }

    /// The position after the whole batch.
    #[must_use]
    pub fn end(&self) -> Cursor {
        self.cursor(self.newest())
    }

    /// The batch in a form, rendered by the first reader that asks for it. Others that ask meanwhile block, so `render`
    /// must not ask for another form of this batch. What is rendered stays charged while any part of it is held.
    pub fn render(&self, form: Form, render: impl FnMut(&Self) -> Rendering) -> &Rendering {
        self.renderings.get(self, form, render)
    }

    fn bytes(&self) -> usize {
        shared_bytes(self.payload_bytes(), self.messages.len()) + size_of::<Self>()
    }
}

/// About what messages hold in memory once readers share them: they may be retained nowhere else, and a few dialects
/// render each, with its envelope.
pub(crate) fn shared_bytes(payload: usize, messages: usize) -> usize {
    const A_MESSAGE: usize = 512;
    payload * 3 + messages * A_MESSAGE
}

pub(crate) fn weight(messages: &[Arc<Message>]) -> u64 {
    messages.iter().map(|message| message.weight()).sum()
}

/// The tail batches of one channel that were asked for last, by where they start and end. They are shared from the
/// second reader on: most waiters wait alone, and holding a batch that is not shared costs more than making it again.
#[derive(Debug, Default)]
pub(crate) struct Tails {
    asked: [Option<Tail>; 4],
    next: usize,
}

#[derive(Debug)]
struct Tail {
    after: Seq,
    end: Seq,
    /// Dangling after the first reader.
    batch: Weak<Batch>,
}

impl Tail {
    fn is(&self, after: Seq, end: Seq) -> bool {
        (self.after, self.end) == (after, end)
    }
}

impl Tails {
    pub(crate) fn get(&self, after: Seq, end: Seq) -> Option<Arc<Batch>> {
        self.asked.iter().flatten().find(|tail| tail.is(after, end))?.batch.upgrade()
    }

    /// Records what was made for one reader; returns whether there was a reader before.
    pub(crate) fn note(&mut self, after: Seq, batch: &Arc<Batch>) -> bool {
        let end = batch.newest().seq;
        if let Some(tail) = self.asked.iter_mut().flatten().find(|tail| tail.is(after, end)) {
            tail.batch = Arc::downgrade(batch);
            return true;
        }
        self.asked[self.next] = Some(Tail { after, end, batch: Weak::new() });
        self.next = (self.next + 1) % self.asked.len();
        false
    }
}

/// What readers share.
pub(crate) type Shared = Arc<dyn Any + Send + Sync>;

/// Holds the batches that were made last, within a budget: on one thread a waiter is answered and gone before the next
/// one asks, so without this each would make its batch again.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    held: VecDeque<(usize, Shared)>,
    bytes: usize,
    most: usize,
}

impl Recent {
    const MOST_BYTES: u64 = 16 << 20;
    /// A fan-out is over before this many other channels have had one.
    const MOST_BATCHES: usize = 256;

    /// Bounded by a quarter of the account's share for answers: the rest is for readers that hold one.
    pub(crate) fn new(memory: &Memory) -> Self {
        let most = Self::MOST_BYTES.min(memory.bound(Kind::Answers) / 4);
        Self { most: usize::try_from(most).unwrap_or(usize::MAX), ..Self::default() }
    }

    /// Holds a batch and returns those that have to make room, to be dropped outside the lock.
    #[must_use]
    pub(crate) fn hold(&mut self, batch: Arc<Batch>) -> SmallVec<[Shared; 1]> {
        self.hold_any(batch.bytes(), batch)
    }

    /// The same for something else that is made from messages, of so many bytes.
    #[must_use]
    pub(crate) fn hold_any(&mut self, bytes: usize, batch: Shared) -> SmallVec<[Shared; 1]> {
        self.bytes += bytes;
        self.held.push_back((bytes, batch));
        let mut dropped = SmallVec::new();
        while self.bytes > self.most || self.held.len() > Self::MOST_BATCHES {
            let Some((bytes, batch)) = self.held.pop_front() else { break };
            self.bytes -= bytes;
            dropped.push(batch);
        }
        dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Payload;
    use crate::types::Timestamp;

    fn batch(numbers: std::ops::RangeInclusive<u64>, bytes: usize) -> Arc<Batch> {
        let message = |number| {
            let at = Timestamp::from_micros(number);
            let payload = Payload::text("x".repeat(bytes));
            Arc::new(Message { seq: Seq::new(number), id: crate::types::mint_id(at, 0), at, payload })
        };
        Arc::new(Batch::new(Epoch::new(1), numbers.map(message).collect(), &Memory::new(0)))
    }

    #[test]
    fn a_form_is_rendered_once_and_parts_are_cut_where_they_end() {
        let batch = batch(1..=2, 1);
        let render = |_: &Batch| Rendering { bytes: Bytes::from_static(b"abcd"), ends: Box::new([1, 4]) };
        let first = batch.render(Form::new("a"), render);
        assert_eq!(first.part(0).unwrap(), "a");
        assert_eq!(first.part(1).unwrap(), "bcd");
        assert_eq!(first.part(2), None);
        let other = |_: &Batch| Rendering { bytes: Bytes::from_static(b"ef"), ends: Box::default() };
        assert_eq!(batch.render(Form::new("c"), other).bytes, "ef");
        for (form, bytes) in [("a", "abcd"), ("c", "ef")] {
            let again = batch.render(Form::new(form), |_| unreachable!("rendered twice"));
            assert_eq!(again.bytes, bytes);
        }
    }

    #[test]
    fn messages_and_what_is_rendered_are_charged_until_the_last_part_is_dropped() {
        let memory = Memory::new(16 << 20);
        let message = |payload: usize| {
            let at = Timestamp::from_micros(1);
            let payload = Payload::text("x".repeat(payload));
            Arc::new(Message { seq: Seq::new(1), id: crate::types::mint_id(at, 0), at, payload })
        };
        let batch = |payload| Batch::new(Epoch::new(1), Messages::from_iter([message(payload)]), &memory);
        let large = batch(3 << 20);
        assert_eq!(memory.used(Kind::Answers), (3 << 20) + Message::OVERHEAD_BYTES);
        let over = batch(2 << 20);
        assert!(over.is_over_budget() && !batch(1_000).is_over_budget());
        let render = |_: &Batch| Rendering { bytes: vec![b'x'; 500].into(), ends: Box::new([500]) };
        let part = large.render(Form::new("a"), render).part(0).unwrap().slice(..10);
        drop((large, over));
        assert_eq!(memory.used(Kind::Answers), 500);
        drop(part);
        assert_eq!(memory.used(Kind::Answers), 0);
    }

    #[test]
    fn what_is_held_stays_within_the_budget() {
        let mut recent = Recent::new(&Memory::new(0));
        for number in 1..100 {
            drop(recent.hold(batch(number..=number, 1 << 20)));
            assert!(recent.bytes <= 16 << 20);
        }
        assert!(!recent.held.is_empty());
    }

    #[test]
    fn many_small_messages_weigh_more_than_their_payload() {
        let mut recent = Recent::new(&Memory::new(0));
        for _ in 0..Recent::MOST_BATCHES {
            drop(recent.hold(batch(1..=1_000, 1)));
        }
        assert!(recent.held.len() <= 32, "{} batches of a thousand", recent.held.len());
    }
}
