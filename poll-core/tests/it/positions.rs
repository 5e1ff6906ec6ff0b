//! What a position means, and that it keeps that meaning while a reader waits.

use std::time::Duration;

use poll_core::{
    Continuity, Cursor, Epoch, Found, Limit, Locator, Pinned, Position, Publish, Retention, Seq, Store,
    mint_id,
};
use uuid::Uuid;

use crate::fixture::*;

fn store() -> Store {
    Store::in_memory(Retention { messages: 3, ..Retention::default() })
}

/// A channel with numbers 1 to 5, of which 3 to 5 are retained; returns its incarnation.
fn five(store: &Store) -> Epoch {
    (0..4).for_each(|number| drop(publish(store, second(number), "a")));
    publish(store, second(4), "a").stamps[0].cursor.epoch
}

#[test]
fn the_start_counts_what_is_gone_as_missed() {
    let store = store();
    let epoch = five(&store);
    for position in [Position::Start, Position::After(Cursor::ZERO), Position::AfterSeq(Seq::ZERO)] {
        let view = read(&store, second(5), "a", position);
        assert_eq!(numbers(&view), [3, 4, 5], "{position:?}");
        assert_eq!(view.read_state.missed(), Some(2), "{position:?}");
        assert_eq!(view.read_state.continuity, Continuity::Kept);
        assert_eq!(view.next, cursor(epoch, 5));
    }
}

#[test]
fn a_cursor_or_a_bare_number_goes_on_behind_it() {
    let store = store();
    let epoch = five(&store);
    for (after, given, missed) in [(1, &[3, 4, 5][..], 1), (2, &[3, 4, 5], 0), (4, &[5], 0), (5, &[], 0)] {
        for position in [Position::After(cursor(epoch, after)), Position::AfterSeq(Seq::new(after))] {
            let view = read(&store, second(5), "a", position);
            assert_eq!((numbers(&view).as_slice(), view.read_state.missed()), (given, Some(missed)));
            assert_eq!(view.next, cursor(epoch, 5));
        }
    }
}

#[test]
fn a_place_that_never_was_is_reset_to_the_oldest_retained() {
    let store = store();
    let epoch = five(&store);
    let other = Epoch::new(epoch.get() ^ 1);
    for position in [
        Position::After(cursor(other, 2)),
        Position::After(cursor(other, 0)),
        Position::After(cursor(epoch, 6)),
        Position::AfterSeq(Seq::new(6)),
        Position::AfterSeq(Seq::new(u64::MAX)),
    ] {
        let view = read(&store, second(5), "a", position);
        assert_eq!(numbers(&view), [3, 4, 5], "{position:?}");
        assert_eq!(view.read_state.continuity, Continuity::Reset, "{position:?}");
        assert_eq!(view.read_state.missed(), None, "what such a reader missed is not known");
    }
}

#[test]
fn a_reset_with_nothing_retained_waits_and_says_so_when_something_comes() {
    let store = store();
    five(&store);
    let late = second(1_000);
    let pinned = pin_at(&store, late, "a", Position::AfterSeq(Seq::new(99)));
    let view = read_on(&store, late, "a", &pinned);
    assert_eq!((numbers(&view), view.read_state.continuity), (vec![], Continuity::Reset));

    let (count, lane) = (Count::new(), store.lane());
    let mut wait = store.wait(&name("a"), &pinned, &lane);
    assert!(poll(&mut wait, &count).is_pending());
    publish(&store, late, "a");
    assert!(poll(&mut wait, &count).is_ready());
    let view = read_on(&store, late, "a", &pinned);
    assert_eq!((numbers(&view), view.read_state.continuity), (vec![6], Continuity::Reset));
}

#[test]
fn an_unborn_channel_has_the_zero_cursor_and_reading_does_not_give_it_birth() {
    let store = store();
    for position in
        [Position::Start, Position::End, Position::AfterTime(second(0)), Position::AfterId(Uuid::nil())]
    {
        let view = read(&store, second(0), "a", position);
        assert_eq!((numbers(&view), view.next), (vec![], Cursor::ZERO));
        assert_eq!((view.read_state.missed(), view.is_closed()), (Some(0), false));
    }
    assert_eq!(store.channels(), 0);
    for position in [Position::AfterSeq(Seq::new(1)), Position::After(cursor(Epoch::new(9), 0))] {
        assert_eq!(read(&store, second(0), "a", position).read_state.continuity, Continuity::Reset);
    }
}

