//! A channel's life in memory: one promise a test. Interleavings and all journals are elsewhere.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use poll_core::life::{
    AppendError, Appended, Bound, Bounds, Condition, ContentType, Create, CreateError, Created, Deleted,
    ForkPoint, Lifetime, Order, ProducerId, ProducerStamp, Purged, Standing, Use,
};
use poll_core::{
    Continuity, Ending, JournalError, Kind, Payload, Position, Publish, PublishError, Retention, Seq, Store,
    Timestamp,
};

use crate::fixture::{Count, NOON, name, numbers, pin_at, poll, read, read_on, ready, second, send};
use crate::held_journal::Held;

fn store() -> Store {
    Store::in_memory(Retention::default())
}

fn plain() -> Create {
    Create {
        content_type: Some(ContentType::parse("text/plain").unwrap()),
        lifetime: None,
        bounds: Bounds { messages: Bound::Unlimited, seconds: Bound::Unlimited, bytes: Bound::Server },
        payloads: [].into_iter().collect(),
        ending: Ending::Open,
        origin: None,
    }
}

fn with(texts: &[&str]) -> Create {
    let payloads = texts.iter().map(|text| Payload::text((*text).to_owned())).collect();
    Create { payloads, ..plain() }
}

fn json(texts: &[&str]) -> Create {
    let payloads = texts.iter().map(|text| Payload::json(text.as_bytes()).unwrap()).collect();
    Create { content_type: Some(ContentType::parse("application/json").unwrap()), payloads, ..plain() }
}

fn fork(source: &str, after: Option<u64>, further: u64) -> Create {
    let origin = ForkPoint { source: name(source), after: after.map(Seq::new), further };
    Create { content_type: None, origin: Some(origin), ..plain() }
}

fn create(store: &Store, now: Timestamp, channel: &str, create: Create) -> Result<Created, CreateError> {
    ready(store.create(now, &name(channel), create))
}

fn one(text: &str) -> Publish {
    Publish::one(Payload::text(text.to_owned()))
}

fn append(store: &Store, now: Timestamp, channel: &str, publish: Publish) -> Result<Appended, AppendError> {
    ready(store.append(now, &name(channel), publish, Condition::default()))
}

fn produce(store: &Store, id: &str, epoch: u64, seq: u64, publish: Publish) -> Result<Appended, AppendError> {
    ready(store.append(NOON, &name("a"), publish, by(id, epoch, seq)))
}

fn by(id: &str, epoch: u64, seq: u64) -> Condition {
    let producer = Some(ProducerStamp { id: ProducerId::parse(id).unwrap(), epoch, seq });
    Condition { producer, ..Condition::default() }
}

fn standing(store: &Store, now: Timestamp, channel: &str) -> Standing {
    ready(store.describe(now, &name(channel), Use::Look)).unwrap()
}

fn is_live(store: &Store, now: Timestamp, channel: &str) -> bool {
    matches!(standing(store, now, channel), Standing::Live(_))
}

fn delete(store: &Store, channel: &str) -> Deleted {
    ready(store.delete(NOON, &name(channel))).unwrap()
}

fn texts(store: &Store, now: Timestamp, channel: &str) -> String {
    let mut view = read(store, now, channel, Position::Start);
    let mut texts = String::new();
    while let Some(batch) = view.batch.take() {
        batch.messages().iter().for_each(|m| texts += std::str::from_utf8(m.payload.as_bytes()).unwrap());
        view = read_on(store, now, channel, &poll_core::Pinned::after(view.next));
    }
    texts
}

