//! A journal that gives out numbers, ids and times itself, as one that several servers share must: the store takes them
//! as they come.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use poll_core::journal::{Mint, Taken};
use poll_core::{
    Append, Cursor, Ending, Epoch, IdempotencyKey, Journal, JournalError, Position, Publish, PublishError,
    Published, Retention, Seal, Seq, Stamp, Stamps, Store, Timestamp, mint_id,
};

use crate::fixture::*;
use crate::held_journal::full;

type Publishing<'a> = Pin<Box<dyn Future<Output = Result<Published, PublishError>> + 'a>>;

const LIFE: Epoch = Epoch::new(0xe15e);

/// Has its own counter and clock, for one channel.
#[derive(Default)]
struct Elsewhere(Mutex<Counter>);

#[derive(Default)]
struct Counter {
    queue: VecDeque<Append>,
    newest: u64,
}

impl Journal for Elsewhere {
    fn append(&self, append: Append, _: &mut Mint<'_>) -> Taken {
        self.0.lock().unwrap().queue.push_back(append);
        Taken::Queued
    }
}

/// The journal's clock: a day behind the store's, with a second for each message.
fn time(number: u64) -> Timestamp {
    NOON.before(Duration::from_secs(86_400)).after(Duration::from_secs(number))
}

fn stamp(number: u64) -> Stamp {
    let cursor = Cursor { epoch: LIFE, seq: Seq::new(number) };
    Stamp { cursor, id: mint_id(time(number), number), at: time(number) }
}

impl Elsewhere {
    fn store(retention: Retention) -> (Arc<Self>, Store) {
        let journal = Arc::new(Self::default());
        (journal.clone(), Store::new(journal, retention))
    }

    fn take(&self) -> Append {
        self.0.lock().unwrap().queue.pop_front().expect("a publish in the journal")
    }

    /// Keeps the publish that was handed over first.
    fn keep(&self) {
        let append = self.take();
        let stamps = self.mint(append.payloads().len());
        append.kept(LIFE, stamps);
    }

    fn mint(&self, messages: usize) -> Stamps {
        let mut counter = self.0.lock().unwrap();
        let first = counter.newest + 1;
        counter.newest += messages as u64;
        (first..=counter.newest).map(stamp).collect()
    }
}

fn unbounded() -> Retention {
    Retention { age: Duration::ZERO, ..Retention::default() }
}

fn publishing(store: &Store, publish: Publish) -> Publishing<'_> {
    let a = name("a");
    let mut publishing: Publishing<'_> = Box::pin(async move { store.publish(NOON, &a, publish).await });
    assert!(poll(&mut publishing, &Count::new()).is_pending());
    publishing
}

fn stamps(published: &mut Publishing<'_>) -> Vec<Stamp> {
    let Poll::Ready(Ok(published)) = poll(published, &Count::new()) else { panic!("not published") };
    published.stamps.to_vec()
}

