//! A store that follows a shared log: what it shows, what it keeps in memory, and what it does while the log is away.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use poll_core::journal::{Followed, Run, Tail};
use poll_core::{
    Continuity, Cursor, Ending, Epoch, Found, JournalError, Locator, Message, Pinned, Position, Publish,
    PublishError, Published, Retention, Seal, Seq, Store, Timestamp, mint_id,
};

use crate::fake_log::Log;
use crate::fake_node::Node;
use crate::fixture::*;

const LIFE: Epoch = Epoch::new(7);

/// A log whose clock stands still.
fn log(tail: Tail) -> Arc<Log> {
    Log::new(Retention { age: Duration::ZERO, ..Retention::default() }, tail, || NOON)
}

fn server() -> (Arc<Node>, Store) {
    Node::store(&log(Tail::default()))
}

/// The outcome once everything in the air of a server has arrived.
fn landed<T>(node: &Node, future: impl Future<Output = T>) -> T {
    let mut future = Box::pin(future);
    loop {
        if let Poll::Ready(outcome) = poll(&mut future, &Count::new()) {
            return outcome;
        }
        assert!(node.in_the_air() > 0, "it waits for nothing");
        node.deliver_all();
    }
}

fn published((node, store): &(Arc<Node>, Store), publish: Publish) -> Published {
    landed(node, store.publish(NOON, &name("a"), publish)).unwrap()
}

fn pinned((node, store): &(Arc<Node>, Store), position: Position) -> Pinned {
    landed(node, store.pin(NOON, &name("a"), position)).unwrap()
}

fn message(seq: u64) -> Arc<Message> {
    let at = second(seq);
    Arc::new(Message { seq: Seq::new(seq), id: mint_id(at, seq), at, payload: text(1) })
}

/// Follows as many messages after a number.
fn follow(node: &Node, epoch: Epoch, after: u64, count: u64, ending: Ending) -> Followed {
    let messages: Vec<_> = (after + 1..=after + count).map(message).collect();
    let after = Seq::new(after);
    node.host().follow(&name("a"), &Run { epoch, after, messages: &messages, ending })
}

#[test]
fn what_comes_next_is_shown_what_is_known_is_dropped_and_a_hole_is_refused() {
    let (open, close) = (Ending::Open, Ending::Close);
    let other = Epoch::new(8);
    let behind = |seq| Followed::Behind(Seq::new(seq));
    // What comes, what becomes of it, and how many messages are visible then.
    let table = [
        ((LIFE, 1, 1, open), behind(0), 0),
        ((LIFE, 0, 3, open), Followed::Shown, 3),
        ((LIFE, 0, 3, open), Followed::Shown, 3),
        ((LIFE, 1, 1, open), Followed::Shown, 3),
        ((LIFE, 1, 4, open), Followed::Shown, 5),
        ((LIFE, 6, 2, open), behind(5), 5),
        ((LIFE, 6, 0, close), behind(5), 5),
        ((other, 5, 1, open), Followed::OtherEpoch, 5),
        ((other, 0, 9, open), Followed::OtherEpoch, 5),
        // An end contradicts what is known to come after it.
        ((LIFE, 0, 4, close), Followed::OtherEpoch, 5),
        ((LIFE, 5, 1, close), Followed::Shown, 6),
        ((LIFE, 5, 1, close), Followed::Shown, 6),
        ((LIFE, 6, 0, close), Followed::Shown, 6),
        ((LIFE, 0, 2, open), Followed::Shown, 6),
        ((LIFE, 6, 1, open), Followed::OtherEpoch, 6),
    ];
    let server = server();
    let (node, store) = &server;
    assert_eq!(follow(node, LIFE, 0, 1, open), Followed::NotInMemory);
    assert_eq!(node.host().newest(&name("a")), None);
    let start = pinned(&server, Position::Start);
    assert_eq!(node.host().newest(&name("a")), Some((Epoch::ZERO, Seq::ZERO, open)));
    for ((epoch, after, count, ending), expected, visible) in table {
        let said = format!("{epoch:?} {after} {count} {ending:?}");
        let (woken, lane) = (Count::new(), store.lane());
        let before = read_on(store, NOON, "a", &start);
        let at = Pinned::after(before.next);
        let mut wait = store.wait(&name("a"), &at, &lane);
        let waits = poll(&mut wait, &woken).is_pending();
        assert_eq!(follow(node, epoch, after, count, ending), expected, "{said}");
        let view = read_on(store, NOON, "a", &start);
        assert_eq!(numbers(&view), (1..=visible).collect::<Vec<_>>(), "{said}");
        let news = view.next != before.next || view.is_closed() != before.is_closed();
        assert_eq!(woken.get(), usize::from(waits && news), "{said}");
    }
    assert_eq!(node.host().newest(&name("a")), Some((LIFE, Seq::new(6), close)));
    assert_eq!(store.published(), 0, "others published all of it");
}