#[test]
fn a_channel_is_there_without_messages() {
    let store = store();
    assert!(!is_live(&store, NOON, "a"));
    let Created::New { description, .. } = create(&store, NOON, "a", plain()).unwrap() else { panic!() };
    assert_eq!((description.newest, description.messages()), (Seq::ZERO, 0));
    assert!(description.life.content_type.as_ref().unwrap().is_text());
    assert!(is_live(&store, NOON, "a"));
    assert!(matches!(create(&store, NOON, "a", plain()), Ok(Created::Same(_))));
    assert!(matches!(create(&store, NOON, "a", json(&[])), Err(CreateError::Differs)));
    let until = Create { lifetime: Some(Lifetime::Until(second(9))), ..plain() };
    assert!(matches!(create(&store, NOON, "a", until), Err(CreateError::Differs)));
    let closed = Create { ending: Ending::Close, ..plain() };
    assert!(matches!(create(&store, NOON, "a", closed), Err(CreateError::Differs)));
    // Its reader's position is that of the incarnation.
    let pinned = pin_at(&store, NOON, "a", Position::End);
    assert_eq!(pinned.cursor().unwrap().epoch, description.epoch);
    append(&store, NOON, "a", one("x")).unwrap();
    assert_eq!(numbers(&read_on(&store, NOON, "a", &pinned)), [1]);
}

#[test]
fn a_channel_born_by_a_publish_is_one_of_json() {
    let store = store();
    send(&store, NOON, "a", one("x")).unwrap();
    assert!(matches!(create(&store, NOON, "a", json(&[])), Ok(Created::Same(_))));
    assert!(matches!(create(&store, NOON, "a", plain()), Err(CreateError::Differs)));
    let text = Condition { content_type: plain().content_type, ..Condition::default() };
    assert_eq!(ready(store.append(NOON, &name("a"), one("x"), text)), Err(AppendError::OtherType));
    assert_eq!(append(&store, NOON, "b", one("x")), Err(AppendError::NotFound));
}

#[test]
fn it_is_created_closed_and_closes_once() {
    let store = store();
    create(&store, NOON, "a", Create { ending: Ending::Close, ..with(&["x"]) }).unwrap();
    let Err(AppendError::Closed { end }) = append(&store, NOON, "a", one("y")) else { panic!() };
    assert_eq!(end.seq, Seq::new(1));
    create(&store, NOON, "b", plain()).unwrap();
    let waiting = pin_at(&store, NOON, "b", Position::End);
    let (count, lane) = (Count::new(), store.lane());
    let mut wait = store.wait(&name("b"), &waiting, &lane);
    assert!(poll(&mut wait, &count).is_pending());
    let Ok(Appended::New { end, .. }) = append(&store, NOON, "b", Publish::many(Vec::new()).closing()) else {
        panic!()
    };
    assert_eq!((end.seq, count.get()), (Seq::ZERO, 1));
    assert!(read_on(&store, NOON, "b", &waiting).is_closed());
    assert_eq!(send(&store, NOON, "b", one("y")), Err(PublishError::Closed));
}

#[test]
fn a_writers_order_grows() {
    let store = store();
    create(&store, NOON, "a", plain()).unwrap();
    let ordered = |order: &str| {
        let order = Some(Order::parse(order).unwrap());
        ready(store.append(NOON, &name("a"), one("x"), Condition { order, ..Condition::default() }))
    };
    for (order, fits) in [("2", true), ("10", false), ("2", false), ("3", true), ("a", true), ("B", false)] {
        let outcome = ordered(order);
        assert!(if fits { outcome.is_ok() } else { outcome == Err(AppendError::Order) }, "{order}");
    }
    append(&store, NOON, "a", one("without")).unwrap();
    assert_eq!(ordered("a"), Err(AppendError::Order));
}

