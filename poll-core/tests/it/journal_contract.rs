//! What a store does above a journal that answers later: nothing is visible before it is kept, numbers have no holes
//! whatever fails, and a publisher that leaves takes nothing back.

use std::pin::Pin;
use std::task::Poll;

use poll_core::{
    Cursor, Ending, IdempotencyKey, JournalError, Position, Publish, PublishError, Published,
    Publishing as Started, Retention, Seal, Seq, Store,
};

use crate::fixture::*;
use crate::held_journal::{Held, full};

type Publishing<'a> = Pin<Box<dyn Future<Output = Result<Published, PublishError>> + 'a>>;

fn all(store: &Store) -> Vec<u64> {
    numbers(&read(store, second(0), "a", Position::Start))
}

fn first_number(published: &Poll<Result<Published, PublishError>>) -> Option<u64> {
    let Poll::Ready(Ok(published)) = published else { return None };
    Some(published.stamps[0].cursor.seq.get())
}

#[test]
fn what_the_journal_has_not_kept_is_invisible() {
    let (journal, store) = Held::store(Retention::default());
    let (count, woken, a, lane) = (Count::new(), Count::new(), name("a"), store.lane());
    let pinned = pin_at(&store, second(0), "a", Position::End);
    let mut wait = store.wait(&a, &pinned, &lane);
    assert!(poll(&mut wait, &woken).is_pending());
    let mut publishing: Publishing<'_> = Box::pin(store.publish(second(0), &a, Publish::one(text(1))));
    assert!(poll(&mut publishing, &count).is_pending());

    let view = read(&store, second(0), "a", Position::Start);
    assert_eq!((numbers(&view), view.next), (vec![], Cursor::ZERO), "not even born");
    assert_eq!(pin_at(&store, second(0), "a", Position::End), pinned);
    assert_eq!((store.published(), store.weight(), woken.get(), count.get()), (0, 0, 0, 0));

    journal.keep();
    assert_eq!((store.published(), woken.get(), count.get()), (1, 1, 1));
    assert!(poll(&mut wait, &woken).is_ready());
    assert_eq!(numbers(&read_on(&store, second(0), "a", &pinned)), [1]);
    assert_eq!(first_number(&poll(&mut publishing, &count)), Some(1));
}

#[test]
fn publishes_reach_the_journal_and_its_readers_in_the_order_of_their_numbers() {
    let (journal, store) = Held::store(Retention::default());
    let (count, a) = (Count::new(), name("a"));
    let publishing = |messages| -> Publishing<'_> {
        Box::pin(store.publish(second(0), &a, Publish::many(vec![text(1); messages])))
    };
    let mut three = [publishing(2), publishing(1), publishing(3)];
    assert!(three.iter_mut().all(|one| poll(one, &count).is_pending()));
    let mut seen: Vec<u64> = Vec::new();
    for expected in [&[1, 2][..], &[3], &[4, 5, 6]] {
        let append = journal.take();
        assert_eq!(append.messages().iter().map(number).collect::<Vec<_>>(), expected);
        assert_eq!((append.channel(), append.taken(), append.ending()), (&a, second(0), Ending::Open));
        append.kept();
        seen.extend(expected);
        assert_eq!(all(&store), seen);
    }
    let answers = three.each_mut().map(|one| first_number(&poll(one, &count)));
    assert_eq!(answers, [Some(1), Some(3), Some(4)]);
}