#[test]
fn a_channel_ends_without_ever_having_had_a_message() {
    let server = server();
    let (node, store) = &server;
    let start = pinned(&server, Position::Start);
    assert_eq!(follow(node, LIFE, 0, 0, Ending::Close), Followed::Shown);
    assert!(read_on(store, NOON, "a", &start).is_closed());
}

#[test]
fn a_publish_loads_no_channel() {
    let server = server();
    let (_, store) = &server;
    for _ in 0..10 {
        published(&server, Publish::one(text(1)));
    }
    assert_eq!((store.channels_in_memory(), store.weight(), store.channels()), (0, 0, 1));
    assert_eq!(store.published(), 10);
}

#[test]
fn memory_holds_the_tail_however_much_is_published() {
    let log = log(Tail { bytes: 2_000, ..Tail::default() });
    let (writer, reader) = (Node::store(&log), Node::store(&log));
    pinned(&reader, Position::Start);
    for number in 1..=100 {
        published(&writer, Publish::one(text(100)));
        reader.0.deliver_all();
        assert!(reader.1.weight() <= 2_000, "{} bytes after {number}", reader.1.weight());
    }
    let start = pinned(&reader, Position::Start);
    let view = landed(&reader.0, reader.1.read(NOON, &name("a"), &start, poll_core::Limit::default()));
    assert_eq!(numbers(&view.unwrap()), (1..=100).collect::<Vec<_>>(), "the rest is read back");
}

#[test]
fn a_channel_leaves_memory_when_it_is_not_read_and_stays_while_it_is_waited_for() {
    let server = server();
    let (_, store) = &server;
    let end = pinned(&server, Position::End);
    let (woken, lane) = (Count::new(), store.lane());
    let mut wait = store.wait(&name("a"), &end, &lane);
    assert!(poll(&mut wait, &woken).is_pending());
    let sweep = |seconds| (0..100).for_each(|_| store.sweep(second(seconds), 10));
    sweep(1_000);
    assert_eq!(store.channels_in_memory(), 1);
    published(&server, Publish::one(text(1)));
    assert_eq!(woken.get(), 1);
    drop(wait);
    // To be published to is not to be read.
    published(&server, Publish::one(text(1)));
    sweep(2_000);
    assert_eq!((store.channels_in_memory(), store.weight()), (0, 0));
}

#[test]
fn a_reader_that_is_level_waits_at_once_and_is_woken_by_what_was_not_announced() {
    let log = log(Tail::default());
    let (here, there) = (Node::store(&log), Node::store(&log));
    let (node, store) = &here;
    let first = published(&there, Publish::one(text(1))).stamps[0].cursor;
    pinned(&here, Position::Start);
    node.deliver_all();
    let (limit, minute) = (poll_core::Limit::default(), Duration::from_secs(60));
    let open = |position, wait| store.open_to_wait(NOON, &name("a"), position, limit, wait);
    // Too short a wait, something to read at once, and a position that may be known elsewhere.
    let beyond = Cursor { seq: first.seq.next(), ..first };
    assert!(open(Position::After(first), Duration::from_secs(1)).is_none());
    assert!(open(Position::After(Cursor { seq: Seq::ZERO, ..first }), minute).is_none());
    assert!(open(Position::After(beyond), minute).is_none());
    assert_eq!(node.in_the_air(), 0, "nothing is asked for in vain");

    published(&there, Publish::one(text(1)));
    node.lose(0);
    assert_eq!(node.in_the_air(), 0, "its announcement is lost");
    let (at, view) = open(Position::After(first), minute).expect("it has all that is known here");
    assert!(view.batch.is_none());
    let (woken, lane) = (Count::new(), store.lane());
    let mut wait = store.wait(&name("a"), &at, &lane);
    assert!(poll(&mut wait, &woken).is_pending());
    node.deliver_all();
    assert_eq!(woken.get(), 1);
    assert_eq!(numbers(&read_on(store, NOON, "a", &at)), [2]);
}