#[test]
fn a_producers_append_is_kept_once() {
    let store = store();
    create(&store, NOON, "a", plain()).unwrap();
    let new = |outcome| matches!(outcome, Ok(Appended::New { .. }));
    assert_eq!(produce(&store, "p", 0, 1, one("x")), Err(AppendError::Gap { expected: 0, received: 1 }));
    assert!(new(produce(&store, "p", 0, 0, one("a"))));
    assert!(new(produce(&store, "p", 0, 1, one("b"))));
    assert!(matches!(produce(&store, "p", 0, 0, one("a")), Ok(Appended::Duplicate { last: 1, .. })));
    assert_eq!(produce(&store, "p", 0, 3, one("x")), Err(AppendError::Gap { expected: 2, received: 3 }));
    assert_eq!(produce(&store, "p", 2, 1, one("x")), Err(AppendError::NotFromZero));
    assert!(new(produce(&store, "p", 2, 0, one("c"))));
    assert_eq!(produce(&store, "p", 1, 0, one("x")), Err(AppendError::Stale { epoch: 2 }));
    assert!(new(produce(&store, "q", 7, 0, one("d"))));
    assert!(new(produce(&store, "p", 2, 1, Publish::many(Vec::new()).closing())));
    let closed = produce(&store, "p", 2, 1, one("whatever"));
    assert!(matches!(closed, Ok(Appended::Duplicate { last: 1, ending: Ending::Close, .. })));
    for (id, epoch, seq) in [("p", 2, 2), ("p", 2, 0), ("q", 7, 1), ("q", 7, 0)] {
        assert!(matches!(produce(&store, id, epoch, seq, one("x")), Err(AppendError::Closed { .. })));
    }
    assert_eq!(texts(&store, NOON, "a"), "abcd");
}

#[test]
fn a_deleted_channel_is_gone_and_its_name_is_free() {
    let store = store();
    create(&store, NOON, "a", with(&["x", "y"])).unwrap();
    let waiting = pin_at(&store, NOON, "a", Position::End);
    let (count, lane) = (Count::new(), store.lane());
    let mut wait = store.wait(&name("a"), &waiting, &lane);
    assert!(poll(&mut wait, &count).is_pending());
    assert_eq!(delete(&store, "a"), Deleted::Gone);
    assert_eq!((count.get(), store.weight(), store.channels()), (1, 0, 0));
    assert_eq!(delete(&store, "a"), Deleted::Absent);
    assert!(!is_live(&store, NOON, "a"));
    assert_eq!(append(&store, NOON, "a", one("x")), Err(AppendError::NotFound));
    create(&store, NOON, "a", json(&["1"])).unwrap();
    let view = read_on(&store, NOON, "a", &waiting);
    assert_eq!((view.read_state.continuity, numbers(&view)), (Continuity::Reset, vec![1]));
}

#[test]
fn a_purged_channel_goes_on() {
    let store = store();
    create(&store, NOON, "a", with(&["x", "y"])).unwrap();
    let start = pin_at(&store, NOON, "a", Position::Start);
    assert_eq!(ready(store.purge(NOON, &name("a"))), Ok(Purged::Done));
    assert_eq!(store.weight(), 0);
    append(&store, NOON, "a", one("z")).unwrap();
    let view = read_on(&store, NOON, "a", &start);
    assert_eq!((numbers(&view), view.read_state.missed()), (vec![3], Some(2)));
    assert_eq!(ready(store.purge(NOON, &name("b"))), Ok(Purged::Absent));
}

#[test]
fn a_sliding_lifetime_begins_anew_with_every_use() {
    let store = store();
    let create_sliding = |at| {
        create(
            &store,
            at,
            "a",
            Create { lifetime: Some(Lifetime::Sliding(Duration::from_secs(2))), ..with(&["x"]) },
        )
    };
    create_sliding(NOON).unwrap();
    // A look is no use; a read, a publish and a renewal are.
    assert!(is_live(&store, second(1), "a"));
    assert_eq!(texts(&store, second(1), "a"), "x");
    assert!(is_live(&store, second(2), "a"));
    append(&store, second(2), "a", one("y")).unwrap();
    assert!(matches!(ready(store.describe(second(3), &name("a"), Use::Renew)), Ok(Standing::Live(_))));
    assert!(is_live(&store, second(4), "a"));
    assert!(!is_live(&store, second(5), "a"));
    assert!(read(&store, second(5), "a", Position::Start).batch.is_none());
    assert_eq!(append(&store, second(5), "a", one("z")), Err(AppendError::NotFound));
    assert!(matches!(create_sliding(second(5)), Ok(Created::New { .. })));
    assert_eq!(texts(&store, second(5), "a"), "x");
    // A publish begins a new channel, too.
    send(&store, second(8), "a", one("new")).unwrap();
    assert_eq!(texts(&store, second(99), "a"), "new");
}

