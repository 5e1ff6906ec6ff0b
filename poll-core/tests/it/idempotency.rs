//! A publish sent twice under one key is kept once, whatever the journal does meanwhile.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use poll_core::journal::MemoryJournal;
use poll_core::{
    Ending, IdempotencyKey, IdempotencyKeyError, Kind, Memory, OverBudget, Payload, Position, Publish,
    PublishError, Published, Retention, Store,
};

use crate::fixture::*;
use crate::held_journal::Held;

type Publishing<'a> = Pin<Box<dyn Future<Output = Result<Published, PublishError>> + 'a>>;

fn under(key: &str, payload: &str) -> Publish {
    Publish::one(Payload::text(payload)).under(IdempotencyKey::parse(key).unwrap())
}

fn all(store: &Store, now: u64) -> Vec<u64> {
    numbers(&read(store, second(now), "a", Position::Start))
}

#[test]
fn the_same_key_gives_the_same_answer_and_publishes_nothing() {
    let store = Store::in_memory(Retention::default());
    let first = send(&store, second(0), "a", under("k", "x")).unwrap();
    let again = send(&store, second(9), "a", under("k", "x")).unwrap();
    assert!(!first.repeated && again.repeated);
    assert_eq!(first.stamps, again.stamps);
    assert_eq!(all(&store, 9), [1]);
    let elsewhere = send(&store, second(9), "b", under("k", "x")).unwrap();
    assert!(!elsewhere.repeated, "a key belongs to its channel");
}

#[test]
fn the_same_key_with_another_payload_is_refused() {
    let store = Store::in_memory(Retention::default());
    let key = || IdempotencyKey::parse("k").unwrap();
    send(&store, second(0), "a", under("k", "1")).unwrap();
    for other in [
        under("k", "2"),
        under("k", ""),
        Publish::one(Payload::json(b"1").unwrap()).under(key()),
        Publish::one(Payload::Binary("1".into())).under(key()),
        Publish::many(vec![Payload::text("1"), Payload::text("")]).under(key()),
        Publish::many(vec![]).under(key()).closing(),
    ] {
        assert_eq!(send(&store, second(0), "a", other), Err(PublishError::KeyReused));
    }
    assert!(send(&store, second(0), "a", under("k", "1")).unwrap().repeated, "the first goes on to be known");
}

#[test]
fn where_a_batch_is_cut_makes_it_another_payload() {
    let store = Store::in_memory(Retention::default());
    let batch = |parts: &[&str]| {
        let payloads = parts.iter().map(|part| Payload::text(*part)).collect();
        Publish::many(payloads).under(IdempotencyKey::parse("k").unwrap())
    };
    let first = send(&store, second(0), "a", batch(&["ab", "c"])).unwrap();
    assert_eq!(send(&store, second(0), "a", batch(&["a", "bc"])), Err(PublishError::KeyReused));
    assert_eq!(send(&store, second(0), "a", batch(&["ab", "c"])).unwrap().stamps, first.stamps);
    assert_eq!(all(&store, 0), [1, 2]);
}

#[test]
fn a_publish_that_closed_its_channel_can_be_repeated_though_nothing_else_is_taken() {
    let store = Store::in_memory(Retention::default());
    let last = || Publish { ending: Ending::Close, ..under("k", "x") };
    let first = send(&store, second(0), "a", last()).unwrap();
    assert_eq!(send(&store, second(1), "a", last()).unwrap().stamps, first.stamps);
    assert_eq!(send(&store, second(1), "a", under("j", "x")), Err(PublishError::Closed));
}

#[test]
fn a_key_is_known_for_its_window_and_not_longer() {
    let retention = Retention { idempotency: Duration::from_secs(10), ..Retention::default() };
    let store = Store::in_memory(retention);
    let send = |now| send(&store, now, "a", under("k", "x")).unwrap().repeated;
    assert!(!send(second(0)));
    assert!(send(second(10)));
    assert!(!send(second(10).after(Duration::from_micros(1))), "counted from the first, not the last");
    assert!(send(second(20)));
}

#[test]
fn a_key_taken_in_a_leap_of_the_clock_keeps_no_other_past_its_window() {
    let retention = Retention { idempotency: Duration::from_secs(10), ..Retention::default() };
    let store = Store::in_memory(retention);
    send(&store, second(1_000), "a", under("leapt", "x")).unwrap();
    send(&store, second(0), "a", under("k", "x")).unwrap();
    assert!(send(&store, second(10), "a", under("k", "x")).unwrap().repeated);
    assert!(!send(&store, second(11), "a", under("k", "x")).unwrap().repeated);
}