#[test]
fn a_failure_fails_all_behind_it_and_their_numbers_are_given_again() {
    let (journal, store) = Held::store(Retention::default());
    let (count, a) = (Count::new(), name("a"));
    let publishing = || -> Publishing<'_> { Box::pin(store.publish(second(0), &a, Publish::one(text(1)))) };
    let mut four = [publishing(), publishing(), publishing(), publishing()];
    assert!(four.iter_mut().all(|one| poll(one, &count).is_pending()));
    journal.keep();
    let lost = journal.take();
    let (epoch, lost_at) = (lost.epoch(), lost.messages()[0].at);
    lost.failed(full());

    // Nothing is minted until all are back: it would follow numbers that are void.
    let refused = poll(&mut publishing(), &count);
    assert!(matches!(refused, Poll::Ready(Err(PublishError::Journal(JournalError::Unavailable(_))))));
    journal.fail();
    assert!(poll(&mut publishing(), &count).is_ready());
    journal.fail();
    let answers = four.each_mut().map(|one| poll(one, &count));
    assert_eq!(first_number(&answers[0]), Some(1));
    assert!(answers[1..].iter().all(|answer| *answer == Poll::Ready(Err(PublishError::Journal(full())))));

    let mut again = publishing();
    assert!(poll(&mut again, &count).is_pending());
    let append = journal.take();
    assert_eq!((append.epoch(), append.messages()[0].seq), (epoch, Seq::new(2)), "no hole");
    assert!(append.messages()[0].at > lost_at, "a time is never given twice");
    append.kept();
    assert_eq!(all(&store), [1, 2]);
    assert_eq!(store.published(), 2);
}

#[test]
fn a_publish_that_fails_leaves_the_channel_unborn() {
    let (journal, store) = Held::store(Retention::default());
    let (count, a) = (Count::new(), name("a"));
    let mut publishing: Publishing<'_> = Box::pin(store.publish(second(0), &a, Publish::one(text(1))));
    assert!(poll(&mut publishing, &count).is_pending());
    journal.fail();
    assert_eq!(poll(&mut publishing, &count), Poll::Ready(Err(PublishError::Journal(full()))));
    assert_eq!(read(&store, second(0), "a", Position::Start).next, Cursor::ZERO);
}

#[test]
fn a_publisher_that_leaves_takes_nothing_back() {
    let (journal, store) = Held::store(Retention::default());
    let (count, a) = (Count::new(), name("a"));
    let mut publishing: Publishing<'_> = Box::pin(store.publish(second(0), &a, Publish::one(text(1))));
    drop(store.publish(second(0), &a, Publish::one(text(1))));
    assert_eq!(journal.len(), 0, "never polled, never published");
    assert!(poll(&mut publishing, &count).is_pending());
    drop(publishing);
    journal.keep();
    assert_eq!(all(&store), [1]);
}

#[test]
fn an_ending_on_its_way_takes_no_more_and_ends_nothing_yet() {
    let (journal, store) = Held::store(Retention::default());
    let (count, woken, a, lane) = (Count::new(), Count::new(), name("a"), store.lane());
    let pinned = pin_at(&store, second(0), "a", Position::Start);
    let mut wait = store.wait(&a, &pinned, &lane);
    assert!(poll(&mut wait, &woken).is_pending());
    let mut last: Publishing<'_> = Box::pin(store.publish(second(0), &a, Publish::one(text(1)).closing()));
    assert!(poll(&mut last, &count).is_pending());
    let mut late: Publishing<'_> = Box::pin(store.publish(second(0), &a, Publish::one(text(1))));
    assert!(poll(&mut late, &count).is_pending(), "the channel is not closed yet");
    assert!(!read_on(&store, second(0), "a", &pinned).is_closed());
    assert!(poll(&mut wait, &woken).is_pending());
    journal.keep();
    assert!(poll(&mut wait, &woken).is_ready());
    let view = read_on(&store, second(0), "a", &pinned);
    assert!(view.is_closed());
    assert_eq!(numbers(&view), [1]);
    assert_eq!(first_number(&poll(&mut last, &count)), Some(1));
    assert_eq!(poll(&mut late, &count), Poll::Ready(Err(PublishError::Closed)));
}