#[test]
fn a_sweep_removes_what_is_over() {
    let store = store();
    let until = |at| Create { lifetime: Some(Lifetime::Until(at)), ..with(&["x"]) };
    let sliding = Create { lifetime: Some(Lifetime::Sliding(Duration::from_secs(2))), ..plain() };
    create(&store, NOON, "a", until(second(2))).unwrap();
    create(&store, NOON, "b", until(second(4))).unwrap();
    create(&store, NOON, "c", sliding.clone()).unwrap();
    create(&store, NOON, "d", sliding).unwrap();
    let wait =
        |channel| store.wait(&name(channel), &pin_at(&store, NOON, channel, Position::End), &store.lane());
    let (mut a, mut d) = (wait("a"), wait("d"));
    let (at_a, at_d) = (Count::new(), Count::new());
    assert!(poll(&mut a, &at_a).is_pending() && poll(&mut d, &at_d).is_pending());
    (0..200).for_each(|_| store.sweep(second(3), 1_000));
    ready(store.tend(second(3)));
    // One that is waited on lives on, if its time slides.
    assert_eq!((store.channels(), at_a.get(), at_d.get()), (2, 1, 0));
    assert!(is_live(&store, second(3), "b") && is_live(&store, second(4), "d"));
}

#[test]
fn a_fork_shares_what_is_before_it() {
    let store = store();
    create(&store, NOON, "a", with(&["1", "2", "3"])).unwrap();
    create(&store, NOON, "b", Create { payloads: with(&["B"]).payloads, ..fork("a", Some(2), 0) }).unwrap();
    append(&store, second(1), "a", one("4")).unwrap();
    append(&store, second(2), "b", one("C")).unwrap();
    create(&store, NOON, "c", fork("b", Some(3), 0)).unwrap();
    create(&store, NOON, "d", fork("b", Some(1), 0)).unwrap();
    create(&store, NOON, "e", fork("c", None, 0)).unwrap();
    for (channel, all) in [("a", "1234"), ("b", "12BC"), ("c", "12B"), ("d", "1"), ("e", "12B")] {
        assert_eq!(texts(&store, second(3), channel), all, "{channel}");
        append(&store, second(3), channel, one("+")).unwrap();
        assert_eq!(texts(&store, second(3), channel), format!("{all}+"), "{channel}");
    }
    // Positions of the shared part are found by time and id as well.
    let second_message =
        read(&store, second(3), "a", Position::AfterSeq(Seq::new(1))).batch.unwrap().messages()[0].clone();
    for position in [Position::AfterTime(second_message.at), Position::AfterId(second_message.id)] {
        assert_eq!(numbers(&read(&store, second(3), "e", position)), [3, 4], "{position:?}");
    }
    let cursor = read(&store, second(3), "e", Position::AfterSeq(Seq::new(4))).next;
    assert_eq!(numbers(&read(&store, second(3), "e", Position::AfterSeq(Seq::new(3)))), [4]);
    assert_eq!(cursor.seq, Seq::new(4));
}