#[test]
fn while_the_log_is_away_known_messages_are_read_and_unknown_positions_wait() {
    let log = log(Tail::default());
    let (here, there) = (Node::store(&log), Node::store(&log));
    let (node, store) = &here;
    let known = published(&here, Publish::one(text(1))).stamps[0].cursor;
    pinned(&here, Position::Start);
    node.go_away();
    let news = published(&there, Publish::one(text(1))).stamps[0].cursor;

    assert_eq!(numbers(&read(store, NOON, "a", Position::Start)), [1]);
    assert_eq!(pin_at(store, NOON, "a", Position::End), Pinned::after(known));
    assert_eq!(pin_at(store, NOON, "a", Position::After(known)), Pinned::after(known));
    let found = ready(store.message(NOON, &name("a"), Locator::Cursor(known)));
    assert!(matches!(found, Ok(Found::Message(..))));
    // Not even a strange one, if the reader cannot say where it is.
    assert!(ready(store.pin(NOON, &name("a"), Position::Unknown)).is_ok());

    let (a, woken) = (name("a"), Count::new());
    let mut pinning = Box::pin(store.pin(NOON, &a, Position::After(news)));
    let mut by_number = Box::pin(store.pin(NOON, &a, Position::AfterSeq(Seq::new(2))));
    let mut finding = Box::pin(store.message(NOON, &a, Locator::Cursor(news)));
    let dead = Cursor { epoch: Epoch::new(0xdead), ..known };
    let mut over = Box::pin(store.pin(NOON, &a, Position::After(dead)));
    assert!(poll(&mut pinning, &woken).is_pending() && poll(&mut finding, &woken).is_pending());
    assert!(poll(&mut by_number, &woken).is_pending() && poll(&mut over, &woken).is_pending());
    node.come_back();
    assert_eq!(landed(node, pinning), Ok(Pinned::after(news)));
    assert_eq!(landed(node, by_number), Ok(Pinned::after(news)));
    assert!(matches!(landed(node, finding), Ok(Found::Message(..))));
    let over = landed(node, over).unwrap();
    assert_eq!(read_on(store, NOON, "a", &over).read_state.continuity, Continuity::Reset);
}

#[test]
fn a_publish_is_refused_while_the_log_is_away_and_unknown_if_it_was_lost_with_its_answer() {
    let (node, store) = server();
    let a = name("a");
    let mut publishing = Box::pin(store.publish(NOON, &a, Publish::one(text(1))));
    assert!(poll(&mut publishing, &Count::new()).is_pending());
    node.go_away();
    let unknown = ready(publishing);
    assert!(matches!(unknown, Err(PublishError::Journal(JournalError::OutcomeUnknown(_)))), "{unknown:?}");
    let refused = ready(store.publish(NOON, &a, Publish::one(text(1))));
    assert!(matches!(refused, Err(PublishError::Journal(JournalError::Unavailable(_)))), "{refused:?}");
}