#[test]
fn an_ending_that_fails_leaves_the_channel_open() {
    let (journal, store) = Held::store(Retention::default());
    let (count, a) = (Count::new(), name("a"));
    let mut closing = Box::pin(store.close(second(0), &a));
    assert!(poll(&mut closing, &count).is_pending());
    journal.fail();
    assert_eq!(poll(&mut closing, &count), Poll::Ready(Err(PublishError::Journal(full()))));
    let mut publishing: Publishing<'_> = Box::pin(store.publish(second(0), &a, Publish::one(text(1))));
    assert!(poll(&mut publishing, &count).is_pending());
    journal.keep();
    assert_eq!(all(&store), [1]);
}

#[test]
fn closing_a_closed_channel_changes_nothing() {
    let store = Store::in_memory(Retention::default());
    publish(&store, second(0), "a");
    assert_eq!(ready(store.close(second(0), &name("a"))), Ok(()));
    assert_eq!(ready(store.close(second(0), &name("a"))), Ok(()));
    assert_eq!(send(&store, second(0), "a", Publish::one(text(1))), Err(PublishError::Closed));
    assert_eq!(send(&store, second(0), "a", Publish::many(vec![])), Err(PublishError::Nothing));
    assert_eq!(all(&store), [1]);
}

#[test]
fn a_journal_that_drops_a_publish_has_failed_it() {
    let (journal, store) = Held::store(Retention::default());
    let (count, a) = (Count::new(), name("a"));
    let publishing = || -> Publishing<'_> { Box::pin(store.publish(second(0), &a, Publish::one(text(1)))) };
    let mut lost = publishing();
    assert!(poll(&mut lost, &count).is_pending());
    drop(journal.take());
    let answer = poll(&mut lost, &count);
    assert!(matches!(answer, Poll::Ready(Err(PublishError::Journal(JournalError::Unavailable(_))))));
    let mut next = publishing();
    assert!(poll(&mut next, &count).is_pending());
    journal.keep();
    assert_eq!(first_number(&poll(&mut next, &count)), Some(1), "its number is given again");
    assert_eq!(all(&store), [1]);
}

fn is_unknown<T>(answer: &Poll<Result<T, PublishError>>) -> bool {
    matches!(answer, Poll::Ready(Err(PublishError::Journal(JournalError::OutcomeUnknown(_)))))
}

#[test]
fn a_publish_in_doubt_is_reported_not_shown_and_resolved_later() {
    for kept in [true, false] {
        let (journal, store) = Held::store(Retention::default());
        let (count, a) = (Count::new(), name("a"));
        let publishing =
            || -> Publishing<'_> { Box::pin(store.publish(second(0), &a, Publish::one(text(1)))) };
        let mut first = publishing();
        assert!(poll(&mut first, &count).is_pending());
        let append = journal.take();
        append.doubtful("it is not known");
        append.doubtful("to say so again changes nothing");
        assert!(is_unknown(&poll(&mut first, &count)));
        assert_eq!(read(&store, second(0), "a", Position::Start).next, Cursor::ZERO, "no reader sees it");
        let refused = poll(&mut publishing(), &count);
        assert!(matches!(refused, Poll::Ready(Err(PublishError::Journal(JournalError::Unavailable(_))))));
        assert_eq!(journal.len(), 0, "nothing stands behind a number that may be void");
        if kept {
            append.kept();
        } else {
            append.failed(full());
        }
        let mut next = publishing();
        assert!(poll(&mut next, &count).is_pending());
        journal.keep();
        assert_eq!(first_number(&poll(&mut next, &count)), Some(1 + u64::from(kept)));
        assert_eq!(all(&store).len(), 1 + usize::from(kept));
    }
}

#[test]
fn an_ending_in_doubt_does_not_pass_for_one() {
    let (journal, store) = Held::store(Retention::default());
    let (count, a) = (Count::new(), name("a"));
    let mut closing = Box::pin(store.close(second(0), &a));
    assert!(poll(&mut closing, &count).is_pending());
    let append = journal.take();
    append.doubtful("it is not known");
    assert!(is_unknown(&poll(&mut closing, &count)));
    let mut late: Publishing<'_> = Box::pin(store.publish(second(0), &a, Publish::one(text(1))));
    let refused = poll(&mut late, &count);
    assert!(matches!(refused, Poll::Ready(Err(PublishError::Journal(JournalError::Unavailable(_))))));
    append.kept();
    let mut late: Publishing<'_> = Box::pin(store.publish(second(0), &a, Publish::one(text(1))));
    assert_eq!(poll(&mut late, &count), Poll::Ready(Err(PublishError::Closed)));
}