#[test]
fn what_is_inherited_and_what_is_its_own_come_at_once() {
    let store = store();
    create(&store, NOON, "0", with(&["0"])).unwrap();
    for depth in 1..=100 {
        let own = Create {
            payloads: with(&[&depth.to_string()]).payloads,
            ..fork(&(depth - 1).to_string(), None, 0)
        };
        create(&store, NOON, &depth.to_string(), own).unwrap();
    }
    assert_eq!(numbers(&read(&store, NOON, "100", Position::Start)).len(), 101);
    let limited = |messages, bytes| {
        let pinned = pin_at(&store, NOON, "100", Position::AfterSeq(Seq::new(5)));
        let limit = poll_core::Limit { messages, bytes };
        numbers(&ready(store.read(NOON, &name("100"), &pinned, limit)).unwrap())
    };
    assert_eq!((limited(3, 1 << 20), limited(100, 2)), (vec![6, 7, 8], vec![6, 7]));
    for depth in 0..100 {
        assert_eq!(delete(&store, &depth.to_string()), Deleted::Hidden);
    }
    assert_eq!((delete(&store, "100"), store.channels(), store.weight()), (Deleted::Gone, 0, 0));
}

#[test]
fn a_fork_may_leave_within_an_append() {
    let store = store();
    create(&store, NOON, "a", with(&["abc", "def"])).unwrap();
    append(&store, NOON, "a", one("ghi")).unwrap();
    for (after, further, all) in
        [(0, 2, "ab"), (0, 3, "abc"), (0, 5, "abcde"), (1, 3, "abcdef"), (2, 1, "abcdefg")]
    {
        let channel = format!("{after}/{further}");
        create(&store, NOON, &channel, fork("a", Some(after), further)).unwrap();
        assert_eq!(texts(&store, NOON, &channel), all);
        append(&store, NOON, &channel, one("!")).unwrap();
        assert_eq!(texts(&store, NOON, &channel), format!("{all}!"));
        assert!(matches!(
            create(&store, NOON, &channel, fork("a", Some(after), further)),
            Ok(Created::Same(_))
        ));
        assert!(matches!(
            create(&store, NOON, &channel, fork("a", Some(after), further + 1)),
            Err(CreateError::Differs)
        ));
    }
    for (after, further) in [(0, 7), (2, 4), (3, 1)] {
        assert!(matches!(
            create(&store, NOON, "x", fork("a", Some(after), further)),
            Err(CreateError::BeyondUnit)
        ));
    }
    assert!(matches!(create(&store, NOON, "x", fork("a", Some(4), 0)), Err(CreateError::BeyondTail)));
    create(&store, NOON, "j", json(&["1", "2", "3"])).unwrap();
    create(&store, NOON, "k", fork("j", Some(0), 2)).unwrap();
    assert_eq!(texts(&store, NOON, "k"), "12");
    assert!(matches!(create(&store, NOON, "x", fork("j", Some(0), 4)), Err(CreateError::BeyondUnit)));
    // Nothing of the refused ones holds on to the source.
    for gone in ["0/2", "0/3", "0/5", "1/3", "2/1", "a"] {
        assert_eq!(delete(&store, gone), Deleted::Gone, "{gone}");
    }
}

#[test]
fn a_deleted_source_is_hidden_until_its_last_fork_goes() {
    let store = store();
    create(&store, NOON, "a", with(&["x"])).unwrap();
    create(&store, NOON, "b", fork("a", None, 0)).unwrap();
    create(&store, NOON, "c", fork("b", None, 0)).unwrap();
    create(&store, NOON, "d", fork("b", None, 0)).unwrap();
    assert_eq!((delete(&store, "a"), delete(&store, "b")), (Deleted::Hidden, Deleted::Hidden));
    for hidden in ["a", "b"] {
        assert!(matches!(standing(&store, NOON, hidden), Standing::Hidden));
        assert_eq!(delete(&store, hidden), Deleted::AlreadyHidden);
        assert_eq!(append(&store, NOON, hidden, one("x")), Err(AppendError::Hidden));
        assert_eq!(send(&store, NOON, hidden, one("x")), Err(PublishError::Hidden));
        assert!(matches!(create(&store, NOON, hidden, plain()), Err(CreateError::Hidden)));
        assert!(matches!(create(&store, NOON, "x", fork(hidden, None, 0)), Err(CreateError::SourceHidden)));
        assert!(read(&store, NOON, hidden, Position::Start).batch.is_none());
    }
    assert!(matches!(create(&store, NOON, "x", fork("none", None, 0)), Err(CreateError::NoSource)));
    assert_eq!(texts(&store, NOON, "c"), "x");
    assert_eq!(delete(&store, "c"), Deleted::Gone);
    assert_eq!(texts(&store, NOON, "d"), "x");
    assert_eq!(delete(&store, "d"), Deleted::Gone);
    assert_eq!((store.channels(), store.weight()), (0, 0));
}