#[test]
fn the_end_of_an_unborn_channel_is_the_start_of_what_is_born_there() {
    let store = store();
    let pinned = pin_at(&store, second(0), "a", Position::End);
    let epoch = five(&store);
    let view = read_on(&store, second(5), "a", &pinned);
    assert_eq!((numbers(&view), view.read_state.missed()), (vec![3, 4, 5], Some(2)));
    let later = pin_at(&store, second(5), "a", Position::End);
    assert_eq!(read_on(&store, second(5), "a", &later).next, cursor(epoch, 5));
}

#[test]
fn what_is_pinned_does_not_move_while_its_reader_waits() {
    // "After number 1" of a channel without messages must not turn into "has everything" when 1 is published.
    let store = store();
    let pinned = pin_at(&store, second(0), "a", Position::AfterSeq(Seq::new(1)));
    publish(&store, second(0), "a");
    let view = read_on(&store, second(0), "a", &pinned);
    assert_eq!((numbers(&view), view.read_state.continuity), (vec![1], Continuity::Reset));

    // The end stays where it was when it was asked for.
    let end = pin_at(&store, second(0), "a", Position::End);
    publish(&store, second(1), "a");
    assert_eq!(numbers(&read_on(&store, second(1), "a", &end)), [2]);
    assert_eq!(numbers(&read_on(&store, second(1), "a", &end)), [2], "reading does not move it");
}

#[test]
fn a_cursor_of_a_life_that_ended_meanwhile_is_told_by_a_reset() {
    let store = Store::in_memory(Retention { channels: 1, ..Retention::default() });
    let first = publish(&store, second(0), "a").stamps[0].cursor;
    let pinned = Pinned::after(first);
    publish(&store, second(1_000), "b");
    let view = read_on(&store, second(1_000), "a", &pinned);
    assert_eq!((numbers(&view), view.next), (vec![], Cursor::ZERO));
    publish(&store, second(2_000), "a");
    let view = read_on(&store, second(2_000), "a", &pinned);
    assert_eq!((numbers(&view), view.read_state.continuity), (vec![1], Continuity::Reset));
    assert_ne!(view.next.epoch, first.epoch);
}

#[test]
fn times_and_ids_stand_after_all_that_are_not_later() {
    let store = store();
    five(&store);
    let missed_at = |time| {
        let view = read(&store, second(5), "a", Position::AfterTime(time));
        (numbers(&view), view.read_state.missed().unwrap())
    };
    assert_eq!(missed_at(second(3)), (vec![5], 0), "a message of that very time was seen");
    assert_eq!(missed_at(second(3).before(Duration::from_micros(1))), (vec![4, 5], 0));
    assert_eq!(missed_at(second(0)), (vec![3, 4, 5], 1), "what is gone is still counted by its time");
    assert_eq!(missed_at(NOON.before(Duration::from_secs(9))), (vec![3, 4, 5], 2));
    assert_eq!(missed_at(second(99)), (vec![], 0));

    let after_id = |id| numbers(&read(&store, second(5), "a", Position::AfterId(id)));
    let batch = read(&store, second(5), "a", Position::Start).batch.unwrap();
    assert_eq!(after_id(batch.messages()[1].id), [5]);
    assert_eq!(after_id(Uuid::nil()), [3, 4, 5]);
    assert_eq!(after_id(mint_id(second(3), 0)), [4, 5], "never seen: it sorts where its time puts it");
    assert_eq!(after_id(mint_id(second(3), u64::MAX)), [5]);
    assert_eq!(after_id(Uuid::max()), Vec::<u64>::new());
}