#[test]
fn a_key_outlives_its_message() {
    let store = Store::in_memory(Retention { age: Duration::from_secs(1), ..Retention::default() });
    let first = send(&store, second(0), "a", under("k", "x")).unwrap();
    assert_eq!(all(&store, 9), Vec::<u64>::new());
    let again = send(&store, second(9), "a", under("k", "x")).unwrap();
    assert!(again.repeated && again.stamps.is_empty());
    assert_eq!(again.gone, [first.stamps[0].cursor], "of what is gone only the position is known");
}

#[test]
fn of_a_repeated_batch_what_is_retained_is_told_whole() {
    let store = Store::in_memory(Retention { messages: 2, ..Retention::default() });
    let batch = || Publish {
        key: Some(IdempotencyKey::parse("k").unwrap()),
        ..Publish::many(vec![Payload::text("1"), Payload::text("2"), Payload::text("3")])
    };
    let first = send(&store, second(0), "a", batch()).unwrap();
    assert_eq!((first.stamps.len(), first.gone.len()), (3, 0));
    let again = send(&store, second(1), "a", batch()).unwrap();
    assert_eq!((again.gone, &again.stamps[..]), (vec![first.stamps[0].cursor], &first.stamps[1..]));
}

#[test]
fn a_key_costs_the_same_however_many_messages_it_stands_for() {
    let store = Store::in_memory(Retention { messages: 5_000, ..Retention::default() });
    let used = || store.memory().used(Kind::Keys);
    send(&store, second(0), "a", under("one", "x")).unwrap();
    let one = used();
    let many = Publish::many(vec![Payload::text("x"); 1_000]).under(IdempotencyKey::parse("many").unwrap());
    send(&store, second(0), "a", many).unwrap();
    assert_eq!(used(), 2 * one);
}

#[test]
fn keys_beyond_the_account_are_refused_and_everything_else_goes_on() {
    let memory = Memory::new(64 << 10);
    let store = Store::with_memory(Arc::new(MemoryJournal), Retention::default(), memory.clone());
    let over = PublishError::OverBudget(OverBudget(Kind::Keys));
    let mut kept = 0;
    // Many channels, so that it is not the bound of a single one that decides.
    while let Ok(published) = send(&store, second(0), &format!("c{kept}"), under("k", "x")) {
        assert!(!published.repeated);
        kept += 1;
    }
    assert!((10..1_000).contains(&kept), "{kept} keys in 16 KiB");
    assert_eq!(send(&store, second(0), "other", under("k", "x")), Err(over));
    assert!(memory.used(Kind::Keys) <= memory.bound(Kind::Keys));
    assert!(send(&store, second(0), "c0", under("k", "x")).unwrap().repeated, "what is kept is known");
    publish(&store, second(0), "other");
    store.sweep(second(400), usize::MAX);
    (0..64).for_each(|_| store.sweep(second(400), usize::MAX));
    assert_eq!(memory.used(Kind::Keys), 0, "out of the window they are forgotten");
    assert!(!send(&store, second(400), "other", under("k", "x")).unwrap().repeated);
}

#[test]
fn of_too_many_keys_the_oldest_are_forgotten() {
    let store = Store::in_memory(Retention { keys: 3, ..Retention::default() });
    for key in ["a", "b", "c", "d", "e"] {
        assert!(!send(&store, second(0), "a", under(key, "x")).unwrap().repeated);
    }
    assert!(send(&store, second(0), "a", under("e", "x")).unwrap().repeated);
    assert!(send(&store, second(0), "a", under("d", "x")).unwrap().repeated);
    assert!(!send(&store, second(0), "a", under("a", "x")).unwrap().repeated);
}

#[test]
fn a_concurrent_duplicate_waits_for_the_first_and_gets_its_answer() {
    let (journal, store) = Held::store(Retention::default());
    let (count, a) = (Count::new(), name("a"));
    let publishing =
        |payload| -> Publishing<'_> { Box::pin(store.publish(second(0), &a, under("k", payload))) };
    let (mut first, mut duplicate, mut third) = (publishing("x"), publishing("x"), publishing("x"));
    assert!(poll(&mut first, &count).is_pending());
    assert!(poll(&mut duplicate, &count).is_pending());
    assert!(poll(&mut third, &count).is_pending());
    assert_eq!(journal.len(), 1);
    assert_eq!(poll(&mut publishing("y"), &count), Poll::Ready(Err(PublishError::KeyReused)));
    drop(first);
    journal.keep();
    assert_eq!(count.get(), 2, "both are woken");
    let Poll::Ready(Ok(second)) = poll(&mut duplicate, &count) else { panic!("the duplicate waits") };
    let Poll::Ready(Ok(third)) = poll(&mut third, &count) else { panic!("the third waits") };
    assert!(second.repeated && third.repeated);
    assert_eq!(second.stamps, third.stamps);
    assert_eq!((journal.len(), all(&store, 0)), (0, vec![1]));
}