#[test]
fn a_journal_that_ends_in_doubt_leaves_it() {
    let (journal, store) = Held::store(Retention::default());
    let (count, a) = (Count::new(), name("a"));
    let key = IdempotencyKey::parse("k").unwrap();
    let publishing = || -> Publishing<'_> {
        Box::pin(store.publish(second(0), &a, Publish::one(text(1)).under(key.clone())))
    };
    let mut first = publishing();
    assert!(poll(&mut first, &count).is_pending());
    let append = journal.take();
    append.doubtful("it is not known");
    drop(append);
    assert!(is_unknown(&poll(&mut first, &count)));
    assert!(is_unknown(&poll(&mut publishing(), &count)));
    // One that is dropped during a panic may have been kept.
    let b = name("b");
    let mut other = Box::pin(store.publish(second(0), &b, Publish::one(text(1))));
    assert!(poll(&mut other, &count).is_pending());
    let append = journal.take();
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let _append = append;
        std::panic::resume_unwind(Box::new("the journal ends"));
    }));
    assert!(ended.is_err() && is_unknown(&poll(&mut other, &count)));
}

#[test]
fn a_journal_may_answer_after_its_store_is_gone() {
    let (journal, store) = Held::store(Retention::default());
    let (count, a) = (Count::new(), name("a"));
    for outcome in [Held::keep, Held::fail] {
        let (held, short) = Held::store(Retention::default());
        let mut publishing = Box::pin(short.publish(second(0), &a, Publish::one(text(1))));
        assert!(poll(&mut publishing, &count).is_pending());
        drop(publishing);
        drop(short);
        outcome(&held);
    }
    drop((journal, store));
}

#[test]
fn a_millisecond_is_closed_only_when_nothing_on_its_way_can_share_it() {
    let (journal, store) = Held::store(Retention::default());
    let (count, a) = (Count::new(), name("a"));
    let publishing = || -> Publishing<'_> { Box::pin(store.publish(second(0), &a, Publish::one(text(1)))) };
    let mut two = [publishing(), publishing()];
    assert!(two.iter_mut().all(|one| poll(one, &count).is_pending()));
    let newest = || read(&store, second(0), "a", Position::Start).batch.unwrap().newest().clone();

    journal.keep();
    assert_eq!(
        store.seal(second(0), &a, &newest()),
        Seal::Open,
        "the second is minted, and of the same millisecond"
    );
    journal.keep();
    let last = newest();
    assert_eq!(store.seal(second(0), &a, &last), Seal::Closed);
    // A publisher that read its clock earlier comes too late for that millisecond.
    let mut late = publishing();
    assert!(poll(&mut late, &count).is_pending());
    journal.keep();
    assert!(newest().at.as_millis() > last.at.as_millis());
    assert_eq!(store.seal(second(0), &a, &last), Seal::Closed, "what follows has another");
}

#[test]
fn a_publish_goes_on_when_its_future_is_dropped() {
    let (journal, store) = Held::store(Retention::default());
    let a = name("a");
    let started = store.start_publish(second(0), &a, Publish::one(text(1))).unwrap();
    assert!(matches!(started, Started::Waiting(_)));
    drop(started);
    journal.keep();
    assert_eq!(all(&store), [1]);
}

#[test]
fn in_memory_a_publish_is_over_when_it_was_started() {
    let store = Store::in_memory(Retention::default());
    let Started::Done(published) = store.start_publish(second(0), &name("a"), Publish::one(text(1))).unwrap()
    else {
        panic!("there is nothing to wait for");
    };
    assert_eq!((published.stamps[0].cursor.seq.get(), all(&store)), (1, vec![1]));
}