#[test]
fn a_reader_of_a_channel_that_is_gone_is_reset() {
    let log = log(Tail::default());
    let server = Node::store(&log);
    let (node, store) = &server;
    published(&server, Publish::one(text(1)));
    let end = pinned(&server, Position::End);
    let (woken, lane) = (Count::new(), store.lane());
    let mut wait = store.wait(&name("a"), &end, &lane);
    assert!(poll(&mut wait, &woken).is_pending());
    log.lose(&name("a"), 0);
    node.deliver_all();
    assert_eq!(woken.get(), 1);
    let view = landed(node, store.read(NOON, &name("a"), &end, poll_core::Limit::default())).unwrap();
    assert_eq!((view.read_state.continuity, view.next), (Continuity::Reset, Cursor::ZERO));
    // A reader that goes on waiting learns it from what comes.
    published(&server, Publish::one(text(1)));
    let view = read_on(store, NOON, "a", &end);
    assert_eq!((view.read_state.continuity, numbers(&view)), (Continuity::Reset, vec![1]));
}

#[test]
fn a_channel_that_others_forgot_is_loaded_again_by_a_read_beyond_memory() {
    let log = log(Tail { bytes: 200, ..Tail::default() });
    let server = Node::store(&log);
    let (node, store) = &server;
    for _ in 0..5 {
        published(&server, Publish::one(text(1)));
    }
    let start = pinned(&server, Position::Start);
    log.lose(&name("a"), 0);
    // Nothing tells this server.
    node.lose(0);
    let view = landed(node, store.read(NOON, &name("a"), &start, poll_core::Limit::default())).unwrap();
    assert_eq!((view.batch.is_none(), view.read_state.epoch), (true, Epoch::ZERO));
}

#[test]
fn a_time_is_settled_where_the_log_is_and_from_what_is_known_while_it_is_away() {
    let server = server();
    let (node, store) = &server;
    let at = published(&server, Publish::one(text(1))).stamps[0].at;
    let start = pinned(&server, Position::Start);
    let (a, millis) = (name("a"), NOON.as_millis());
    // The log's clock stands still at noon.
    assert_eq!(landed(node, store.settle(NOON, &a, millis + 5)), Ok(millis - 1));
    assert_eq!(landed(node, store.settle(NOON, &a, millis - 5)), Ok(millis - 5));
    let newest = read_on(store, NOON, "a", &start).batch.unwrap().newest().clone();
    for _ in 0..3 {
        assert_eq!(store.seal(NOON, &a, &newest), Seal::Open, "it may still get a message of {at:?}");
        assert!(node.in_the_air() <= 1, "one seal at a time");
        node.deliver_all();
    }
    node.go_away();
    assert_eq!(ready(store.settle(NOON, &a, millis + 5)), Ok(millis - 1));
    let unborn = name("unborn");
    let mut nothing_known = Box::pin(store.settle(NOON, &unborn, millis));
    assert!(poll(&mut nothing_known, &Count::new()).is_pending());
    node.come_back();
    assert_eq!(landed(node, nothing_known), Ok(millis - 1));
}

#[test]
fn a_millisecond_is_closed_once_the_log_has_sealed_it_or_a_later_message_is_there() {
    let clock = Arc::new(std::sync::atomic::AtomicU64::new(NOON.as_micros()));
    let now = clock.clone();
    let time = move || Timestamp::from_micros(now.load(std::sync::atomic::Ordering::Relaxed));
    let log = Log::new(Retention::default(), Tail::default(), time);
    let server = Node::store(&log);
    let (node, store) = &server;
    published(&server, Publish::many(vec![text(1), text(1)]));
    let start = pinned(&server, Position::Start);
    let messages = read_on(store, NOON, "a", &start).batch.unwrap().messages().to_vec();
    clock.fetch_add(1_000, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(store.seal(NOON, &name("a"), &messages[1]), Seal::Open);
    node.deliver_all();
    assert_eq!(store.seal(NOON, &name("a"), &messages[1]), Seal::Closed);
    assert_eq!(store.seal(NOON, &name("a"), &messages[0]), Seal::Open, "the other one has its millisecond");
    clock.fetch_sub(1_000, std::sync::atomic::Ordering::Relaxed);
    let later = published(&server, Publish::one(text(1))).stamps[0].at;
    assert_eq!(later.as_millis(), NOON.as_millis() + 1, "whatever the clock says");
    assert_eq!(store.seal(NOON, &name("a"), &messages[1]), Seal::Closed);
}
