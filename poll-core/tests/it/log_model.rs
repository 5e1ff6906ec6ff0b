//! The log against a plain list of everything that was ever appended.

use std::sync::Arc;

use poll_core::{Cursor, Epoch, Limit, Log, Message, Payload, Seq, Timestamp, mint_id};
use proptest::prelude::*;
use uuid::Uuid;

use crate::fixture::{number, text};

/// How many evicted messages the log remembers the times of.
const REMEMBERED: usize = 1_000;

#[derive(Debug, Clone)]
enum Step {
    /// Payload bytes, and microseconds since the message before.
    Append(usize, u64),
    Burst(usize),
    Evict(usize),
    /// Drops everything older than this many microseconds before the newest.
    Expire(u64),
    EvictAll,
}

/// What is asked of the log after each step; the model's size bends numbers into range.
#[derive(Debug, Clone)]
struct Question {
    position: u64,
    limit: Limit,
    time: u64,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0usize..40, 1u64..5_000).prop_map(|(bytes, step)| Step::Append(bytes, step)),
        1 => (0usize..700).prop_map(Step::Burst),
        4 => (0usize..5).prop_map(Step::Evict),
        2 => (0u64..20_000).prop_map(Step::Expire),
        1 => Just(Step::EvictAll),
    ];
    prop::collection::vec(step, 0..40)
}

fn questions() -> impl Strategy<Value = Vec<Question>> {
    let limit = (1usize..6, 0usize..100).prop_map(|(messages, bytes)| Limit { messages, bytes });
    let question = (any::<u64>(), limit, any::<u64>()).prop_map(|(position, limit, time)| Question {
        position,
        limit,
        time,
    });
    prop::collection::vec(question, 1..6)
}

/// Everything that was ever appended, and how much of it is gone.
#[derive(Default)]
struct Model {
    all: Vec<Arc<Message>>,
    evicted: usize,
}

impl Model {
    fn next(&mut self, bytes: usize, step: u64) -> Arc<Message> {
        let before = self.all.last().map_or(1_000, |message| message.at.as_micros());
        let at = Timestamp::from_micros(before + step);
        let seq = Seq::new(self.all.len() as u64 + 1);
        // A random part that is never the lowest, so that an id and its time's lowest id differ.
        let id = mint_id(at, before.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 << 40);
        self.all.push(Arc::new(Message { seq, id, at, payload: text(bytes) }));
        self.all[self.all.len() - 1].clone()
    }

    fn retained(&self) -> &[Arc<Message>] {
        &self.all[self.evicted..]
    }

    /// How many messages satisfy `seen`; forgotten ones count as seen, except for the last.
    fn seen(&self, seen: impl Fn(&Message) -> bool) -> u64 {
        let known = self.evicted.saturating_sub(REMEMBERED).saturating_sub(1);
        (known + self.all[known..].iter().filter(|message| seen(message)).count()) as u64
    }

    fn after(&self, position: u64, limit: Limit) -> Vec<u64> {
        let mut given: Vec<&Arc<Message>> = Vec::new();
        for message in self.retained().iter().filter(|message| message.seq.get() > position) {
            let bytes: usize = given.iter().map(|message| message.payload.len()).sum();
            // An empty message counts as one byte, except as the last of a batch.
            let empty = given.iter().filter(|message| message.payload.is_empty()).count();
            let fits = bytes + empty + message.payload.len() <= limit.bytes;
            if given.len() == limit.messages || !(given.is_empty() || fits) {
                break;
            }
            given.push(message);
        }
        given.into_iter().map(number).collect()
    }
}

fn take(step: &Step, log: &mut Log, model: &mut Model) {
    let evict = |log: &mut Log, model: &mut Model| {
        let oldest = model.retained().first().map(|message| message.weight());
        assert_eq!(log.evict(), oldest);
        model.evicted += usize::from(oldest.is_some());
    };
    match *step {
        Step::Append(bytes, step) => log.append(model.next(bytes, step)),
        Step::Burst(count) => (0..count).for_each(|_| log.append(model.next(1, 7))),
        Step::Evict(count) => (0..count).for_each(|_| evict(log, model)),
        Step::EvictAll => (0..=log.len()).for_each(|_| evict(log, model)),
        Step::Expire(age) => {
            let cutoff = log.newest_at().before(std::time::Duration::from_micros(age));
            let old: Vec<_> = model.retained().iter().take_while(|message| message.at < cutoff).collect();
            let (count, weight) = (old.len(), old.iter().map(|message| message.weight()).sum::<u64>());
            assert_eq!(log.expire(cutoff), weight);
            model.evicted += count;
        }
    }
}

fn facts_agree(log: &Log, model: &Model) -> Result<(), TestCaseError> {
    let newest = model.all.len() as u64;
    prop_assert_eq!(log.newest().get(), newest);
    prop_assert_eq!(log.oldest().get(), model.evicted as u64 + 1);
    prop_assert_eq!(log.len(), model.retained().len());
    prop_assert_eq!(log.is_empty(), model.retained().is_empty());
    prop_assert_eq!(log.weight(), model.retained().iter().map(|message| message.weight()).sum::<u64>());
    prop_assert_eq!(log.end(), Cursor { epoch: Epoch::new(7), seq: Seq::new(newest) });
    prop_assert_eq!(log.newest_at(), model.all.last().map_or(Timestamp::ZERO, |message| message.at));
    Ok(())
}