#[test]
fn what_is_never_evicted_has_a_limit() {
    let retention =
        Retention { bytes: 1_100, messages: 2, age: Duration::from_secs(1), ..Retention::default() };
    let store = Store::in_memory(retention);
    create(&store, NOON, "a", plain()).unwrap();
    for _ in 0..3 {
        append(&store, NOON, "a", one(&"x".repeat(172))).unwrap();
    }
    for _ in 0..5 {
        send(&store, NOON, "b", one(&"y".repeat(172))).unwrap();
    }
    append(&store, NOON, "a", one("small")).unwrap();
    let full = append(&store, NOON, "a", one(&"x".repeat(172)));
    assert!(matches!(full, Err(AppendError::Publish(PublishError::Journal(JournalError::Full(_))))));
    assert_eq!(texts(&store, second(100), "a").len(), 3 * 172 + 5);
    assert_eq!(delete(&store, "a"), Deleted::Gone);
    create(&store, NOON, "a", with(&[&"x".repeat(800)])).unwrap();
    // Bounds of its own.
    let own = Bounds { messages: Bound::Most(1), ..Bounds::SERVER };
    ready(store.configure(NOON, &name("b"), own)).unwrap();
    send(&store, NOON, "b", one("z")).unwrap();
    assert_eq!(texts(&store, NOON, "b"), "z");
}

/// A store with channel `a` above a journal that holds what comes next.
fn held() -> (Arc<Held>, Store) {
    let (journal, store) = Held::store(Retention::default());
    let (a, wakes) = (name("a"), Arc::new(Count::default()));
    let mut creating = Box::pin(store.create(NOON, &a, plain()));
    assert!(poll(&mut creating, &wakes).is_pending());
    journal.keep();
    assert!(poll(&mut creating, &wakes).is_ready());
    drop(creating);
    (journal, store)
}

/// Everything waits for a change that is pending, also when an append that was pending before it is kept.
#[test]
fn nothing_is_handed_over_behind_a_removal() {
    let ((journal, store), a, wakes) = (held(), name("a"), Arc::new(Count::default()));
    let mut before = Box::pin(store.append(NOON, &a, one("before"), Condition::default()));
    let mut removing = Box::pin(store.delete(NOON, &a));
    assert!(poll(&mut before, &wakes).is_pending() && poll(&mut removing, &wakes).is_pending());
    assert_eq!(journal.len(), 2);
    journal.keep();
    let mut behind = Box::pin(store.append(NOON, &a, one("behind"), Condition::default()));
    assert!(poll(&mut behind, &wakes).is_pending());
    assert_eq!(journal.len(), 1);
    journal.keep();
    assert!(poll(&mut removing, &wakes).is_ready());
    assert!(matches!(poll(&mut behind, &wakes), Poll::Ready(Err(AppendError::NotFound))));
}