#[test]
fn a_time_stays_a_position_when_everything_is_gone() {
    let store = store();
    five(&store);
    let late = second(1_000);
    let view = read(&store, late, "a", Position::AfterTime(second(1)));
    assert_eq!((numbers(&view), view.read_state.missed()), (vec![], Some(3)));
    publish(&store, late, "a");
    let view = read(&store, late, "a", Position::AfterTime(second(1)));
    assert_eq!((numbers(&view), view.read_state.missed()), (vec![6], Some(3)));
}

#[test]
fn a_limit_leaves_the_rest_to_the_next_cursor() {
    let store = store();
    let epoch = five(&store);
    let mut pinned = pin_at(&store, second(5), "a", Position::Start);
    for number in 3..=5 {
        let view = ready(store.read(second(5), &name("a"), &pinned, Limit::messages(1))).unwrap();
        assert_eq!((numbers(&view), view.next), (vec![number], cursor(epoch, number)));
        assert!(!view.is_closed());
        pinned = Pinned::after(view.next);
    }
    assert_eq!(Limit::messages(0).messages, 1);
    assert_eq!(Limit::messages(5_000).messages, 1_000);
    let none = Limit { messages: 0, bytes: 0 };
    let view =
        ready(store.read(second(5), &name("a"), &pin_at(&store, second(5), "a", Position::Start), none))
            .unwrap();
    assert_eq!(numbers(&view), [3], "a limit by hand may say zero; one message is given all the same");
}

#[test]
fn a_closed_channel_says_so_once_its_reader_has_everything() {
    let store = store();
    let epoch = five(&store);
    ready(store.close(second(5), &name("a"))).unwrap();
    let first =
        ready(store.read(second(5), &name("a"), &Pinned::after(cursor(epoch, 2)), Limit::messages(2)))
            .unwrap();
    assert!(first.read_state.ended && !first.is_closed());
    let rest = read_on(&store, second(5), "a", &Pinned::after(first.next));
    assert!(rest.is_closed());
    assert!(read(&store, second(1_000), "a", Position::Start).is_closed(), "also where everything is gone");
    ready(store.close(second(5), &name("empty"))).unwrap();
    let empty = read(&store, second(5), "empty", Position::Start);
    assert!(empty.is_closed() && empty.next.epoch != Epoch::ZERO);
}

#[test]
fn a_message_is_there_or_gone_or_never_was() {
    let store = store();
    let epoch = five(&store);
    let find = |locator| ready(store.message(second(5), &name("a"), locator)).unwrap();
    for locator in [Locator::Seq(Seq::new(4)), Locator::Cursor(cursor(epoch, 4))] {
        let Found::Message(message, at, until) = find(locator) else { panic!("{locator:?}") };
        assert_eq!((number(&message), at), (4, cursor(epoch, 4)));
        assert_eq!(until, Some(second(3 + 300)));
    }
    for gone in [Locator::Seq(Seq::new(1)), Locator::Cursor(cursor(epoch, 2))] {
        assert_eq!(find(gone), Found::Gone);
    }
    for never in [
        Locator::Seq(Seq::ZERO),
        Locator::Seq(Seq::new(6)),
        Locator::Cursor(cursor(epoch, 6)),
        Locator::Cursor(Cursor::ZERO),
        Locator::Cursor(cursor(Epoch::new(epoch.get() ^ 1), 4)),
    ] {
        assert_eq!(find(never), Found::Never, "{never:?}");
    }
    assert_eq!(ready(store.message(second(5), &name("b"), Locator::Seq(Seq::new(1)))), Ok(Found::Never));
}

#[test]
fn times_and_ids_grow_strictly_even_where_the_clock_does_not() {
    let store = store();
    let mut last = publish(&store, second(9), "a").stamps[0];
    for now in [second(9), second(3), second(9), second(10)] {
        for stamp in send(&store, now, "a", Publish::many(vec![text(1); 3])).unwrap().stamps.iter() {
            assert!(stamp.at > last.at && stamp.id > last.id);
            assert_eq!(stamp.cursor.seq, last.cursor.seq.next());
            last = *stamp;
        }
    }
    assert_eq!(last.at, second(10).after(Duration::from_micros(2)));
}