fn answers_agree(log: &Log, model: &Model, question: &Question) -> Result<(), TestCaseError> {
    let newest = model.all.len() as u64;
    for position in [question.position % (newest + 3), 0, model.evicted as u64, newest, u64::MAX] {
        let given: Vec<u64> = log.after(Seq::new(position), question.limit).map(number).collect();
        prop_assert_eq!(given, model.after(position, question.limit), "after {}", position);
        let there =
            (position as usize > model.evicted).then(|| model.all.get(position as usize - 1)).flatten();
        prop_assert_eq!(log.get(Seq::new(position)), there, "number {}", position);
    }
    let last = log.newest_at().as_micros();
    let time = Timestamp::from_micros(question.time % (last + 2_000));
    prop_assert_eq!(log.seq_at(time).get(), model.seen(|message| message.at <= time), "at {}", time);
    prop_assert_eq!(log.seq_at(Timestamp::MAX).get(), newest);
    prop_assert_eq!(log.seq_of(Uuid::max()).get(), newest);
    prop_assert_eq!(log.seq_of(Uuid::nil()).get(), model.seen(|_| false));
    if let Some(message) = model.all.get(question.position as usize % model.all.len().max(1)) {
        let index = message.seq.get() as usize - 1;
        prop_assert_eq!(log.find(message.id), model.retained().contains(message).then_some(message));
        prop_assert_eq!(log.seq_at(message.at).get(), model.seen(|other| other.at <= message.at));
        prop_assert_eq!(log.seq_of(message.id).get(), model.seen(|other| other.id <= message.id));
        let stranger = mint_id(message.at, 0);
        if index >= model.evicted {
            prop_assert_eq!(log.find(stranger), None);
            prop_assert_eq!(log.seq_of(stranger).get(), model.seen(|other| other.id <= stranger));
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_log_is_a_list_that_forgets_its_front(steps in steps(), questions in questions()) {
        let (mut log, mut model) = (Log::new(Epoch::new(7)), Model::default());
        for step in &steps {
            take(step, &mut log, &mut model);
            facts_agree(&log, &model)?;
            for question in &questions {
                answers_agree(&log, &model, question)?;
            }
        }
    }
}

#[test]
fn a_limit_gives_at_least_one_message_and_never_more_than_it_says() {
    let (mut log, mut model) = (Log::new(Epoch::new(7)), Model::default());
    for bytes in [10, 10, 0, 11, 1] {
        log.append(model.next(bytes, 1));
    }
    let count = |position, messages, bytes| log.after(Seq::new(position), Limit { messages, bytes }).len();
    assert_eq!(count(0, 9, 0), 1, "one message, however large");
    assert_eq!(count(0, 9, 20), 3, "what has no bytes still fits");
    assert_eq!(count(0, 9, 19), 1);
    assert_eq!(count(0, 2, 100), 2);
    assert_eq!(count(0, 0, 100), 1, "no message at all would be an answer that leads nowhere");
    assert_eq!(count(5, 9, 100), 0);
}

#[test]
fn ending_a_log_takes_nothing_from_its_readers() {
    let (mut log, mut model) = (Log::new(Epoch::new(7)), Model::default());
    log.append(model.next(1, 1));
    log.end_now();
    assert!(log.is_ended());
    assert_eq!(log.after(Seq::ZERO, Limit::default()).len(), 1);
    assert_eq!(log.get(Seq::new(1)).unwrap().payload, Payload::text("x"));
}

#[test]
fn what_a_journal_evicted_counts_as_one_for_a_reader_that_may_not_have_seen_it() {
    let at = |seconds: u64| Timestamp::from_micros(seconds * 1_000_000);
    let mut log = Log::resumed(Epoch::new(7), (Seq::new(3), at(3)), (Seq::new(9), at(9)));
    assert_eq!(log.seq_at(at(1)), Seq::new(1));
    log.raise(Seq::new(6), at(6));
    assert_eq!(log.seq_at(at(1)), Seq::new(4));
    // Nothing is left: all that is gone was taken by then.
    log.raise(Seq::new(10), at(9));
    assert_eq!((log.seq_at(at(8)), log.seq_at(at(9))), (Seq::new(8), Seq::new(9)));
    let log = Log::resumed(Epoch::new(7), (Seq::new(10), at(9)), (Seq::new(9), at(9)));
    assert_eq!((log.seq_at(at(8)), log.seq_at(at(9))), (Seq::new(8), Seq::new(9)));
    let whole = Log::resumed(Epoch::new(7), (Seq::new(1), at(1)), (Seq::new(9), at(9)));
    assert_eq!(whole.seq_at(at(0)), Seq::ZERO);
}