#[test]
fn a_refused_append_of_a_producer_is_no_duplicate_when_it_comes_again() {
    let ((journal, store), a, wakes) = (held(), name("a"), Arc::new(Count::default()));
    for seq in 0..4 {
        let mut first = Box::pin(store.append(NOON, &a, one("first"), by("p", 0, 2 * seq)));
        assert!(poll(&mut first, &wakes).is_pending());
        let next = || Box::pin(store.append(NOON, &a, one("next"), by("p", 0, 2 * seq + 1)));
        journal.refuses.store(true, Ordering::Relaxed);
        assert!(matches!(poll(&mut next(), &wakes), Poll::Ready(Err(AppendError::Publish(_)))));
        journal.refuses.store(false, Ordering::Relaxed);
        let mut again = next();
        // Also after the first is kept, and where it fails.
        if seq == 1 {
            journal.keep();
            assert!(matches!(poll(&mut first, &wakes), Poll::Ready(Ok(Appended::New { .. }))));
        }
        assert!(poll(&mut again, &wakes).is_pending());
        while journal.len() > 0 {
            journal.keep();
        }
        assert!(matches!(poll(&mut again, &wakes), Poll::Ready(Ok(Appended::New { .. }))));
    }
    assert_eq!(texts(&store, NOON, "a"), "firstnext".repeat(4));
}

#[test]
fn an_end_that_is_pending_is_no_answer_yet() {
    for kept in [true, false] {
        let ((journal, store), a, wakes) = (held(), name("a"), Arc::new(Count::default()));
        let last = || one("last").closing();
        let mut closing = Box::pin(store.append(NOON, &a, last(), by("p", 0, 0)));
        assert!(poll(&mut closing, &wakes).is_pending());
        let mut repeated = Box::pin(store.append(NOON, &a, last(), by("p", 0, 0)));
        let mut closed = Box::pin(store.close(NOON, &a));
        let mut created = Box::pin(store.create(NOON, &a, Create { ending: Ending::Close, ..plain() }));
        assert!(poll(&mut repeated, &wakes).is_pending());
        assert!(poll(&mut closed, &wakes).is_pending() && poll(&mut created, &wakes).is_pending());
        assert_eq!(journal.len(), 1);
        if kept {
            journal.keep();
            let end = Seq::new(1);
            assert!(matches!(
                poll(&mut repeated, &wakes),
                Poll::Ready(Ok(Appended::Duplicate { last: 0, end: at, ending: Ending::Close })) if at.seq == end
            ));
            assert_eq!(poll(&mut closed, &wakes), Poll::Ready(Ok(())));
            assert!(matches!(poll(&mut created, &wakes), Poll::Ready(Ok(Created::Same(_)))));
        } else {
            journal.fail();
            assert!(poll(&mut repeated, &wakes).is_pending(), "it is handed over anew");
            journal.keep();
            assert!(matches!(poll(&mut repeated, &wakes), Poll::Ready(Ok(Appended::New { .. }))));
            assert_eq!(poll(&mut closed, &wakes), Poll::Ready(Ok(())));
        }
    }
    // A channel of which nothing is remembered but its messages.
    let (journal, store) = Held::store(Retention::default());
    let (b, wakes) = (name("b"), Arc::new(Count::default()));
    let (mut first, mut second) = (Box::pin(store.close(NOON, &b)), Box::pin(store.close(NOON, &b)));
    assert!(poll(&mut first, &wakes).is_pending() && poll(&mut second, &wakes).is_pending());
    journal.fail();
    assert!(poll(&mut second, &wakes).is_pending(), "it is handed over anew");
    journal.keep();
    assert_eq!(poll(&mut second, &wakes), Poll::Ready(Ok(())));
}

#[test]
fn a_producer_that_there_is_no_room_for_costs_nothing() {
    let store = Store::in_memory(Retention { bytes: 1_100, ..Retention::default() });
    create(&store, NOON, "a", with(&[&"x".repeat(900)])).unwrap();
    let before = store.memory().used(Kind::Keys);
    for _ in 0..3 {
        let full = produce(&store, "p", 0, 0, one(&"x".repeat(900)));
        assert!(matches!(full, Err(AppendError::Publish(PublishError::Journal(JournalError::Full(_))))));
        assert_eq!(store.memory().used(Kind::Keys), before);
    }
}