#[test]
fn what_is_published_has_the_life_numbers_ids_and_times_that_the_journal_gave() {
    let (journal, store) = Elsewhere::store(unbounded());
    let (a, woken, lane) = (name("a"), Count::new(), store.lane());
    let pinned = pin_at(&store, NOON, "a", Position::Start);
    let mut wait = store.wait(&a, &pinned, &lane);
    assert!(poll(&mut wait, &woken).is_pending());
    let mut two = publishing(&store, Publish::many(vec![text(1), text(2)]));
    let mut one = publishing(&store, Publish::one(text(3)));
    assert_eq!(read(&store, NOON, "a", Position::Start).next, Cursor::ZERO, "nothing is seen yet");

    journal.keep();
    assert_eq!(woken.get(), 1);
    assert_eq!(stamps(&mut two), [stamp(1), stamp(2)]);
    journal.keep();
    assert_eq!(stamps(&mut one), [stamp(3)]);
    let view = read_on(&store, NOON, "a", &pinned);
    let batch = view.batch.unwrap();
    let seen = |message: &Arc<poll_core::Message>| Stamp {
        cursor: batch.cursor(message),
        id: message.id,
        at: message.at,
    };
    assert_eq!(batch.messages().iter().map(seen).collect::<Vec<_>>(), [1, 2, 3].map(stamp));
    assert_eq!(batch.messages().iter().map(|message| message.payload.len()).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(view.next, stamp(3).cursor);
}

#[test]
fn it_answers_from_another_thread() {
    let (journal, store) = Elsewhere::store(unbounded());
    let mut publishes: Vec<_> = (0..100).map(|_| publishing(&store, Publish::one(text(1)))).collect();
    let answering = std::thread::spawn(move || (0..100).for_each(|_| journal.keep()));
    answering.join().unwrap();
    let numbers = publishes.iter_mut().map(|publishing| stamps(publishing)[0].cursor.seq.get());
    assert_eq!(numbers.collect::<Vec<_>>(), (1..=100).collect::<Vec<_>>());
    assert_eq!(store.published(), 100);
}

#[test]
fn a_repeated_publish_is_answered_with_the_stamps_of_the_first() {
    let (journal, store) = Elsewhere::store(unbounded());
    let key = IdempotencyKey::parse("k").unwrap();
    let keyed = || Publish::many(vec![text(1); 2]).under(key.clone());
    let mut before = publishing(&store, Publish::one(text(1)));
    let mut first = publishing(&store, keyed());
    let mut duplicate = publishing(&store, keyed());
    journal.keep();
    journal.keep();
    assert_eq!(stamps(&mut before), [stamp(1)]);
    assert_eq!(stamps(&mut first), [stamp(2), stamp(3)]);
    assert_eq!(stamps(&mut duplicate), [stamp(2), stamp(3)]);
    let again = send(&store, NOON, "a", keyed()).unwrap();
    assert!(again.repeated && again.stamps[..] == [stamp(2), stamp(3)]);
}

#[test]
fn a_channel_ends_when_the_journal_says_so_even_without_a_message() {
    let (journal, store) = Elsewhere::store(unbounded());
    let mut last = publishing(&store, Publish::many(Vec::new()).closing());
    let append = journal.take();
    assert_eq!((append.ending(), append.payloads().len(), append.weight()), (Ending::Close, 0, 0));
    append.kept(LIFE, Stamps::new());
    assert_eq!(stamps(&mut last), []);
    let view = read(&store, NOON, "a", Position::Start);
    assert!(view.is_closed());
    assert_eq!(view.read_state.epoch, LIFE);
    assert_eq!(send(&store, NOON, "a", Publish::one(text(1))), Err(PublishError::Closed));
}

#[test]
fn a_failure_takes_no_number() {
    let (journal, store) = Elsewhere::store(unbounded());
    let mut three = [1, 2, 3].map(|bytes| publishing(&store, Publish::one(text(bytes))));
    journal.keep();
    journal.take().failed(full());
    journal.keep();
    assert_eq!(stamps(&mut three[0]), [stamp(1)]);
    let failed = poll(&mut three[1], &Count::new());
    assert_eq!(failed, Poll::Ready(Err(PublishError::Journal(full()))));
    assert_eq!(stamps(&mut three[2]), [stamp(2)]);
    let mut next = publishing(&store, Publish::one(text(1)));
    journal.keep();
    assert_eq!(stamps(&mut next), [stamp(3)]);
}

#[test]
fn stamps_that_do_not_come_next_are_shown_to_nobody_and_leave_the_publish_in_doubt() {
    let other = |number, epoch| {
        let stamp = stamp(number);
        Stamp { cursor: Cursor { epoch, ..stamp.cursor }, ..stamp }
    };
    let early = Stamp { at: time(1), ..stamp(2) };
    let wrong: [(Epoch, &[Stamp]); 7] = [
        (LIFE, &[stamp(3)]),
        (LIFE, &[stamp(1)]),
        (LIFE, &[early]),
        (LIFE, &[]),
        (LIFE, &[stamp(2), stamp(3)]),
        (LIFE, &[other(2, Epoch::new(7))]),
        (Epoch::new(7), &[other(2, Epoch::new(7))]),
    ];
    for (epoch, stamps) in wrong {
        let (journal, store) = Elsewhere::store(unbounded());
        drop(publishing(&store, Publish::one(text(1))));
        journal.keep();
        let mut second = publishing(&store, Publish::one(text(1)));
        journal.take().kept(epoch, stamps.iter().copied().collect());
        let answer = poll(&mut second, &Count::new());
        let Poll::Ready(Err(PublishError::Journal(JournalError::OutcomeUnknown(_)))) = answer else {
            panic!("{answer:?} to {stamps:?}")
        };
        assert_eq!(numbers(&read(&store, NOON, "a", Position::Start)), [1]);
    }
}

#[test]
fn what_is_on_its_way_may_be_as_early_as_the_newest_message_allows() {
    let (journal, store) = Elsewhere::store(unbounded());
    let a = name("a");
    drop(publishing(&store, Publish::one(text(1))));
    journal.keep();
    let newest = read(&store, NOON, "a", Position::Start).batch.unwrap().newest().clone();
    drop(publishing(&store, Publish::one(text(1))));
    // Its number and time are not known here, but it will be later than the first message.
    assert_eq!(store.seal(NOON, &a, &newest), Seal::Open);
    assert_eq!(store.settle(NOON, &a, NOON.as_millis()), time(1).as_millis() - 1);
    journal.keep();
    assert_eq!(store.seal(NOON, &a, &newest), Seal::Closed);
}