#[test]
fn when_the_first_fails_one_duplicate_is_published_instead() {
    let (journal, store) = Held::store(Retention::default());
    let (count, a) = (Count::new(), name("a"));
    let publishing = || -> Publishing<'_> { Box::pin(store.publish(second(0), &a, under("k", "x"))) };
    let mut all_three = [publishing(), publishing(), publishing()];
    assert!(all_three.iter_mut().all(|one| poll(one, &count).is_pending()));
    journal.fail();
    let [first, duplicate, third] = &mut all_three;
    assert!(matches!(poll(first, &count), Poll::Ready(Err(PublishError::Journal(_)))));
    assert!(poll(duplicate, &count).is_pending());
    assert!(poll(third, &count).is_pending());
    assert_eq!(journal.len(), 1);
    journal.keep();
    assert!(matches!(poll(duplicate, &count), Poll::Ready(Ok(Published { repeated: false, .. }))));
    assert!(matches!(poll(third, &count), Poll::Ready(Ok(Published { repeated: true, .. }))));
    assert_eq!(all(&store, 0), [1]);
}

#[test]
fn a_publish_on_its_way_keeps_its_key_whatever_the_window_and_the_number() {
    let retention = Retention { idempotency: Duration::from_secs(10), keys: 1, ..Retention::default() };
    let (journal, store) = Held::store(retention);
    let (count, a) = (Count::new(), name("a"));
    let publishing =
        |now, key| -> Publishing<'_> { Box::pin(store.publish(second(now), &a, under(key, "x"))) };
    let mut first = publishing(0, "k");
    assert!(poll(&mut first, &count).is_pending());
    let mut others: Vec<_> = ["l", "m", "n"].map(|key| publishing(99, key)).into();
    assert!(others.iter_mut().all(|one| poll(one, &count).is_pending()));
    let mut duplicate = publishing(99, "k");
    assert!(poll(&mut duplicate, &count).is_pending());
    assert_eq!(journal.len(), 4, "the duplicate is not one of them");
    (0..4).for_each(|_| journal.keep());
    assert!(matches!(poll(&mut first, &count), Poll::Ready(Ok(_))));
    assert_eq!(all(&store, 99), [1, 2, 3, 4]);
}

#[test]
fn duplicates_are_woken_while_no_lock_is_held() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::{Context, Wake, Waker};

    /// Reads the channel while it is being woken, as an executor that runs its tasks at once would.
    struct Reader(Store, AtomicBool);

    impl Wake for Reader {
        fn wake(self: Arc<Self>) {
            read(&self.0, second(0), "a", Position::Start);
            self.1.store(true, Ordering::SeqCst);
        }
    }

    for outcome in [Held::keep, Held::fail] {
        let (journal, store) = Held::store(Retention::default());
        let (count, a) = (Count::new(), name("a"));
        let publishing = || -> Publishing<'_> { Box::pin(store.publish(second(0), &a, under("k", "x"))) };
        let (mut first, mut duplicate) = (publishing(), publishing());
        assert!(poll(&mut first, &count).is_pending());
        let reader = Arc::new(Reader(store.clone(), AtomicBool::new(false)));
        let waker = Waker::from(reader.clone());
        assert!(duplicate.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        // If the lock is held, the waking thread blocks here for good; so it must not be this one.
        let (told, done) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            outcome(&journal);
            told.send(()).unwrap();
        });
        let limit = Duration::from_secs(10);
        assert!(done.recv_timeout(limit).is_ok(), "woken under the lock of the channel");
        assert!(reader.1.load(Ordering::SeqCst));
    }
}

#[test]
fn a_key_has_1_to_255_bytes() {
    assert_eq!(IdempotencyKey::parse(""), Err(IdempotencyKeyError));
    assert_eq!(IdempotencyKey::parse(&"k".repeat(256)), Err(IdempotencyKeyError));
    assert_eq!(IdempotencyKey::parse(&"k".repeat(255)).unwrap().as_str().len(), 255);
}
