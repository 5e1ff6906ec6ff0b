//! All but the first reader of the same position up to the newest message share one batch, and what was rendered from
//! it.

use std::sync::Arc;

use poll_core::{Batch, Form, Limit, Pinned, Position, Publish, Rendering, Retention, Seq, Store};

use crate::fixture::*;

fn batch(store: &Store, position: Position) -> Arc<Batch> {
    read(store, second(9), "a", position).batch.unwrap()
}

/// The batch that readers share, after another one has asked.
fn shared(store: &Store, position: Position) -> Arc<Batch> {
    drop(batch(store, position));
    batch(store, position)
}

fn after(number: u64) -> Position {
    Position::AfterSeq(Seq::new(number))
}

#[test]
fn ten_thousand_askers_of_one_tail_hold_one_batch_rendered_once() {
    let store = Store::in_memory(Retention::default());
    (0..3).for_each(|number| drop(publish(&store, second(number), "a")));
    let mut rendered = 0;
    let first = shared(&store, after(1));
    for _ in 0..10_000 {
        let other = batch(&store, after(1));
        assert!(Arc::ptr_eq(&first, &other));
        other.render(Form::new("b"), |_| {
            rendered += 1;
            Rendering::default()
        });
    }
    assert_eq!(rendered, 1);
}

#[test]
fn what_one_asks_for_is_not_kept_for_others() {
    let store = Store::in_memory(Retention::default());
    publish(&store, second(0), "a");
    let first = batch(&store, after(0));
    let weak = Arc::downgrade(&first);
    drop(first);
    assert!(weak.upgrade().is_none(), "the store holds it");
    let second_one = Arc::downgrade(&batch(&store, after(0)));
    assert!(second_one.upgrade().is_some(), "the store does not hold it");
}

#[test]
fn a_tail_is_shared_by_readers_that_come_one_after_another() {
    let store = Store::in_memory(Retention::default());
    publish(&store, second(0), "a");
    let mut rendered = 0;
    drop(batch(&store, after(0)));
    for _ in 0..10 {
        batch(&store, after(0)).render(Form::new("a"), |_| {
            rendered += 1;
            Rendering::default()
        });
    }
    assert_eq!(rendered, 1, "only the store held the batch in between");
}

#[test]
fn however_a_position_was_named_its_tail_is_the_same() {
    let store = Store::in_memory(Retention { messages: 2, ..Retention::default() });
    let stamps: Vec<_> = (0..4).map(|number| publish(&store, second(number), "a").stamps[0]).collect();
    let shared = shared(&store, after(2));
    assert_eq!(shared.messages().len(), 2);
    for position in [
        Position::Start,
        after(1),
        after(99),
        Position::After(stamps[1].cursor),
        Position::AfterTime(stamps[1].at),
        Position::AfterId(stamps[1].id),
    ] {
        assert!(Arc::ptr_eq(&shared, &batch(&store, position)), "{position:?}");
    }
}

#[test]
fn another_position_or_another_newest_message_is_another_batch() {
    let store = Store::in_memory(Retention::default());
    (0..3).for_each(|number| drop(publish(&store, second(number), "a")));
    let [from_0, from_1] = [0, 1].map(|number| batch(&store, after(number)));
    assert!(!Arc::ptr_eq(&from_0, &from_1));
    publish(&store, second(3), "a");
    let longer = batch(&store, after(0));
    assert_eq!((from_0.newest().seq.get(), longer.newest().seq.get()), (3, 4));
}

#[test]
fn what_ends_before_the_newest_message_is_not_kept_for_others() {
    let store = Store::in_memory(Retention::default());
    (0..3).for_each(|number| drop(publish(&store, second(number), "a")));
    let pinned = pin_at(&store, second(9), "a", Position::Start);
    let page =
        || ready(store.read(second(9), &name("a"), &pinned, Limit::messages(2))).unwrap().batch.unwrap();
    let (one, other) = (page(), page());
    assert_eq!(one.messages(), other.messages());
    assert!(!Arc::ptr_eq(&one, &other));
}

#[test]
fn a_batch_holds_at_most_a_mebibyte_of_payload_and_the_cursor_says_where_to_go_on() {
    let store = Store::in_memory(Retention::default());
    let quarter = 1 << 18;
    for bytes in [quarter, quarter, quarter, quarter, 1] {
        send(&store, second(0), "a", Publish::one(text(bytes))).unwrap();
    }
    let view = read(&store, second(9), "a", Position::Start);
    assert_eq!(numbers(&view), [1, 2, 3, 4]);
    let rest = read_on(&store, second(9), "a", &Pinned::after(view.next));
    assert_eq!(numbers(&rest), [5]);
    // A message larger than the limit is given alone.
    send(&store, second(0), "a", Publish::many(vec![text((1 << 20) + 1), text(1)])).unwrap();
    assert_eq!(numbers(&read(&store, second(9), "a", after(5))), [6]);
    assert_eq!(numbers(&read(&store, second(9), "a", after(4))), [5]);
}

#[test]
fn a_batch_holds_at_most_a_thousand_messages() {
    let store = Store::in_memory(Retention { messages: 0, ..Retention::default() });
    send(&store, second(0), "a", Publish::many(vec![text(1); 2_001])).unwrap();
    let mut pinned = pin_at(&store, second(0), "a", Position::Start);
    let mut counts = Vec::new();
    while let Some(batch) = read_on(&store, second(9), "a", &pinned).batch {
        counts.push(batch.messages().len());
        pinned = Pinned::after(batch.end());
    }
    assert_eq!(counts, [1_000, 1_000, 1]);
}

#[test]
fn a_batch_outlives_the_eviction_of_its_messages() {
    let store = Store::in_memory(Retention { messages: 1, ..Retention::default() });
    publish(&store, second(0), "a");
    let held = batch(&store, after(0));
    publish(&store, second(1), "a");
    assert_eq!(held.messages()[0].seq.get(), 1);
    assert_eq!(numbers(&read(&store, second(9), "a", after(0))), [2]);
}
